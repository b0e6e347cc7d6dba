"""Expressions over columns: one value for each of many environments at once.

A column's place holds the number that :class:`~infra_gym.expressions.Expression` gives for the
values in that place, to the last bit: the same operations of IEEE 754 in the same order, and where
NumPy's own functions may differ from the C library's in the last bit, the C library's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from infra_gym.errors import ExpressionError, did_you_mean
from infra_gym.expressions.expression import Expression, rounded
from infra_gym.expressions.postfix import Operation, postfix

Column = NDArray[np.float64]


class ColumnExpression:
    """An expression that is evaluated for many environments at once.

    Args:
        text: As for :class:`~infra_gym.expressions.Expression`.

    Raises:
        ExpressionError: It is malformed, or has a form that is not allowed.
    """

    def __init__(self, text: str) -> None:
        names = sorted(Expression(text).names)
        self._program = postfix(text, names)
        self.text = self._program.text
        self.names = self._program.used

    def evaluate(self, values: Mapping[str, Column], number: int) -> Column:
        """The values, shape (number,): finite or NaN; a comparison or a condition gives 1 or 0.

        Args:
            values: A column for each of :attr:`names`, shape (number,).
            number: How many environments there are.

        Raises:
            ExpressionError: ``values`` lacks a name.
        """
        stack: list[Column] = []
        with np.errstate(all="ignore"):
            for operation, argument in self._program.instructions:
                if operation is Operation.NUMBER:
                    stack.append(np.asarray(argument))
                elif operation is Operation.NAME:
                    stack.append(_known(self._column(values, int(argument))))
                else:
                    count = 1 if operation in _UNARY else 3 if operation is Operation.CHOOSE else 2
                    operands = stack[-count:]
                    stack[-count:] = [_OPERATIONS[operation](*operands)]
        result = stack[0]
        if result.shape != (number,) or any(result is column for column in values.values()):
            return np.full(number, result)
        return result

    def _column(self, values: Mapping[str, Column], place: int) -> Column:
        name = self._program.names[place]
        if name not in values:
            raise ExpressionError(
                f"{name!r} has no value, and {self.text!r} needs it."
                f"{did_you_mean(name, sorted(values))}"
            )
        return values[name]


def _known(column: Column) -> Column:
    """The column, with NaN for what is infinite."""
    if math.isfinite(np.add.reduce(column, axis=None)):
        return column  # no sum of numbers is finite unless each is
    finite = np.isfinite(column)
    return column if finite.all() else np.where(finite, column, np.nan)


def _guarded(function: Callable[..., Column]) -> Callable[..., Column]:
    return lambda *operands: _known(function(*operands))


def _with_nan(function: Callable[[Column, Column], NDArray[np.bool_]]) -> Callable[..., Column]:
    """A comparison that cannot be known where an operand cannot."""

    def compare(a: Column, b: Column) -> Column:
        return np.where(np.isnan(a) | np.isnan(b), np.nan, function(a, b))

    return compare


def _truth(a: Column) -> Column:
    return np.where(np.isnan(a), a, a != 0)


def _either(undecided: float) -> Callable[..., Column]:
    """``and`` and ``or`` from left to right: the first that decides, or cannot be known, counts."""

    def combine(a: Column, b: Column) -> Column:
        first = _truth(a)
        return np.where(first == undecided, _truth(b), first)

    return combine


def _choose(test: Column, then: Column, otherwise: Column) -> Column:
    return np.where(np.isnan(test), np.nan, np.where(test != 0, then, otherwise))


def _one_of_two(better: Callable[[Column, Column], NDArray[np.bool_]]) -> Callable[..., Column]:
    """The first of the two, unless the second is better: which of 0.0 and -0.0 matters."""

    def pick(a: Column, b: Column) -> Column:
        return np.where(better(b, a) | np.isnan(b), b, a)

    return pick


def _by_one(function: Callable[..., float]) -> Callable[..., Column]:
    """A function of the C library, called for one number after another."""

    def call(*numbers: float) -> float:
        try:
            return function(*numbers)
        except (ArithmeticError, ValueError):
            return math.nan

    def of_columns(*columns: Column) -> Column:
        numbers = np.broadcast_arrays(*columns)
        given = (one.ravel().tolist() for one in numbers)  # Python's round is not NumPy's
        results = [call(*each) for each in zip(*given, strict=True)]
        return np.array(results, dtype=np.float64).reshape(numbers[0].shape)

    return of_columns


def _power(base: float, exponent: float) -> float:
    # The C library says 1 for NaN ** 0 and 1 ** NaN.
    return math.nan if math.isnan(base) or math.isnan(exponent) else math.pow(base, exponent)


_OPERATIONS: dict[Operation, Callable[..., Column]] = {
    Operation.ADD: _guarded(np.add),
    Operation.SUBTRACT: _guarded(np.subtract),
    Operation.MULTIPLY: _guarded(np.multiply),
    Operation.DIVIDE: _guarded(np.divide),
    Operation.MODULO: _guarded(np.remainder),
    Operation.POWER: _guarded(_by_one(_power)),
    Operation.LESS: _with_nan(np.less),
    Operation.LESS_EQUAL: _with_nan(np.less_equal),
    Operation.EQUAL: _with_nan(np.equal),
    Operation.NOT_EQUAL: _with_nan(np.not_equal),
    Operation.AND: _either(1.0),
    Operation.OR: _either(0.0),
    Operation.NOT: lambda a: np.where(np.isnan(a), a, a == 0),
    Operation.NEGATE: np.negative,
    Operation.CHOOSE: _choose,
    Operation.LEAST: _one_of_two(np.less),
    Operation.MOST: _one_of_two(np.greater),
    Operation.ROUND: _guarded(_by_one(rounded)),
    Operation.ABSOLUTE: np.abs,
    Operation.SQUARE_ROOT: _guarded(np.sqrt),
    Operation.EXPONENTIAL: _guarded(_by_one(math.exp)),
    Operation.LOGARITHM: _guarded(_by_one(math.log)),
    # Zero has one sign after Python's floor and ceil.
    Operation.FLOOR: lambda a: np.floor(a) + 0.0,
    Operation.CEILING: lambda a: np.ceil(a) + 0.0,
}
_UNARY = frozenset(
    (
        Operation.NOT,
        Operation.NEGATE,
        Operation.ABSOLUTE,
        Operation.SQUARE_ROOT,
        Operation.EXPONENTIAL,
        Operation.LOGARITHM,
        Operation.FLOOR,
        Operation.CEILING,
    )
)
