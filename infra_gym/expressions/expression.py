"""Expressions: read, checked and evaluated.

The text passes three gates. Its *tokens* must be numbers, ASCII names and the known operators, so
no string, bracket, dot or comment reaches the parser. Its *syntax tree* may hold only the forms
listed here. What is left is turned into nested Python functions over floats; Python's own ``eval``
and ``compile`` never see it. Numbers are floats from the start, so that no power can grow without
bound.

Every value on the way is a finite number or NaN. NaN stands for "cannot be known": it comes from a
division by zero, a logarithm of nothing, an overflow or a NaN put in, and it spreads through every
operator, comparison and function that it reaches. It is never turned into a number.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from math import isfinite

from infra_gym.errors import ExpressionError, did_you_mean

MAX_LENGTH = 1000
"""Longest expression, in characters."""
MAX_DEPTH = 40
"""Deepest nesting of operators, calls and conditions."""
MAX_PLACES = 15
"""Most decimal places that ``round`` keeps."""

_NAN = math.nan
_Evaluate = Callable[[Mapping[str, float]], float]

_TOKEN = re.compile(
    r"""\s*(?: (?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.])  # a number
             | [A-Za-z_][A-Za-z0-9_]*                                    # a name or and, or, ...
             | \*\*|<=|>=|==|!=|[-+*/%<>(),] )""",
    re.VERBOSE | re.ASCII,
)


def _least(*values: float) -> float:
    least = min(values)
    return least if isfinite(sum(values)) or not any(map(math.isnan, values)) else _NAN


def _most(*values: float) -> float:
    most = max(values)
    return most if isfinite(sum(values)) or not any(map(math.isnan, values)) else _NAN


def _power(base: float, exponent: float) -> float:
    # The C library says 1 for NaN ** 0 and 1 ** NaN.
    return _NAN if math.isnan(base) or math.isnan(exponent) else math.pow(base, exponent)


def _clip(value: float, low: float, high: float) -> float:
    return _least(_most(value, low), high)


def rounded(value: float, places: float) -> float:
    """``value`` with so many decimal places, a whole number up to :data:`MAX_PLACES`; else NaN."""
    return round(value, int(places)) if places in range(MAX_PLACES + 1) else _NAN


# Name -> (function, fewest arguments, most arguments).
_FUNCTIONS: dict[str, tuple[Callable[..., float], int, int]] = {
    "min": (_least, 2, MAX_LENGTH),
    "max": (_most, 2, MAX_LENGTH),
    "abs": (abs, 1, 1),
    "sqrt": (math.sqrt, 1, 1),
    "exp": (math.exp, 1, 1),
    "log": (math.log, 1, 1),
    "floor": (math.floor, 1, 1),
    "ceil": (math.ceil, 1, 1),
    "round": (rounded, 2, 2),
    "clip": (_clip, 3, 3),
}
FUNCTIONS = tuple(_FUNCTIONS)
"""The functions that an expression may call; ``clip(x, low, high)`` bounds ``x``, ``round(x, n)``
has ``n`` decimal places, as Python's."""

_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
}


class Expression:
    """A checked expression.

    Args:
        text: At most :data:`MAX_LENGTH` characters.

    Raises:
        ExpressionError: A token, form, function or number that is not allowed; names the column.
    """

    __slots__ = ("_evaluate", "names", "text")

    def __init__(self, text: str) -> None:
        self.text = " ".join(text.split())
        reader = _Reader(self.text)
        self._evaluate = reader.read()
        self.names = frozenset(reader.names)
        """The names whose values it needs."""

    def evaluate(self, values: Mapping[str, float]) -> float:
        """The value, finite or NaN; a comparison or a condition gives 1 or 0.

        Raises:
            ExpressionError: ``values`` lacks one of :attr:`names`.
        """
        try:
            return self._evaluate(values)
        except KeyError:
            name = min(self.names - values.keys())
            raise ExpressionError(
                f"{name!r} has no value, and {self.text!r} needs it."
                f"{did_you_mean(name, sorted(values))}"
            ) from None

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def __reduce__(self) -> tuple[type[Expression], tuple[str]]:
        return Expression, (self.text,)  # functions cannot be pickled, the text can


def names_in(expression: str) -> frozenset[str]:
    """The names that ``expression`` needs.

    Raises:
        ExpressionError: It is malformed, or has a form that is not allowed.
    """
    return Expression(expression).names


class _Reader:
    """Turns one text into a function, checking as it goes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: set[str] = set()

    def read(self) -> _Evaluate:
        self._check_tokens()
        try:
            tree = ast.parse(self.text, mode="eval")
        except SyntaxError as error:
            column = (error.offset or len(self.text) + 1) - 1  # 0: something is missing at the end
            raise self._refusal(error.msg, column) from None
        except (MemoryError, RecursionError):
            raise self._refusal(f"more than {MAX_DEPTH} levels deep", 0) from None
        return self._node(tree.body, 0)

    def _check_tokens(self) -> None:
        if not self.text:
            raise ExpressionError("An expression is empty. Write a number, a name or a formula.")
        if len(self.text) > MAX_LENGTH:
            raise ExpressionError(
                f"An expression has {len(self.text)} characters; at most {MAX_LENGTH} are allowed: "
                f"{self.text[:40]!r}... Split it into several metrics or terms."
            )
        position = 0
        while position < len(self.text):
            token = _TOKEN.match(self.text, position)
            if token is None:
                column = position + len(self.text[position:]) - len(self.text[position:].lstrip())
                raise self._refusal(
                    f"{self.text[column]!r} is not allowed here; allowed are numbers, names, "
                    "+ - * / % ** ( ) , < <= > >= == != and, or, not, if, else",
                    column,
                )
            position = token.end()

    def _node(self, node: ast.expr, depth: int) -> _Evaluate:
        if depth > MAX_DEPTH:
            raise self._refusal(f"more than {MAX_DEPTH} levels deep", node.col_offset)
        match node:
            case ast.Constant():
                return self._number(node)
            case ast.Name():
                return self._name(node)
            case ast.UnaryOp():
                return self._unary(node, depth)
            case ast.BinOp():
                return self._binary(node, depth)
            case ast.Compare():
                return self._comparison(node, depth)
            case ast.BoolOp():
                return self._boolean(node, depth)
            case ast.IfExp():
                return self._condition(node, depth)
            case ast.Call():
                return self._call(node, depth)
        raise self._refusal("this form is not allowed in expressions", node.col_offset)

    def _number(self, node: ast.Constant) -> _Evaluate:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise self._refusal(f"write a number instead of {node.value!r}", node.col_offset)
        try:
            value = float(node.value)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise self._refusal("this number is too large", node.col_offset)
        return lambda _: value

    def _name(self, node: ast.Name) -> _Evaluate:
        name = node.id
        if name in _FUNCTIONS:
            raise self._refusal(f"{name!r} is a function: write {name}(...)", node.col_offset)
        self.names.add(name)

        def known(values: Mapping[str, float]) -> float:  # as `_finite`, with one call less
            value = values[name]
            return float(value) if isfinite(value) else _NAN

        return known

    def _unary(self, node: ast.UnaryOp, depth: int) -> _Evaluate:
        operand = self._node(node.operand, depth + 1)
        match node.op:
            case ast.USub():
                return lambda values: -operand(values)
            case ast.UAdd():
                return operand
            case ast.Not():
                return lambda values: _truth(operand(values), negate=True)
        raise self._refusal("this operator is not allowed", node.col_offset)

    def _binary(self, node: ast.BinOp, depth: int) -> _Evaluate:
        function = _ARITHMETIC.get(type(node.op))
        if function is None:
            raise self._refusal("this operator is not allowed", node.col_offset)
        left, right = self._node(node.left, depth + 1), self._node(node.right, depth + 1)

        def compute(values: Mapping[str, float]) -> float:  # as `_guarded`, with one call less
            try:
                value = function(left(values), right(values))
            except (ArithmeticError, ValueError):
                return _NAN
            return value if isfinite(value) else _NAN

        return compute

    def _comparison(self, node: ast.Compare, depth: int) -> _Evaluate:
        tests = [_COMPARISONS.get(type(kind)) for kind in node.ops]
        known = [test for test in tests if test is not None]
        if len(known) < len(tests):
            raise self._refusal("this comparison is not allowed", node.col_offset)
        operands = [self._node(operand, depth + 1) for operand in (node.left, *node.comparators)]

        def compare(values: Mapping[str, float]) -> float:
            numbers = [operand(values) for operand in operands]
            if any(map(math.isnan, numbers)):
                return _NAN
            pairs = zip(known, numbers, numbers[1:], strict=False)
            return float(all(test(left, right) for test, left, right in pairs))

        return compare

    def _boolean(self, node: ast.BoolOp, depth: int) -> _Evaluate:
        operands = [self._node(operand, depth + 1) for operand in node.values]
        decisive = float(isinstance(node.op, ast.Or))

        def combine(values: Mapping[str, float]) -> float:
            for operand in operands:
                truth = _truth(operand(values))
                if truth != 1 - decisive:  # decided, or NaN
                    return truth
            return 1 - decisive

        return combine

    def _condition(self, node: ast.IfExp, depth: int) -> _Evaluate:
        test, then, otherwise = (
            self._node(part, depth + 1) for part in (node.test, node.body, node.orelse)
        )

        def choose(values: Mapping[str, float]) -> float:
            truth = _truth(test(values))
            if math.isnan(truth):
                return _NAN
            return then(values) if truth else otherwise(values)

        return choose

    def _call(self, node: ast.Call, depth: int) -> _Evaluate:
        if not isinstance(node.func, ast.Name) or node.func.id not in _FUNCTIONS:
            name = node.func.id if isinstance(node.func, ast.Name) else "this"
            raise self._refusal(
                f"{name!r} is not a function.{did_you_mean(name, FUNCTIONS)}", node.col_offset
            )
        if node.keywords:  # min(a, b, **c): two stars are a power's sign too
            raise self._refusal("this form is not allowed in expressions", node.col_offset)
        function, fewest, most = _FUNCTIONS[node.func.id]
        if not fewest <= len(node.args) <= most:
            wanted = f"{fewest}" if fewest == most else f"at least {fewest}"
            raise self._refusal(
                f"{node.func.id} takes {wanted} argument{'s' if fewest > 1 else ''}, "
                f"not {len(node.args)}",
                node.col_offset,
            )
        guarded = _guarded(function)
        arguments = [self._node(argument, depth + 1) for argument in node.args]
        if len(arguments) == 2:  # the usual number, with one generator less
            first, second = arguments
            return lambda values: guarded(first(values), second(values))
        return lambda values: guarded(*(argument(values) for argument in arguments))

    def _refusal(self, problem: str, column: int) -> ExpressionError:
        return ExpressionError(f"{problem} (column {column + 1} of {self.text!r})")


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else _NAN


def _truth(value: float, *, negate: bool = False) -> float:
    return _NAN if math.isnan(value) else float((value != 0) is not negate)


def _guarded(function: Callable[..., float]) -> Callable[..., float]:
    """``function``, with NaN for what has no finite answer."""

    def guarded(*arguments: float) -> float:
        try:
            return _finite(function(*arguments))
        except (ArithmeticError, ValueError):
            return _NAN

    return guarded
