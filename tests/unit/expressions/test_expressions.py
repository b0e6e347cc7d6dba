"""The expression language: what it computes, what it refuses, and that nothing gets past it."""

from __future__ import annotations

import math
import pickle
import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra_gym.errors import ExpressionError
from infra_gym.expressions import FUNCTIONS, Expression, names_in
from infra_gym.expressions.expression import MAX_DEPTH, MAX_LENGTH


def value(text: str, **values: float) -> float:
    return Expression(text).evaluate(values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("-2 ** 2", -4),
        ("2 ** 3 ** 2", 512),
        ("(1 + 2) * 3 % 4", 1),
        ("-7 % 3", 2),
        ("+4", 4),
        ("1.5e2 + .5", 150.5),
        ("7. + 1", 8),
        ("1 < 2", 1),
        ("1 < 2 < 2", 0),
        ("1 <= 1 != 2 >= 2 == 2 > 1", 1),
        ("not 0 and 3", 1),
        ("0 or 0", 0),
        ("0 or 2", 1),
        ("10 if 1 > 2 else 20", 20),
        ("min(3, 1, 2) + max(3, 1, 2)", 4),
        ("abs(-3) + sqrt(9) + log(exp(2))", 8),
        ("floor(2.7) + ceil(2.1)", 5),
        ("clip(12, 0, 10) + clip(-1, 0, 10)", 10),
        ("round(2.675, 2) + round(-0.125, 2)", 2.55),
        ("\n 1\n+ 2 ", 3),
    ],
)
def test_computes_like_arithmetic(text: str, expected: float) -> None:
    assert value(text) == pytest.approx(expected)


def test_names_are_what_it_needs() -> None:
    expression = Expression("-0.0002 * (requests - within_slo) + max(ready, 1)")
    assert expression.names == {"requests", "within_slo", "ready"}
    assert names_in("1 + 1") == frozenset()
    given_values = {"requests": 1000, "within_slo": 500, "ready": 3, "more": 1}
    assert expression.evaluate(given_values) == pytest.approx(2.9)


@pytest.mark.parametrize(
    "text",
    [
        "1 / 0",
        "1 % 0",
        "0 ** -1",
        "(-8) ** 0.5",
        "log(0)",
        "sqrt(-1)",
        "exp(1000)",
        "10 ** 400",
        "1e308 * 10",
        "9 ** 9 ** 9 ** 9 ** 9",
        "1 / (1e308 * 10)",
    ],
)
def test_what_has_no_finite_answer_is_nan(text: str) -> None:
    assert math.isnan(value(text))


@pytest.mark.parametrize(
    "text",
    [
        "x + 1",
        "-x",
        "x < 1",
        "x != x",
        "not x",
        "x and 1",
        "x or 1",
        "1 if x else 2",
        "max(x, 1)",
        "max(1, x)",
        "min(1, x)",
        "clip(x, 0, 1)",
        "floor(x)",
        "x ** 0",
        "0 * x",
    ],
)
@pytest.mark.parametrize("unknown", [math.nan, math.inf, -math.inf])
def test_nan_is_never_turned_into_a_number(text: str, unknown: float) -> None:
    assert math.isnan(value(text, x=unknown))


def test_what_is_not_needed_is_not_computed() -> None:
    guarded = "ok / requests if requests > 0 else 1"
    assert value(guarded, ok=0, requests=0) == 1
    assert value("requests > 0 and ok / requests > 0.5", ok=0, requests=0) == 0
    assert value("1 or 1 / 0") == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("1 +", "column 4"),
        ("a b", "column 3"),
        ("(1", "never closed"),
        ("1 if 2", "else"),
        ("__import__('os').system('true')", "not allowed here"),
        ("a.b", r"'\.' is not allowed here"),
        ("a[0]", r"'\[' is not allowed here"),
        ("'text'", "not allowed here"),
        ("{1}", "not allowed here"),
        ("1 # note", "'#' is not allowed here"),
        ("(a := 1)", "not allowed here"),
        ("a = 1", "column 3"),
        ("a; b", "';' is not allowed here"),
        ("naïve", "'ï' is not allowed here"),
        ("min(a, b, **c)", "form is not allowed"),
        ("min(a, *b)", "form is not allowed"),
        ("0x10", "column 1"),
        ("1_000", "column 1"),
        ("3j", "column 1"),
        ("1if 2 else 3", "column 1"),
        ("1.2.3", "column 1"),
        ("1 // 2", "not allowed"),
        ("1 << 2", "not allowed|invalid"),
        ("~1", "not allowed here"),
        ("a is b", "not allowed"),
        ("a in b", "not allowed"),
        ("lambda", "invalid"),
        ("(yield)", "not allowed"),
        ("await a", "not allowed"),
        ("1, 2", "not allowed"),
        ("max(*a, 1)", "not allowed"),
        ("max(a for a in b)", "not allowed|takes"),
        ("True", "write a number instead of True"),
        ("None + 1", "write a number instead of None"),
        ("maxx(1, 2)", "Did you mean 'max'"),
        ("eval(1)", "'eval' is not a function"),
        ("max", "is a function: write max"),
        ("max(1)", "at least 2"),
        ("sqrt(1, 2)", "takes 1 argument, not 2"),
        ("clip(1)", "takes 3 arguments, not 1"),
        ("max()()", "not a function|at least"),
        ("1e999", "too large"),
        ("9" * 400, "too large"),
    ],
)
def test_refuses_what_is_not_in_the_language(text: str, says: str) -> None:
    with pytest.raises(ExpressionError, match=says):
        Expression(text)


def test_points_at_the_column() -> None:
    with pytest.raises(ExpressionError, match=r"column 6 of '1 \+ a\.b'") as refused:
        Expression("1 + a.b")
    assert refused.value.exit_code == 2


def test_says_which_name_has_no_value() -> None:
    with pytest.raises(ExpressionError, match=r"'requets' has no value.*Did you mean 'requests'"):
        Expression("ok / requets").evaluate({"ok": 1, "requests": 2})


@pytest.mark.parametrize(
    "text",
    [
        "(" * 400 + "1" + ")" * 400,
        "-" * (MAX_LENGTH - 1) + "1",
        "not " * 200 + "1",
        "1" + "+1" * 400,
        "2" + "**2" * 300,
        "a if b else " * 80 + "1",
        "max(1," * 100 + "1" + ")" * 100,
    ],
)
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"levels deep|too many nested|depth"):
        Expression(text)


def test_long_text_is_refused() -> None:
    with pytest.raises(ExpressionError, match=f"at most {MAX_LENGTH}"):
        Expression("a" * (MAX_LENGTH + 1))


def test_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(Expression("a  + 1")))
    assert copy.text == "a + 1"
    assert copy.evaluate({"a": 1}) == 2


tokens = st.sampled_from(
    [
        *FUNCTIONS,
        *["a", "b", "_", "__class__", "__import__", "lambda", "yield", "await", "import", "for"],
        *["and", "or", "not", "if", "else", "in", "is", "True", "None", "eval", "exec", "open"],
        *"+-*/%()<>=!,.[]{}:;@&|^~'\"\\#",
        *["**", "//", "==", "!=", "<=", ">=", ":=", "->"],
        *["0", "1", "9" * 50, "1e308", "1e-308", "0.1", " ", "\n", "\t"],
    ]
)
texts = st.one_of(
    st.lists(tokens, max_size=40).map(" ".join),
    st.lists(tokens, max_size=60).map("".join),
    st.text(max_size=60),
    st.text(alphabet=string.printable, max_size=200),
)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=150, deadline=None)
@given(text=texts, a=NUMBERS, b=NUMBERS)
def test_any_text_is_refused_or_gives_a_number(text: str, a: float, b: float) -> None:
    start = time.perf_counter()
    try:
        expression = Expression(text)
    except ExpressionError:
        result = math.nan
    else:
        result = expression.evaluate(dict.fromkeys(expression.names, a) | {"b": b})
    assert isinstance(result, float)
    assert not math.isinf(result)
    assert time.perf_counter() - start < 5


trees = st.recursive(
    st.sampled_from(["a", "b", "0.0", "1.0", "2.5", "1e9"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "%", "**", "<", "=="]), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        inner.map(lambda part: f"-({part})"),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
        st.tuples(inner, inner).map(lambda p: f"max({p[0]}, {p[1]})"),
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(text=trees, a=NUMBERS, b=NUMBERS)
def test_agrees_with_python_where_python_has_a_finite_answer(text: str, a: float, b: float) -> None:
    ours = Expression(text).evaluate({"a": a, "b": b})
    assert not math.isinf(ours)
    if math.isnan(ours):
        return
    python = eval(text, {"__builtins__": {}}, {"a": a, "b": b, "max": max})
    assert ours == pytest.approx(float(python), rel=1e-9)


def test_depth_limit_leaves_room_for_real_formulas() -> None:
    assert MAX_DEPTH >= 20
    assert value("+".join(["1"] * 30)) == 30
