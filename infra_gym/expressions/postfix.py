"""An expression as a program for a stack machine, so that compiled code can evaluate it.

Compiled simulators take the program as data: a new expression needs no new compilation. Each
instruction takes its operands from the stack and puts its result there; the value of the expression
is what is left. NaN spreads as in :class:`~infra_gym.expressions.Expression`.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from infra_gym.errors import ExpressionError, did_you_mean
from infra_gym.expressions.expression import Expression


class Operation(IntEnum):
    """What an instruction does; the comments name its operands, the last pushed last."""

    NUMBER = 0  # pushes its argument
    NAME = 1  # pushes the name whose place in `names` is its argument
    ADD = 2
    SUBTRACT = 3
    MULTIPLY = 4
    DIVIDE = 5
    MODULO = 6
    POWER = 7
    LESS = 8
    LESS_EQUAL = 9
    EQUAL = 10
    NOT_EQUAL = 11
    AND = 12
    OR = 13
    NOT = 14
    NEGATE = 15
    CHOOSE = 16  # condition, value if it holds, value otherwise
    LEAST = 17
    MOST = 18
    ROUND = 19  # value, decimal places
    ABSOLUTE = 20
    SQUARE_ROOT = 21
    EXPONENTIAL = 22
    LOGARITHM = 23
    FLOOR = 24
    CEILING = 25


@dataclass(frozen=True)
class Program:
    """Instructions in order.

    Attributes:
        text: The expression.
        names: What :attr:`Operation.NAME` refers to.
        used: The names that the expression needs.
        instructions: Operation and argument (0 where it has none).
        depth: The deepest that the stack becomes.
    """

    text: str
    names: tuple[str, ...]
    used: frozenset[str]
    instructions: tuple[tuple[Operation, float], ...]
    depth: int


def postfix(text: str, names: Sequence[str]) -> Program:
    """The program of an expression.

    Args:
        text: The expression.
        names: The names that it may use.

    Raises:
        ExpressionError: It is malformed, or uses another name.
    """
    expression = Expression(text)
    unknown = sorted(expression.names - set(names))
    if unknown:
        raise ExpressionError(
            f"{unknown[0]!r} is not known in {expression.text!r}."
            f"{did_you_mean(unknown[0], list(names))}"
        )
    writer = _Writer(tuple(names))
    writer.write(ast.parse(expression.text, mode="eval").body)
    return Program(
        text=expression.text,
        names=writer.names,
        used=expression.names,
        instructions=tuple(writer.instructions),
        depth=writer.deepest,
    )


_BINARY: dict[type[ast.operator], Operation] = {
    ast.Add: Operation.ADD,
    ast.Sub: Operation.SUBTRACT,
    ast.Mult: Operation.MULTIPLY,
    ast.Div: Operation.DIVIDE,
    ast.Mod: Operation.MODULO,
    ast.Pow: Operation.POWER,
}
# Operation, and whether the operands change places.
_COMPARISONS: dict[type[ast.cmpop], tuple[Operation, bool]] = {
    ast.Lt: (Operation.LESS, False),
    ast.LtE: (Operation.LESS_EQUAL, False),
    ast.Gt: (Operation.LESS, True),
    ast.GtE: (Operation.LESS_EQUAL, True),
    ast.Eq: (Operation.EQUAL, False),
    ast.NotEq: (Operation.NOT_EQUAL, False),
}
_CALLS = {
    "min": Operation.LEAST,
    "max": Operation.MOST,
    "round": Operation.ROUND,
    "abs": Operation.ABSOLUTE,
    "sqrt": Operation.SQUARE_ROOT,
    "exp": Operation.EXPONENTIAL,
    "log": Operation.LOGARITHM,
    "floor": Operation.FLOOR,
    "ceil": Operation.CEILING,
}
_POPS = {Operation.NUMBER: 0, Operation.NAME: 0, Operation.CHOOSE: 3} | dict.fromkeys(
    (
        Operation.NOT,
        Operation.NEGATE,
        Operation.ABSOLUTE,
        Operation.SQUARE_ROOT,
        Operation.EXPONENTIAL,
        Operation.LOGARITHM,
        Operation.FLOOR,
        Operation.CEILING,
    ),
    1,
)


class _Writer:
    """Writes the instructions of a tree that :class:`Expression` has checked."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.instructions: list[tuple[Operation, float]] = []
        self.deepest = self._depth = 0

    def write(self, node: ast.expr) -> None:  # noqa: C901 - a table
        match node:
            case ast.Constant():
                self._add(Operation.NUMBER, float(node.value))  # type: ignore[arg-type]
            case ast.Name():
                self._add(Operation.NAME, float(self.names.index(node.id)))
            case ast.UnaryOp():
                self.write(node.operand)
                if not isinstance(node.op, ast.UAdd):
                    negates = isinstance(node.op, ast.USub)
                    self._add(Operation.NEGATE if negates else Operation.NOT)
            case ast.BinOp():
                self._fold(_BINARY[type(node.op)], [node.left, node.right])
            case ast.BoolOp():
                either = isinstance(node.op, ast.Or)
                self._fold(Operation.OR if either else Operation.AND, node.values)
            case ast.IfExp():
                for part in (node.test, node.body, node.orelse):
                    self.write(part)
                self._add(Operation.CHOOSE)
            case ast.Compare():
                self._comparison(node)
            case ast.Call():
                self._call(node)

    def _comparison(self, node: ast.Compare) -> None:
        """``a < b < c`` is ``(a < b) * (b < c)``: unlike ``and``, it is NaN where either is."""
        operands = [node.left, *node.comparators]
        for place, operator in enumerate(node.ops):
            operation, swapped = _COMPARISONS[type(operator)]
            left, right = operands[place : place + 2]
            self._fold(operation, [right, left] if swapped else [left, right])
            if place:
                self._add(Operation.MULTIPLY)

    def _call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == "clip":
            value, low, high = node.args
            self._fold(Operation.MOST, [value, low])
            self.write(high)
            self._add(Operation.LEAST)
        elif len(node.args) == 1:
            self.write(node.args[0])
            self._add(_CALLS[name])
        else:
            self._fold(_CALLS[name], node.args)

    def _fold(self, operation: Operation, operands: Sequence[ast.expr]) -> None:
        self.write(operands[0])
        for operand in operands[1:]:
            self.write(operand)
            self._add(operation)

    def _add(self, operation: Operation, argument: float = 0.0) -> None:
        self.instructions.append((operation, argument))
        self._depth += 1 - _POPS.get(operation, 2)
        self.deepest = max(self.deepest, self._depth)
