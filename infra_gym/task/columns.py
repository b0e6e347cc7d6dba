"""A task over many environments at once: each number equals the single :class:`Task`'s.

A column is an array with one entry an environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from infra_gym.cost import Meter
from infra_gym.definitions.models import Definition
from infra_gym.errors import ActionError, MetricsError
from infra_gym.expressions import ColumnExpression
from infra_gym.task.controls import ActionMode
from infra_gym.task.formulas import Formulas
from infra_gym.task.task import Task

Column = NDArray[np.float64]
Columns = dict[str, Column]
Masks = dict[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class ColumnMoves:
    """What actions ask for.

    Attributes:
        controls: The new value of every control, inside its bounds.
        last_action: What was asked of the first control, as a change of its value.
        clipped: Per control, where the wish lay outside the bounds.
    """

    controls: dict[str, NDArray[np.int64]]
    last_action: Column
    clipped: Masks

    def overwrite(self, places: NDArray[np.intp], part: ColumnMoves) -> None:
        """Put the moves of some environments in their ``places``."""
        self.last_action[places] = part.last_action
        for name in self.controls:
            self.controls[name][places] = part.controls[name]
            self.clipped[name][places] = part.clipped[name]


@dataclass(frozen=True)
class ColumnOutcome:
    """What one interval means.

    Attributes:
        observations: float32, shape (environments, entries), inside the observation space.
        rewards: Sums of the terms, in US dollars.
        terms: The reward's named terms.
        metrics: All numbers: measured, computed, the controls and the task's own.
        empty: Metrics that somewhere had their declared value because there was nothing to
            measure, and where.
    """

    observations: NDArray[np.float32]
    rewards: Column
    terms: Columns
    metrics: Columns
    empty: Masks

    def overwrite(self, places: NDArray[np.intp], part: ColumnOutcome) -> None:
        """Put the outcome of some environments in their ``places``."""
        self.observations[places] = part.observations
        self.rewards[places] = part.rewards
        for name, term in part.terms.items():
            self.terms[name][places] = term
        for name, metric in part.metrics.items():
            self.metrics[name][places] = metric
        for name in self.empty.keys() | part.empty.keys():
            mask = self.empty.setdefault(name, np.zeros(len(self.rewards), dtype=np.bool_))
            mask[places] = part.empty.get(name, False)


class ColumnTask:
    """What a definition asks of many agents at once.

    Args:
        definition: The environment.
        num_envs: How many.
        mode: Another action mode than the definition's.

    Raises:
        DefinitionError: As for :class:`~infra_gym.task.task.Task`.
    """

    def __init__(
        self, definition: Definition, num_envs: int, mode: ActionMode | None = None
    ) -> None:
        single = Task(definition, mode)
        self.controls = single.controls
        self.single_action_space = single.controls.space
        self.single_observation_space = single.observations.space
        self.action_space: spaces.Space[Any] = batch_space(single.controls.space, num_envs)
        self.observation_space = batch_space(single.observations.space, num_envs)
        self._num_envs = num_envs
        self._definition = definition
        self._meter = Meter(definition.prices)
        self._formulas = {
            name: (ColumnExpression(formula.text), definition.metrics[name].empty)
            for name, formula in Formulas(definition.metrics).expressions.items()
        }
        self._changes = {
            name: None if changes is None else np.array(changes, dtype=np.int64)
            for name, changes in single.controls.changes.items()
        }
        self._terms = {name: ColumnExpression(text) for name, text in definition.rewards.items()}

    def moves(self, actions: Any, current: Mapping[str, NDArray[np.int64]]) -> ColumnMoves:
        """The controls after ``actions``.

        Raises:
            ActionError: Not whole numbers of the action space; nothing was changed.
        """
        wished, controls, clipped = {}, {}, {}
        for (name, control), index in zip(
            self._definition.controls.items(), self._indices(actions), strict=True
        ):
            changes = self._changes[name]
            wished[name] = (
                control.low + index if changes is None else current[name] + changes[index]
            )
            inside = np.minimum(np.maximum(wished[name], control.low), control.high)
            clipped[name] = wished[name] != inside
            kept = clipped[name] & (control.beyond == "keep")
            controls[name] = np.where(kept, current[name], inside)
        first = next(iter(controls))
        last_action = (wished[first] - current[first]).astype(np.float64)
        return ColumnMoves(controls, last_action, clipped)

    def outcome(
        self,
        measured: Mapping[str, Column],
        controls: Mapping[str, NDArray[np.int64]],
        before: Mapping[str, Column] | None,
        *,
        seconds: Column,
        last_action: Column,
        clipped: Masks,
        empty: Mapping[str, NDArray[np.bool_]],
    ) -> ColumnOutcome:
        """Observations, rewards and cost of one interval.

        Args:
            measured: The world's metrics.
            controls: The controls that held during the interval.
            before: The metrics of the interval before; ``None``: there was none, so that nothing
                has changed.
            seconds: The interval's length on the world's clock.
            last_action: What the action asked of the first control, as a change.
            clipped: Per control, where the action asked it to leave its bounds.
            empty: Where measured metrics had nothing to measure.

        Raises:
            MetricsError: A number that is needed is missing.
        """
        number = len(seconds)
        replicas = np.zeros(number, dtype=np.int64)
        for name in self._definition.replica_controls:
            replicas += controls[name]
        metrics: Columns = {
            **measured,
            **{name: value.astype(np.float64) for name, value in controls.items()},
            "cost_usd": self._meter.costs_usd(replicas, seconds),
            "cost_rate": self._meter.costs_usd(replicas, np.full(number, 3600.0)),
            "last_action": last_action,
            "out_of_bounds": np.logical_or.reduce([*clipped.values()]).astype(np.float64),
            "interval_s": seconds,
            "pending": np.zeros(number),
        }
        without = self._compute(metrics, number)
        terms = {name: self._term(name, metrics, number) for name in self._terms}
        rewards = np.zeros(number)
        for term in terms.values():
            rewards += term
        return ColumnOutcome(
            observations=self._observe(metrics, before, number),
            rewards=rewards,
            terms=terms,
            metrics=metrics,
            empty={**empty, **without},
        )

    def _compute(self, metrics: Columns, number: int) -> Masks:
        """Add the formulas' values to ``metrics``; where they had their ``empty`` value."""
        empty = {}
        for name, (formula, otherwise) in self._formulas.items():
            value = formula.evaluate(metrics, number)
            nothing = np.isnan(value)
            if nothing.any():
                if otherwise is None:
                    place = int(nothing.argmax())
                    raise MetricsError(
                        f"metric {name} of environment {place} has no value: {formula.text} with "
                        + ", ".join(
                            f"{part} = {metrics[part][place]:g}" for part in sorted(formula.names)
                        ),
                        next_command=f"give {name} an `empty:` value in the definition",
                    )
                value[nothing] = otherwise
                empty[name] = nothing
            metrics[name] = value
        return empty

    def _term(self, name: str, metrics: Columns, number: int) -> Column:
        value = self._terms[name].evaluate(metrics, number)
        if np.isnan(value).any():
            raise MetricsError(
                f"reward term {name} has no value: {self._terms[name].text}",
                next_command="see the metrics that it names with `infra-gym envs show`",
            )
        return value

    def _observe(
        self,
        metrics: Columns,
        before: Mapping[str, Column] | None,
        number: int,
    ) -> NDArray[np.float32]:
        entries = self._definition.observations
        space = self.single_observation_space
        observations = np.empty((number, len(entries)), dtype=np.float32)
        for place, entry in enumerate(entries):
            value = metrics[entry.metric]
            if entry.change:
                value = value - (before or metrics)[entry.metric]
            bounded = np.maximum(value.astype(np.float32), space.low[place])
            np.minimum(bounded, space.high[place], out=observations[:, place])
        return observations

    def _indices(self, actions: Any) -> list[NDArray[np.int64]]:
        """For each control, which of its actions."""
        sizes = self.controls.sizes
        given = np.asarray(actions)
        wanted = self.action_space.shape
        if given.shape != wanted or given.dtype.kind not in "iu":
            raise ActionError(
                f"The actions must be whole numbers of shape {wanted}, not {given.dtype} of shape "
                f"{given.shape}.\nNext: use envs.action_space.sample() to see some"
            )
        columns = given.reshape(self._num_envs, len(sizes)).T
        for column, size in zip(columns, sizes, strict=True):
            if column.min() < 0 or column.max() >= size:
                wrong = column[(column < 0) | (column >= size)][0]
                raise ActionError(f"An action is a whole number from 0 to {size - 1}, not {wrong}.")
        return [column.astype(np.int64) for column in columns]
