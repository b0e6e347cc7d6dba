"""A task over many environments at once: each number equals the single :class:`Task`'s.

A column is an array with one entry an environment. Compiled code evaluates the formulas and reward
terms; where one has a function of which libraries differ in the last bit, NumPy and the C library
do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

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

_PAGE, _SHIFT = 512, 40
"""In numbers of 8 bytes: a page, and how far a row lies from the one before beyond whole pages."""


@dataclass(frozen=True)
class ColumnMoves:
    """What actions ask for.

    Attributes:
        controls: The new value of every control, inside its bounds; shape (controls, environments).
        last_action: What was asked of the first control, as a change of its value.
        clipped: Where the wish lay outside the bounds; shape (controls, environments).
    """

    controls: NDArray[np.int64]
    last_action: Column
    clipped: NDArray[np.bool_]

    def overwrite(self, places: NDArray[np.intp], part: ColumnMoves) -> None:
        """Put the moves of some environments in their ``places``."""
        self.last_action[places] = part.last_action
        self.controls[:, places], self.clipped[:, places] = part.controls, part.clipped


@dataclass(frozen=True)
class ColumnOutcome:
    """What one interval means.

    Attributes:
        observations: float32, shape (environments, entries), inside the observation space.
        rewards: Sums of the terms, in US dollars.
        numbers: A row for each metric, those that are measured first and in the definition's order,
            and one for each term; they may be longer than there are environments.
        before: The numbers of the interval before; its own, where there was none.
        missing: Where a formula or term had no value; shape (formulas and terms, environments).
        metric_names: Of the first rows: measured, the controls, the task's own, computed.
        term_names: Of the last rows: the reward's terms.
        empty: Metrics that somewhere had their declared value because there was nothing to
            measure, and where.
    """

    observations: NDArray[np.float32]
    rewards: Column
    numbers: Column
    before: Column
    missing: NDArray[np.bool_]
    metric_names: tuple[str, ...]
    term_names: tuple[str, ...]
    empty: Masks

    @property
    def metrics(self) -> Columns:
        """The metrics' rows by name."""
        rows = self.numbers[: len(self.metric_names), : len(self.rewards)]
        return dict(zip(self.metric_names, rows, strict=True))

    @property
    def terms(self) -> Columns:
        """The terms' rows by name."""
        rows = self.numbers[len(self.metric_names) :, : len(self.rewards)]
        return dict(zip(self.term_names, rows, strict=True))

    def overwrite(self, places: NDArray[np.intp], part: ColumnOutcome) -> None:
        """Put the outcome of some environments in their ``places``."""
        self.observations[places] = part.observations
        self.rewards[places] = part.rewards
        self.numbers[:, places] = part.numbers[:, : len(places)]
        self.before[:, places] = self.numbers[:, places]
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
        self._price = definition.prices.replica_usd_per_hour
        paid = definition.replica_controls
        self._paid = np.array([name in paid for name in definition.controls])
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
        self._given = [*measured, *definition.controls, *compiled.OWN]
        self._names = (*self._given, *self._formulas)
        self._term_names = tuple(self._terms)
        # In the order of their rows, which are the last ones.
        self._every = [*self._formulas.values(), *((term, None) for term in self._terms.values())]
        self._programs = self._compile()
        rows = [self._names.index(entry.metric) for entry in definition.observations]
        changes = [entry.change for entry in definition.observations]
        space = self.single_observation_space
        self._entries = compiled.Entries(
            np.array(rows), np.array(changes, dtype=np.bool_), space.low, space.high
        )

    def moves(self, actions: Any, current: NDArray[np.int64]) -> ColumnMoves:
        """The controls after ``actions``.

        Raises:
            ActionError: Not whole numbers of the action space; nothing was changed.
        """
        indices = self._indices(actions)
        controls, asked = np.empty_like(indices), np.empty(indices.shape)
        clipped = np.empty(indices.shape, dtype=np.bool_)
        for row, (name, control) in enumerate(self._definition.controls.items()):
            limits = (control.low, control.high, control.beyond == "keep")
            known = compiled.move(
                indices[row], self._changes[name], limits, current[row],
                controls[row], asked[row], clipped[row],
            )  # fmt: skip
            if not known:
                given = np.asarray(actions).reshape(self._num_envs, -1)[:, row]
                raise _no_action(given, self.controls.sizes[row])
        return ColumnMoves(controls, asked[0], clipped)

    def outcome(self, number: int, before: ColumnOutcome | None = None) -> ColumnOutcome:
        """Room for the outcome of so many environments.

        Args:
            number: How many.
            before: The interval before; ``None``: there was none, so that nothing has changed.
        """
        # Rows of 4096 numbers would all begin at the same place of the processor's caches.
        shift = (_SHIFT - number) % _PAGE if number >= _PAGE else 0
        numbers = np.empty((len(self._names) + len(self._terms), number + shift))
        return ColumnOutcome(
            observations=np.empty((number, len(self._entries.rows)), dtype=np.float32),
            rewards=np.empty(number),
            numbers=numbers,
            before=numbers if before is None else before.numbers,
            missing=np.empty((len(self._every), number), dtype=np.bool_),
            metric_names=self._names,
            term_names=self._term_names,
            empty={},
        )

    def work_out(
        self,
        outcome: ColumnOutcome,
        moves: ColumnMoves,
        ticks: NDArray[np.int64],
        interval_s: float,
    ) -> None:
        """Observations, rewards and cost of one interval.

        Args:
            outcome: Filled; its measured metrics are known.
            moves: What was asked for.
            ticks: Intervals since each one's reset.
            interval_s: The interval's length on the world's clock.

        Raises:
            MetricsError: A formula or term has no value.
        """
        numbers, number = outcome.numbers, len(outcome.rewards)
        given = compiled.Given(
            ticks, interval_s, moves.controls, self._paid, self._price, moves.last_action,
            moves.clipped, self._measured,
        )  # fmt: skip
        told = self._told(outcome)
        if self._programs is None:
            compiled.give(given, numbers, 0, number)
            self._evaluate(outcome)
            compiled.tell(numbers, *told, 0, number)
        else:
            compiled.work_out(given, self._programs, numbers, outcome.missing, *told)
        if outcome.missing.any():
            self._tell_missing(outcome)

    def again(self, outcome: ColumnOutcome) -> ColumnOutcome:
        """The same with arrays of its own: those that it had are somebody else's."""
        fresh = replace(
            outcome,
            observations=np.empty_like(outcome.observations),
            rewards=np.empty_like(outcome.rewards),
        )
        compiled.tell(fresh.numbers, *self._told(fresh), 0, len(fresh.rewards))
        return fresh

    def _told(
        self, outcome: ColumnOutcome
    ) -> tuple[Column, int, compiled.Entries, Column, NDArray[np.float32]]:
        """From what and into what rewards and observations are told."""
        return (
            outcome.before, len(self._terms), self._entries, outcome.rewards, outcome.observations
        )  # fmt: skip

    def _tell_missing(self, outcome: ColumnOutcome) -> None:
        """Say where formulas had their ``empty`` value."""
        for (expression, otherwise), nothing in zip(self._every, outcome.missing, strict=True):
            if otherwise is None and nothing.any():
                raise self._no_value(expression, outcome.metrics, int(nothing.argmax()))
        for name, nothing in zip(self._formulas, outcome.missing, strict=False):
            if nothing.any():
                outcome.empty[name] = nothing

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

    def _evaluate(self, outcome: ColumnOutcome) -> None:
        """Formulas and terms by NumPy."""
        rows, metrics = outcome.numbers[len(self._given) :, : len(outcome.rewards)], outcome.metrics
        for (expression, otherwise), row, nothing in zip(
            self._every, rows, outcome.missing, strict=True
        ):
            row[:] = expression.evaluate(metrics, len(row))
            nothing[:] = np.isnan(row)
            if otherwise is not None:
                row[nothing] = otherwise

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

    def _indices(self, actions: Any) -> NDArray[np.int64]:
        """For each control, which of its actions; shape (controls, environments)."""
        sizes = self.controls.sizes
        given = np.asarray(actions)
        wanted = self.action_space.shape
        if given.shape != wanted or given.dtype.kind not in "iu":
            raise ActionError(
                f"The actions must be whole numbers of shape {wanted}, not {given.dtype} of shape "
                f"{given.shape}.\nNext: use envs.action_space.sample() to see some"
            )
        return np.ascontiguousarray(given.reshape(self._num_envs, len(sizes)).T, dtype=np.int64)


def _no_action(given: NDArray[Any], size: int) -> ActionError:
    wrong = given[(given < 0) | (given >= size)][0]
    return ActionError(f"An action is a whole number from 0 to {size - 1}, not {wrong}.")
