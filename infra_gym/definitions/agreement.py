"""What a definition's parts ask of each other: names that exist, targets that are complete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from infra_gym.definitions.parts import FormulaMetric, HistogramMetric, short_name
from infra_gym.errors import ExpressionError, did_you_mean
from infra_gym.expressions import names_in
from infra_gym.settings.strict import KeyPath

if TYPE_CHECKING:
    from infra_gym.definitions.models import Definition

TASK_METRICS = ("cost_usd", "cost_rate", "last_action", "out_of_bounds", "interval_s", "pending")
"""What a task computes itself; expressions and observations may name these as well."""

_Problems = Iterator[tuple[KeyPath, str]]


def disagreements(definition: Definition) -> _Problems:
    """Every place where the definition contradicts itself, and how."""
    yield from _targets(definition)
    yield from _inputs(definition)
    yield from _controls(definition)
    yield from _names(definition)
    yield from _formulas(definition)
    yield from _histograms(definition)
    yield from _observations(definition)
    for term, expression in definition.rewards.items():
        yield from _unknown(definition, ("rewards", term), names_in(expression))


def _targets(definition: Definition) -> _Problems:
    targets: list[str] = list(definition.layers)
    if definition.simulator is not None:
        targets.append("sim")
    if not targets:
        yield ("layers",), "layers for at least one target are needed, or a simulator"
    for target in targets:
        if target not in definition.interval_s:
            yield ("interval_s",), f"target {target!r} has no interval"


def _inputs(definition: Definition) -> _Problems:
    every = {layer for layers in definition.layers.values() for layer in layers}
    known = sorted(every | {short_name(layer) for layer in every})
    for layer in definition.inputs:
        if layer not in known:
            yield ("inputs", layer), f"no target has this layer.{did_you_mean(layer, known)}"


def _controls(definition: Definition) -> _Problems:
    for name, control in definition.controls.items():
        for target, layers in definition.layers.items():
            known = sorted({short_name(layer) for layer in layers})
            if control.layer not in known:
                hint = did_you_mean(control.layer, known)
                problem = f"target {target!r} has no layer {control.layer!r}.{hint}"
                yield ("controls", name, "layer"), problem
        for role in ("existing", "ready"):
            metric = getattr(control, role)
            if metric is not None and metric not in definition.metrics:
                hint = did_you_mean(metric, sorted(definition.metrics))
                yield ("controls", name, role), f"there is no metric {metric!r}.{hint}"


def _names(definition: Definition) -> _Problems:
    for kind, names in (("controls", definition.controls), ("metrics", definition.metrics)):
        for name in names:
            try:
                names_in(name)
            except ExpressionError:
                yield (kind, name), "a word of the expression language; choose another name"
            if name in TASK_METRICS or (kind == "metrics" and name in definition.controls):
                yield (kind, name), "the name of a control or of a metric of the task itself"


def _formulas(definition: Definition) -> _Problems:
    formulas = {
        name: names_in(metric.formula)
        for name, metric in definition.metrics.items()
        if isinstance(metric, FormulaMetric)
    }
    for name, names in formulas.items():
        yield from _unknown(definition, ("metrics", name, "formula"), names)
    try:
        TopologicalSorter(formulas).prepare()
    except CycleError as error:
        cycle = error.args[1]
        problem = f"formulas need each other: {' -> '.join(cycle)}"
        yield ("metrics", cycle[0], "formula"), problem


def _histograms(definition: Definition) -> _Problems:
    observed = {entry.metric for entry in definition.observations if not entry.change}
    for name, metric in definition.metrics.items():
        if isinstance(metric, HistogramMetric) and metric.starved and name not in observed:
            problem = f"{name} must be an observation, whose upper bound this is"
            yield ("metrics", name, "starved"), problem


def _observations(definition: Definition) -> _Problems:
    seen: set[str] = set()
    for index, observation in enumerate(definition.observations):
        path = ("observations", index, "metric")
        yield from _unknown(definition, path, [observation.metric])
        if observation.name in seen:
            yield path, f"{observation.name} is observed twice"
        seen.add(observation.name)


def _unknown(definition: Definition, path: KeyPath, names: Iterable[str]) -> _Problems:
    """Those of ``names`` that are not one number a step."""
    single = {name for name, metric in definition.metrics.items() if metric.by is None}
    known = sorted({*single, *definition.controls, *TASK_METRICS})
    for name in sorted(set(names).difference(known)):
        if name in definition.metrics:
            yield path, f"{name!r} has a value for each label; one number is needed"
        else:
            yield path, f"there is no metric {name!r}.{did_you_mean(name, known)}"
