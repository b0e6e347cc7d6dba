"""Scores of waiting jobs, compiled: a stack machine that runs an expression for a whole queue."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from infra_gym.expressions import Operation
from infra_gym.expressions.expression import MAX_PLACES
from infra_gym.simulators.batch_machine import WAITING, Floats, Ints, Jobs, Machine
from infra_gym.simulators.compilation import compiled

ARRIVAL, FIXED, CHANGING = 0, 1, 2
"""How a score orders the queue: by arrival, by a value that a job keeps, by one that changes."""


class Score(NamedTuple):
    """An expression's program, how it orders the queue, and the stack to run it on."""

    operations: Ints
    arguments: Floats
    order: int
    stack: Floats


@compiled
def _name(  # noqa: C901 - a table, compiled
    which: int, jobs: Jobs, queue: Ints, count: int, now: float, result: Floats
) -> None:
    """One of s, t, n, w, z, l for the queue, in this order."""
    if which == 0:
        for slot in range(count):
            result[slot] = jobs.submit[queue[slot]]
    elif which == 1:
        for slot in range(count):
            result[slot] = jobs.requested[queue[slot]]
    elif which == 2:
        for slot in range(count):
            result[slot] = jobs.nodes[queue[slot]]
    elif which == 3:
        for slot in range(count):
            result[slot] = math.trunc(now - jobs.submit[queue[slot]])
    elif which == 4:
        longest = 0.0
        for slot in range(count):
            longest = max(longest, now - jobs.submit[queue[slot]])
        result[:count] = 1.0 if longest == 0 else longest
    else:
        least = np.inf
        for slot in range(count):
            least = min(least, jobs.requested[queue[slot]])
        result[:count] = least


@compiled
def _unary(operation: int, a: float) -> float:
    value = np.nan
    if math.isnan(a):
        return value
    if operation == Operation.NOT:
        value = 1.0 if a == 0 else 0.0
    elif operation == Operation.NEGATE:
        value = -a
    elif operation == Operation.ABSOLUTE:
        value = abs(a)
    elif operation == Operation.SQUARE_ROOT:
        value = math.sqrt(a) if a >= 0 else np.nan
    elif operation == Operation.EXPONENTIAL:
        value = math.exp(a)
    elif operation == Operation.LOGARITHM:
        value = math.log(a) if a > 0 else np.nan
    elif operation == Operation.FLOOR:
        value = np.floor(a)
    elif operation == Operation.CEILING:
        value = np.ceil(a)
    return value


@compiled
def _comparison(operation: int, a: float, b: float) -> float:
    if operation == Operation.LESS:
        holds = a < b
    elif operation == Operation.LESS_EQUAL:
        holds = a <= b
    elif operation == Operation.EQUAL:
        holds = a == b
    else:
        holds = a != b
    return 1.0 if holds else 0.0


@compiled
def _truth(value: float) -> float:
    return value if math.isnan(value) else (1.0 if value != 0 else 0.0)


@compiled
def _logic(operation: int, a: float, b: float) -> float:
    """``and`` and ``or`` from left to right: the first that decides, or cannot be known, counts."""
    first = _truth(a)
    undecided = 1.0 if operation == Operation.AND else 0.0
    return _truth(b) if first == undecided else first


@compiled
def _rounded(value: float, places: float) -> float:
    """``value`` with so many decimal places, half to even, as Python's ``round``."""
    if places < 0 or places > MAX_PLACES or places != np.floor(places):
        return np.nan
    scale = 1.0
    for _ in range(int(places)):
        scale *= 10.0
    product = value * scale
    if abs(product) >= 2.0**53:  # the next number with so few places is further than the next float
        return value
    whole = np.floor(product)
    half = product - whole
    if half > 0.5:
        whole += 1.0
    elif half == 0.5:
        # The product may have been rounded to the tie: what was lost decides (Dekker, 1971).
        high, scale_high = _high_half(value), _high_half(scale)
        low, scale_low = value - high, scale - scale_high
        lost = high * scale_high - product + high * scale_low + low * scale_high + low * scale_low
        if lost > 0 or (lost == 0 and whole % 2 == 1):
            whole += 1.0
    return float(whole / scale)


@compiled
def _high_half(value: float) -> float:
    """The upper half of a number's digits."""
    shifted = 134_217_729.0 * value
    return shifted - (shifted - value)


@compiled
def _binary(operation: int, a: float, b: float) -> float:  # noqa: C901 - a table, compiled
    if operation == Operation.AND or operation == Operation.OR:
        return _logic(operation, a, b)
    if math.isnan(a) or math.isnan(b):
        return np.nan
    if operation >= Operation.LESS and operation <= Operation.NOT_EQUAL:
        return _comparison(operation, a, b)
    value = np.nan
    if operation == Operation.ADD:
        value = a + b
    elif operation == Operation.SUBTRACT:
        value = a - b
    elif operation == Operation.MULTIPLY:
        value = a * b
    elif operation == Operation.DIVIDE:
        value = a / b if b != 0 else np.nan
    elif operation == Operation.MODULO:
        value = a % b if b != 0 else np.nan
    elif operation == Operation.POWER:
        value = math.pow(a, b)
    elif operation == Operation.LEAST:
        value = min(a, b)
    elif operation == Operation.MOST:
        value = max(a, b)
    elif operation == Operation.ROUND:
        value = _rounded(a, b)
    return value


@compiled
def evaluate(  # noqa: C901 - a table, compiled
    score: Score, jobs: Jobs, queue: Ints, count: int, now: float
) -> Floats:
    """The scores of the first ``count`` jobs of ``queue``: finite, or NaN as in an Expression."""
    stack, top = score.stack, 0
    for place in range(len(score.operations)):
        operation = score.operations[place]
        if operation == Operation.NUMBER:
            stack[top, :count] = score.arguments[place]
            top += 1
        elif operation == Operation.NAME:
            _name(int(score.arguments[place]), jobs, queue, count, now, stack[top])
            top += 1
        elif operation == Operation.CHOOSE:
            top -= 2
            for slot in range(count):
                test = stack[top - 1, slot]
                if not math.isnan(test):
                    stack[top - 1, slot] = stack[top if test != 0 else top + 1, slot]
        elif operation == Operation.NOT or operation == Operation.NEGATE:
            for slot in range(count):
                stack[top - 1, slot] = _unary(operation, stack[top - 1, slot])
        elif operation >= Operation.ABSOLUTE:
            for slot in range(count):
                value = _unary(operation, stack[top - 1, slot])
                stack[top - 1, slot] = value if abs(value) < np.inf else np.nan
        else:
            top -= 1
            for slot in range(count):
                value = _binary(operation, stack[top - 1, slot], stack[top, slot])
                stack[top - 1, slot] = value if abs(value) < np.inf else np.nan
    return stack[0, :count]


@compiled
def place_last(jobs: Jobs, machine: Machine, score: Score) -> int:
    """Put the job that came last where its score belongs; -1, or the job without a score."""
    queue, scores = machine.queue, machine.scores
    slot = machine.counts[WAITING] - 1
    job = queue[slot]
    last = queue[slot : slot + 1]  # for a literal 1 the long function would be compiled once more
    value = evaluate(score, jobs, last, len(last), machine.clock[0])[0]
    if math.isnan(value):
        return int(job)
    while slot > 0 and scores[slot - 1] < value:
        scores[slot] = scores[slot - 1]
        queue[slot] = queue[slot - 1]
        slot -= 1
    scores[slot] = value
    queue[slot] = job
    return -1


@compiled
def sort_all(jobs: Jobs, machine: Machine, score: Score) -> int:
    """Score and sort the queue, stably, the highest first; -1, or a job without a score."""
    queue, count = machine.queue, machine.counts[WAITING]
    scores = evaluate(score, jobs, queue, count, machine.clock[0])
    for slot in range(count):
        value, job = scores[slot], queue[slot]
        if math.isnan(value):
            return int(job)
        place = slot
        while place > 0 and scores[place - 1] < value:
            scores[place] = scores[place - 1]
            queue[place] = queue[place - 1]
            place -= 1
        scores[place] = value
        queue[place] = job
    return -1
