"""Metrics that are computed from other metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from infra_gym.definitions.models import FormulaMetric, Metric
from infra_gym.errors import DefinitionError, MetricsError
from infra_gym.expressions import Expression


class Formulas:
    """The formula metrics of a definition, in an order in which each finds what it needs.

    Raises:
        DefinitionError: Formulas that need each other.
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        formulas = {
            name: Expression(metric.formula)
            for name, metric in metrics.items()
            if isinstance(metric, FormulaMetric)
        }
        needs = {name: formula.names & formulas.keys() for name, formula in formulas.items()}
        try:
            order = list(TopologicalSorter(needs).static_order())
        except CycleError as error:
            raise DefinitionError(
                f"metrics need each other: {' -> '.join(error.args[1])}"
            ) from None
        self.expressions = {name: formulas[name] for name in order}
        self._formulas = {name: (formulas[name], metrics[name].empty) for name in order}

    def evaluate(self, values: Mapping[str, float]) -> tuple[dict[str, float], frozenset[str]]:
        """All formulas' values, and the names of those that had their ``empty`` value.

        Raises:
            MetricsError: A formula without a number (0/0) that declares no ``empty``.
        """
        known = dict(values)
        empty = set()
        for name, (formula, otherwise) in self._formulas.items():
            value = formula.evaluate(known)
            if not math.isfinite(value):
                if otherwise is None:
                    raise MetricsError(
                        f"metric {name} has no value: {formula.text} with "
                        + ", ".join(f"{part} = {known[part]:g}" for part in sorted(formula.names)),
                        next_command=f"give {name} an `empty:` value in the definition",
                    )
                value = otherwise
                empty.add(name)
            known[name] = value
        return {name: known[name] for name in self._formulas}, frozenset(empty)
