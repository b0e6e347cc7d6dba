"""A task joins controls, formulas, observations, cost and rewards; it is the same on all worlds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra_gym.cost import Charge, Meter
from infra_gym.definitions.models import Definition
from infra_gym.errors import DefinitionError, MetricsError
from infra_gym.expressions import Expression
from infra_gym.task.controls import ActionMode, Controls, Move
from infra_gym.task.formulas import Formulas
from infra_gym.task.observations import ObservationVector, Vector


@dataclass(frozen=True)
class Outcome:
    """What one interval means.

    Attributes:
        observation: float32, shape ``(n,)``, inside the observation space.
        reward: Sum of the terms, in the definition's ``reward_unit``.
        terms: The reward's named terms.
        metrics: All numbers: measured, computed, the controls and the task's own.
        empty: Metrics with their declared value because there was nothing to measure.
        cost_usd: What the interval cost.
    """

    observation: Vector
    reward: float
    terms: Mapping[str, float]
    metrics: Mapping[str, float]
    empty: frozenset[str]
    cost_usd: float


class Task:
    """What a definition asks of an agent.

    Args:
        definition: The environment.
        mode: Another action mode than the definition's.

    Raises:
        DefinitionError: A replica has a price, and nothing tells how many there are.
    """

    def __init__(self, definition: Definition, mode: ActionMode | None = None) -> None:
        self._meter = Meter(definition.prices)
        self._replica_controls = definition.replica_controls
        if definition.prices.replica_usd_per_hour and not self._replica_controls:
            raise DefinitionError(
                f"{definition.id}: prices.replica_usd_per_hour is the price of an input "
                "`replicas`, which no control sets"
            )
        self.controls = Controls(definition.controls, mode)
        self.observations = ObservationVector(definition.observations)
        self._formulas = Formulas(definition.metrics)
        self._terms = {name: Expression(text) for name, text in definition.rewards.items()}
        self._before: Mapping[str, float] | None = None

    def begin(self) -> None:
        """Forget the interval before: the next one is an episode's first."""
        self._before = None

    def move(self, action: Any, current: Mapping[str, int]) -> Move:
        """See :meth:`infra_gym.task.controls.Controls.move`."""
        return self.controls.move(action, current)

    def outcome(
        self,
        measured: Mapping[str, float],
        controls: Mapping[str, int],
        *,
        seconds: float,
        last_action: float = 0.0,
        out_of_bounds: bool = False,
        pending: int = 0,
        empty: frozenset[str] = frozenset(),
        billed: Charge | None = None,
    ) -> Outcome:
        """Observation, reward and cost of one interval.

        Args:
            measured: The world's metrics.
            controls: The controls that held during the interval.
            seconds: Its length on the world's clock.
            last_action: What the action asked of the first control, as a change.
            out_of_bounds: The action asked a control to leave its bounds.
            pending: Layers whose apply was not done when the interval ended.
            empty: Metrics that had nothing to measure.
            billed: What an account is billed; left out, the definition's prices count.

        Raises:
            MetricsError: A number that is needed is missing.
        """
        replicas = sum(controls[name] for name in self._replica_controls)
        charge = billed or self._meter.charge(replicas, seconds)
        metrics = {
            **measured,
            **{name: float(value) for name, value in controls.items()},
            "cost_usd": charge.usd,
            "cost_rate": charge.usd_per_hour,
            "last_action": last_action,
            "out_of_bounds": float(out_of_bounds),
            "interval_s": seconds,
            "pending": float(pending),
        }
        computed, without = self._formulas.evaluate(metrics)
        metrics |= computed
        terms = {name: self._term(name, metrics) for name in self._terms}
        observation = self.observations.build(metrics, self._before)
        self._before = metrics
        return Outcome(
            observation=observation,
            reward=sum(terms.values()),
            terms=terms,
            metrics=metrics,
            empty=empty | without,
            cost_usd=metrics["cost_usd"],
        )

    def _term(self, name: str, metrics: Mapping[str, float]) -> float:
        value = self._terms[name].evaluate(metrics)
        if not math.isfinite(value):
            raise MetricsError(
                f"reward term {name} has no value: {self._terms[name].text}",
                next_command="see the metrics that it names with `infra-gym envs show`",
            )
        return value
