"""Compiled expressions give what single expressions give, to the last bit."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra_gym.expressions import Expression, postfix
from infra_gym.simulators.task_columns import KNOWN_OPERATIONS, Programs, evaluate

# One worker compiles, once, what all of these need.
pytestmark = pytest.mark.xdist_group("webapp")

TEXTS = [
    "-0.0002 * (a - b)",
    "a / b",
    "min(a, b, 0) + max(-0.0, a, b)",
    "max(b, a)",
    "abs(a) - abs(-b)",
    "clip(a, b, 1)",
    "a < b <= 2",
    "a > b != 2 >= a == a",
    "not a",
    "a if b else -a",
    "1 / 0 if a else b",
    "3",
]
NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 1e308, -1e308, 5e-324, math.nan, math.inf]),
    st.floats(-50, 50),
)


def programs(texts, names, otherwise) -> Programs:
    every = [postfix(text, names) for text in texts]
    instructions = [one for program in every for one in program.instructions]
    assert {operation for operation, _ in instructions} <= KNOWN_OPERATIONS
    return Programs(
        operations=np.array([operation for operation, _ in instructions], dtype=np.int64),
        arguments=np.array([argument for _, argument in instructions]),
        ends=np.cumsum([len(program.instructions) for program in every]),
        otherwise=np.array(otherwise),
        depth=max(program.depth for program in every),
    )


def bits(number: float) -> bytes:
    return b"nan" if math.isnan(number) else struct.pack("d", number)


@pytest.mark.parametrize("text", TEXTS)
@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=6))
def test_each_place_has_what_a_single_expression_gives(text, pairs):
    numbers = np.zeros((3, len(pairs)))  # rows lie together, as those of an environment do
    numbers[:2] = np.array(pairs).T
    missing = np.zeros((1, len(pairs)), dtype=np.bool_)
    evaluate(programs([text], ["a", "b"], [math.nan]), numbers, missing, 0, len(pairs))
    for place, (a, b) in enumerate(pairs):
        expected = Expression(text).evaluate({"a": a, "b": b})
        assert bits(numbers[2, place]) == bits(expected), (text, a, b)
        assert missing[0, place] == math.isnan(expected)


def test_later_expressions_use_earlier_ones_and_their_values_for_nothing():
    many = 700  # several blocks
    numbers = np.zeros((4, many))
    numbers[0], numbers[1] = np.arange(many), np.arange(many) % 3
    missing = np.zeros((2, many), dtype=np.bool_)
    names = ["a", "b", "share"]
    evaluate(programs(["a / b", "share + 1"], names, [7.0, math.nan]), numbers, missing, 0, many)
    nothing = numbers[1] == 0
    assert np.array_equal(missing[0], nothing)
    assert not missing[1].any()
    assert np.all(numbers[2, nothing] == 7)
    assert np.array_equal(numbers[2, ~nothing], numbers[0, ~nothing] / numbers[1, ~nothing])
    assert np.array_equal(numbers[3], numbers[2] + 1)
