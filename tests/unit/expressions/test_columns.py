"""Expressions over columns give what single expressions give, to the last bit."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra_gym.errors import ExpressionError
from infra_gym.expressions import ColumnExpression, Expression

TEXTS = [
    "-0.0002 * (a - b)",
    "a / b",
    "a % b",
    "a ** b",
    "min(a, b, 0) + max(-0.0, a, b)",
    "max(b, a)",
    "abs(a) + sqrt(b) + exp(a) + log(b)",
    "floor(a) + ceil(b)",
    "ceil(a)",
    "clip(a, b, 1)",
    "round(a, 2) - round(100 * b, 1)",
    "round(a, b)",
    "a < b <= 2",
    "a > b != 2 >= a == a",
    "a and b or not a",
    "not (a or b)",
    "a if b else -a",
    "1 / 0 if a else b",
    "3",
    "-(2 ** 0.5)",
]
NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 1e308, -1e308, 5e-324, math.nan, math.inf]),
    st.floats(-50, 50),
)


def bits(number: float) -> bytes:
    return b"nan" if math.isnan(number) else struct.pack("d", number)


@pytest.mark.parametrize("text", TEXTS)
@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=6))
def test_each_place_has_what_a_single_expression_gives(text, pairs):
    columns = {
        name: np.array(column) for name, column in zip("ab", zip(*pairs, strict=True), strict=True)
    }
    single, many = Expression(text), ColumnExpression(text)
    assert many.names == single.names
    result = many.evaluate(columns, len(pairs))
    for place, (a, b) in enumerate(pairs):
        expected = single.evaluate({"a": a, "b": b})
        assert bits(result[place]) == bits(expected), (text, a, b)


def test_the_result_is_an_array_of_its_own():
    column = np.array([1.0, 2.0])
    result = ColumnExpression("a").evaluate({"a": column}, 2)
    result[:] = 7
    assert column.tolist() == [1.0, 2.0]


def test_a_name_without_a_column_is_refused():
    with pytest.raises(ExpressionError, match="requests"):
        ColumnExpression("request + 1").evaluate({"requests": np.ones(2)}, 2)
