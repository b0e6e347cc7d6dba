"""A task over many environments at once: each number equals the single :class:`Task`'s.

A column is an array with one entry an environment. Compiled code evaluates the formulas and reward
terms; where one has a function of which libraries differ in the last bit, NumPy and the C library
do.
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
from infra_gym.cost.meter import SECONDS_PER_HOUR
from infra_gym.definitions.models import Definition
from infra_gym.errors import ActionError, MetricsError
from infra_gym.expressions import ColumnExpression, postfix
from infra_gym.simulators import task_columns as compiled
from infra_gym.task.controls import ActionMode
from infra_gym.task.formulas import Formulas
from infra_gym.task.task import Task

Column = NDArray[np.float64]
Columns = dict[str, Column]
Masks = dict[str, NDArray[np.bool_]]

_OWN = ("cost_usd", "cost_rate", "last_action", "out_of_bounds", "pending", "interval_s")
"""The task's own numbers."""
_PAGE, _SHIFT = 512, 40
"""In numbers of 8 bytes: a page, and how far a row lies from the one before beyond whole pages."""


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
        numbers: A row for each metric, and one for each term; they may be longer than there are
            environments.
        metrics: The rows by name: measured, the controls, the task's own, computed.
        empty: Metrics that somewhere had their declared value because there was nothing to
            measure, and where.
    """

    observations: NDArray[np.float32]
    rewards: Column
    terms: Columns
    numbers: Column
    metrics: Columns
    empty: Masks

    def overwrite(self, places: NDArray[np.intp], part: ColumnOutcome) -> None:
        """Put the outcome of some environments in their ``places``."""
        self.observations[places] = part.observations
        self.rewards[places] = part.rewards
        self.numbers[:, places] = part.numbers[:, : len(places)]
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
            name: np.array(changes or (), dtype=np.int64)
            for name, changes in single.controls.changes.items()
        }
        self._terms = {name: ColumnExpression(text) for name, text in definition.rewards.items()}
        measured = [
            name
            for name, metric in definition.metrics.items()
            if metric.by is None and name not in self._formulas
        ]
        self._measured = len(measured)
        self._given = [*measured, *definition.controls, *_OWN]
        self._names = [*self._given, *self._formulas]
        # In the order of their rows, which are the last ones.
        self._every = [*self._formulas.values(), *((term, None) for term in self._terms.values())]
        self._programs = self._compile()
        rows = [self._names.index(entry.metric) for entry in definition.observations]
        changes = [entry.change for entry in definition.observations]
        self._entries = np.array(rows), np.array(changes, dtype=np.bool_)

    def moves(self, actions: Any, current: Mapping[str, NDArray[np.int64]]) -> ColumnMoves:
        """The controls after ``actions``.

        Raises:
            ActionError: Not whole numbers of the action space; nothing was changed.
        """
        controls, asked, clipped = {}, {}, {}
        for (name, control), index in zip(
            self._definition.controls.items(), self._indices(actions), strict=True
        ):
            controls[name], asked[name] = np.empty_like(index), np.empty(len(index))
            clipped[name] = np.empty(len(index), dtype=np.bool_)
            limits = (control.low, control.high, control.beyond == "keep")
            compiled.move(
                index, self._changes[name], limits, current[name],
                controls[name], asked[name], clipped[name],
            )  # fmt: skip
        return ColumnMoves(controls, next(iter(asked.values())), clipped)

    def room(self, number: int) -> Column:
        """Where the numbers of so many environments go: the first rows are for the measured
        metrics, in the definition's order."""
        # Rows of 4096 numbers would all begin at the same place of the processor's caches.
        shift = (_SHIFT - number) % _PAGE if number >= _PAGE else 0
        return np.empty((len(self._names) + len(self._terms), number + shift))

    def measured(self, numbers: Column, number: int) -> Column:
        """The rows of :meth:`room` that are for the measured metrics."""
        return numbers[: self._measured, :number]

    def outcome(
        self,
        numbers: Column,
        controls: Mapping[str, NDArray[np.int64]],
        before: ColumnOutcome | None,
        *,
        seconds: Column,
        last_action: Column,
        clipped: Masks,
        empty: Mapping[str, NDArray[np.bool_]],
    ) -> ColumnOutcome:
        """Observations, rewards and cost of one interval.

        Args:
            numbers: From :meth:`room`, with the world's metrics; the others are filled.
            controls: The controls that held during the interval.
            before: The interval before; ``None``: there was none, so that nothing has changed.
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
        rows = numbers[:, :number]
        metrics = dict(zip(self._names, rows, strict=False))
        given = {
            **controls,
            "cost_usd": self._meter.costs_usd(replicas, seconds),
            "cost_rate": self._meter.costs_usd(replicas, SECONDS_PER_HOUR),
            "last_action": last_action,
            "out_of_bounds": np.logical_or.reduce([*clipped.values()]),
            "interval_s": seconds,
            "pending": 0.0,
        }
        for name, value in given.items():
            metrics[name][:] = value
        terms = dict(zip(self._terms, rows[len(self._names) :], strict=True))
        without = self._evaluate(numbers, metrics, number)
        rewards = np.zeros(number)
        for term in terms.values():
            rewards += term
        return ColumnOutcome(
            observations=self._observe(
                numbers, numbers if before is None else before.numbers, number
            ),
            rewards=rewards,
            terms=terms,
            numbers=numbers,
            metrics=metrics,
            empty={**empty, **without},
        )

    def _compile(self) -> compiled.Programs | None:
        """The formulas and terms, if compiled code takes them."""
        programs = [postfix(expression.text, self._names) for expression, _ in self._every]
        instructions = [one for program in programs for one in program.instructions]
        if not {operation for operation, _ in instructions} <= compiled.KNOWN_OPERATIONS:
            return None
        return compiled.Programs(
            operations=np.array([operation for operation, _ in instructions], dtype=np.int64),
            arguments=np.array([argument for _, argument in instructions], dtype=np.float64),
            ends=np.cumsum([len(program.instructions) for program in programs], dtype=np.int64),
            otherwise=np.array(
                [np.nan if otherwise is None else otherwise for _, otherwise in self._every]
            ),
            depth=max((program.depth for program in programs), default=1),
        )

    def _evaluate(self, numbers: Column, metrics: Columns, number: int) -> Masks:
        """Fill the rows of formulas and terms; where formulas had their ``empty`` value.

        Raises:
            MetricsError: One has no value.
        """
        rows = numbers[len(self._given) :, :number]
        missing = np.zeros(rows.shape, dtype=np.bool_)
        if self._programs is not None:
            compiled.evaluate(self._programs, numbers, missing)
        else:
            for (expression, otherwise), row, nothing in zip(
                self._every, rows, missing, strict=True
            ):
                row[:] = expression.evaluate(metrics, len(row))
                nothing[:] = np.isnan(row)
                if otherwise is not None:
                    row[nothing] = otherwise
        if not missing.any():
            return {}
        for (expression, otherwise), nothing in zip(self._every, missing, strict=True):
            if otherwise is None and nothing.any():
                raise self._no_value(expression, metrics, int(nothing.argmax()))
        return {
            name: nothing
            for name, nothing in zip(self._formulas, missing, strict=False)
            if nothing.any()
        }

    def _no_value(self, expression: ColumnExpression, metrics: Columns, place: int) -> MetricsError:
        for name, (formula, _) in self._formulas.items():
            if formula is expression:
                parts = [f"{part} = {metrics[part][place]:g}" for part in sorted(formula.names)]
                return MetricsError(
                    f"metric {name} of environment {place} has no value: {formula.text} with "
                    + ", ".join(parts),
                    next_command=f"give {name} an `empty:` value in the definition",
                )
        name = next(name for name, term in self._terms.items() if term is expression)
        return MetricsError(
            f"reward term {name} has no value: {expression.text}",
            next_command="see the metrics that it names with `infra-gym envs show`",
        )

    def _observe(self, numbers: Column, before: Column, number: int) -> NDArray[np.float32]:
        space = self.single_observation_space
        observations = np.empty((number, space.shape[0]), dtype=np.float32)
        compiled.observe(numbers, before, *self._entries, space.low, space.high, observations)
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
        return [np.ascontiguousarray(column, dtype=np.int64) for column in columns]
