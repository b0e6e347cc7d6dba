"""A task's formulas, reward terms and observations for many environments, compiled.

The environments are taken in blocks, whose numbers fit the nearest cache, and an expression goes
through a block by a stack machine: one instruction for all of its environments, then the next. Each
number is the one that :class:`~infra_gym.expressions.Expression` gives, to the last bit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infra_gym.expressions import Operation
from infra_gym.simulators.compilation import compiled, uncounted

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_BLOCK = 256
_HOUR_S = 3600.0

OWN = ("cost_usd", "cost_rate", "last_action", "out_of_bounds", "pending", "interval_s")
"""The task's own numbers. Nothing is pending where changes are made at once."""

KNOWN_OPERATIONS = frozenset(
    {
        Operation.NUMBER, Operation.NAME, Operation.ADD, Operation.SUBTRACT, Operation.MULTIPLY,
        Operation.DIVIDE, Operation.LESS, Operation.LESS_EQUAL, Operation.EQUAL,
        Operation.NOT_EQUAL, Operation.NOT, Operation.NEGATE, Operation.CHOOSE, Operation.LEAST,
        Operation.MOST, Operation.ABSOLUTE,
    }
)  # fmt: skip
"""What :func:`evaluate` takes: where the processor and every library agree to the last bit."""

_NUMBER, _NAME = int(Operation.NUMBER), int(Operation.NAME)
_ADD, _SUBTRACT = int(Operation.ADD), int(Operation.SUBTRACT)
_MULTIPLY, _DIVIDE = int(Operation.MULTIPLY), int(Operation.DIVIDE)
_LESS, _LESS_EQUAL = int(Operation.LESS), int(Operation.LESS_EQUAL)
_EQUAL, _NOT_EQUAL = int(Operation.EQUAL), int(Operation.NOT_EQUAL)
_NOT, _NEGATE, _ABSOLUTE = int(Operation.NOT), int(Operation.NEGATE), int(Operation.ABSOLUTE)
_CHOOSE, _LEAST, _MOST = int(Operation.CHOOSE), int(Operation.LEAST), int(Operation.MOST)


class Programs(NamedTuple):
    """Expressions that are evaluated one after the other; later ones may use earlier ones.

    Attributes:
        operations: Instructions of all.
        arguments: Theirs; of a name, its row of the numbers.
        ends: After which instruction each expression ends.
        otherwise: Values where there is none; NaN: there stays none.
        depth: The deepest that a stack becomes.
    """

    operations: Integers
    arguments: Floats
    ends: Integers
    otherwise: Floats
    depth: int


class Given(NamedTuple):
    """What a task knows of its environments before any expression.

    Attributes:
        ticks: Intervals since each one's reset.
        interval_s: The length of one.
        controls: Shape (controls, environments).
        paid: Of which controls the values are replicas that are paid for.
        replica_usd_per_hour: What one costs; for this and the length of an interval, see
            :class:`~infra_gym.cost.Meter`.
        asked: What each action asked of the first control, as a change.
        clipped: Where actions led beyond the limits; shape (controls, environments).
        row: Of the first of these numbers.
    """

    ticks: Integers
    interval_s: float
    controls: Integers
    paid: NDArray[np.bool_]
    replica_usd_per_hour: float
    asked: Floats
    clipped: NDArray[np.bool_]
    row: int


class Entries(NamedTuple):
    """What is observed.

    Attributes:
        rows: Which number each entry is.
        changes: Whether it is the change since the step before.
        low: The lowest that each may be.
        high: The highest.
    """

    rows: Integers
    changes: NDArray[np.bool_]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


@uncounted
def move(
    chosen: Integers,
    changes: Integers,
    limits: tuple[int, int, bool],
    current: Integers,
    moved: Integers,
    asked: Floats,
    clipped: NDArray[np.bool_],
) -> bool:
    """What actions ask of a control.

    Args:
        chosen: Of each environment, which action.
        changes: What each action adds; none: it is the value itself, counted from the lowest.
        limits: The lowest and the highest value, and whether a wish beyond them changes nothing.
        current: The control's values.
        moved: Filled with the new ones.
        asked: Filled with the changes that are asked for.
        clipped: Set where they lead beyond the limits.

    Returns:
        Whether all are actions; else nothing is filled.
    """
    low, high, keeps = limits
    number, wrong = changes.size if changes.size else high - low + 1, 0
    for place in range(chosen.size):
        wrong += not 0 <= chosen[place] < number
    if wrong > 0:
        return False
    for place in range(chosen.size):
        now = current[place]
        wished = now + changes[chosen[place]] if changes.size else low + chosen[place]
        value = min(max(wished, low), high)
        asked[place], clipped[place] = wished - now, wished != value
        moved[place] = now if keeps and wished != value else value
    return True


@uncounted
def give(given: Given, numbers: Floats, begin: int, end: int) -> None:
    """The numbers of some environments that the task knows before any expression.

    Args:
        given: What it knows them from.
        numbers: Shape (rows, at least environments); filled from row ``given.row`` on: the
            controls, and after them :data:`OWN`.
        begin: The first of the environments.
        end: The one after the last.
    """
    # Rows' parts begin at 0, so that no place is asked whether it counts from a row's end.
    own, price = given.row + given.controls.shape[0], given.replica_usd_per_hour
    cost, rate = numbers[own, begin:end], numbers[own + 1, begin:end]
    asked, beyond = numbers[own + 2, begin:end], numbers[own + 3, begin:end]
    pending, seconds = numbers[own + 4, begin:end], numbers[own + 5, begin:end]
    ticks, last_action = given.ticks[begin:end], given.asked[begin:end]
    for slot in range(end - begin):
        tick = float(ticks[slot])
        passed_s = tick * given.interval_s - (tick - 1) * given.interval_s
        seconds[slot] = passed_s if tick > 0 else 0.0
        asked[slot] = last_action[slot]
        beyond[slot] = pending[slot] = cost[slot] = 0.0
    for control in range(given.controls.shape[0]):
        values, clipped = given.controls[control, begin:end], given.clipped[control, begin:end]
        row, paid = numbers[given.row + control, begin:end], 1.0 if given.paid[control] else 0.0
        for slot in range(end - begin):
            row[slot] = values[slot]
            cost[slot] += paid * values[slot]
            beyond[slot] = 1.0 if clipped[slot] else beyond[slot]
    for slot in range(end - begin):
        usd_per_hour = cost[slot] * price
        rate[slot] = usd_per_hour * _HOUR_S / _HOUR_S
        cost[slot] = usd_per_hour * seconds[slot] / _HOUR_S


@compiled
def evaluate(
    programs: Programs, numbers: Floats, missing: NDArray[np.bool_], begin: int, end: int
) -> None:
    """Values of all expressions for some environments.

    Args:
        programs: The expressions.
        numbers: Shape (rows, at least environments); the last rows are filled, one an expression.
        missing: Set where an expression has no value, shape (expressions, environments).
        begin: The first of the environments.
        end: The one after the last.
    """
    stack, given = np.empty((programs.depth, _BLOCK)), numbers.shape[0] - programs.ends.size
    for first in range(begin, end, _BLOCK):
        last, instruction = min(first + _BLOCK, end), 0
        for one in range(programs.ends.size):
            top = int(np.int64(0))  # for a literal 0 the long function would be compiled once more
            while instruction < programs.ends[one]:
                top = _run(
                    programs.operations[instruction], programs.arguments[instruction],
                    numbers, first, last - first, stack, top,
                )  # fmt: skip
                instruction += 1
            values, nothing = numbers[given + one, first:last], missing[one, first:last]
            otherwise = programs.otherwise[one]
            for slot in range(last - first):
                value = stack[0, slot]
                nothing[slot] = math.isnan(value)
                values[slot] = otherwise if math.isnan(value) else value


@uncounted
def _run(  # noqa: C901 - a table
    operation: int,
    argument: float,
    numbers: Floats,
    first: int,
    size: int,
    stack: Floats,
    top: int,
) -> int:
    """One instruction for ``size`` environments from the ``first`` on; returns how many columns are
    on the stack then."""
    if operation == _NUMBER:
        for slot in range(size):
            stack[top, slot] = argument
        return top + 1
    if operation == _NAME:
        values = numbers[int(argument), first : first + size]
        for slot in range(size):
            stack[top, slot] = _finite(values[slot])
        return top + 1
    if operation in (_NOT, _NEGATE, _ABSOLUTE):
        for slot in range(size):
            a = stack[top - 1, slot]
            if operation == _NEGATE:
                a = -a
            elif operation == _ABSOLUTE:
                a = abs(a)
            elif not math.isnan(a):
                a = 1.0 if a == 0 else 0.0
            stack[top - 1, slot] = a
        return top
    if operation == _CHOOSE:
        for slot in range(size):
            test = stack[top - 3, slot]
            chosen = stack[top - 2, slot] if test != 0 else stack[top - 1, slot]
            stack[top - 3, slot] = test if math.isnan(test) else chosen
        return top - 2
    left, right = stack[top - 2], stack[top - 1]
    if operation == _ADD:
        for slot in range(size):
            left[slot] = _finite(left[slot] + right[slot])
    elif operation == _SUBTRACT:
        for slot in range(size):
            left[slot] = _finite(left[slot] - right[slot])
    elif operation == _MULTIPLY:
        for slot in range(size):
            left[slot] = _finite(left[slot] * right[slot])
    elif operation == _DIVIDE:
        for slot in range(size):
            left[slot] = _finite(left[slot] / right[slot])
    elif operation == _LEAST:
        for slot in range(size):
            b = right[slot]
            left[slot] = b if b < left[slot] or math.isnan(b) else left[slot]
    elif operation == _MOST:
        for slot in range(size):
            b = right[slot]
            left[slot] = b if b > left[slot] or math.isnan(b) else left[slot]
    else:
        for slot in range(size):
            left[slot] = _compared(operation, left[slot], right[slot])
    return top - 1


@compiled
def _finite(value: float) -> float:
    return value if abs(value) < math.inf else math.nan


@compiled
def _compared(operation: int, a: float, b: float) -> float:
    if math.isnan(a) or math.isnan(b):
        return math.nan
    if operation == _LESS:
        holds = a < b
    elif operation == _LESS_EQUAL:
        holds = a <= b
    elif operation == _EQUAL:
        holds = a == b
    else:
        holds = a != b
    return 1.0 if holds else 0.0


@uncounted
def tell(
    numbers: Floats,
    before: Floats,
    terms: int,
    entries: Entries,
    rewards: Floats,
    observations: NDArray[np.float32],
    begin: int,
    end: int,
) -> None:
    """Rewards and observations of some environments.

    Args:
        numbers: Shape (rows, at least environments).
        before: The same of the step before.
        terms: How many rows are terms of the reward, from the last one back.
        entries: What is observed.
        rewards: Filled with the terms' sums, shape (environments,).
        observations: Filled, inside the bounds; shape (environments, entries).
        begin: The first of the environments.
        end: The one after the last.
    """
    sums = rewards[begin:end]
    for slot in range(end - begin):
        sums[slot] = 0.0
    for term in range(numbers.shape[0] - terms, numbers.shape[0]):
        values = numbers[term, begin:end]
        for slot in range(end - begin):
            sums[slot] += values[slot]
    for entry in range(entries.rows.size):
        row, lowest, highest = entries.rows[entry], entries.low[entry], entries.high[entry]
        values, shown = numbers[row, begin:end], observations[begin:end, entry]
        if entries.changes[entry]:
            old = before[row, begin:end]
            for slot in range(end - begin):
                value = np.float32(values[slot] - old[slot])
                shown[slot] = min(max(value, lowest), highest)
        else:
            for slot in range(end - begin):
                value = np.float32(values[slot])
                shown[slot] = min(max(value, lowest), highest)


@compiled
def work_out(
    given: Given,
    programs: Programs,
    numbers: Floats,
    missing: NDArray[np.bool_],
    before: Floats,
    terms: int,
    entries: Entries,
    rewards: Floats,
    observations: NDArray[np.float32],
) -> None:
    """:func:`give`, :func:`evaluate` and :func:`tell` in one, by blocks that fit a near cache."""
    for first in range(0, rewards.size, _BLOCK):
        last = min(first + _BLOCK, rewards.size)
        give(given, numbers, first, last)
        evaluate(programs, numbers, missing, first, last)
        tell(numbers, before, terms, entries, rewards, observations, first, last)
