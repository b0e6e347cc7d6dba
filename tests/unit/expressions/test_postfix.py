"""The stack machine gives what an Expression gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra_gym.errors import ExpressionError
from infra_gym.expressions import Expression, Operation, postfix
from infra_gym.simulators.batch import NAMES
from infra_gym.simulators.batch_machine import Jobs
from infra_gym.simulators.batch_score import Score, _rounded, evaluate

leaves = st.one_of(
    st.sampled_from(NAMES),
    st.floats(0, 1e6).map(lambda value: f"{value:.6g}"),
    st.sampled_from(["0", "1", "1e300", "0.5"]),
)


def grow(inner):
    return st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "%", "**"]), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        st.tuples(inner, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        st.tuples(inner, inner, inner).map(lambda parts: "({} < {} <= {})".format(*parts)),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        st.tuples(inner, inner, inner).map(lambda parts: "({} if {} else {})".format(*parts)),
        st.tuples(st.sampled_from(["-", "+", "not "]), inner).map(
            lambda parts: "({}{})".format(*parts)
        ),
        st.tuples(st.sampled_from(["abs", "sqrt", "exp", "log", "floor", "ceil"]), inner).map(
            lambda parts: "{}({})".format(*parts)
        ),
        st.tuples(st.sampled_from(["min", "max"]), st.lists(inner, min_size=2, max_size=3)).map(
            lambda parts: f"{parts[0]}({', '.join(parts[1])})"
        ),
        st.tuples(inner, inner, inner).map(lambda parts: "clip({}, {}, {})".format(*parts)),
        st.tuples(inner, st.integers(0, 16)).map(lambda parts: "round({}, {})".format(*parts)),
    )


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.floats(-1e18, 1e18),
        st.tuples(st.integers(-(10**9), 10**9), st.sampled_from([8, 1000, 2000])).map(
            lambda parts: parts[0] / parts[1]  # many of them ties
        ),
    ),
    st.integers(0, 15),
)
def test_rounding_is_pythons(value, places):
    assert _rounded(value, float(places)) == round(value, places)


@settings(max_examples=400, deadline=None)
@given(
    st.recursive(leaves, grow, max_leaves=12),
    st.lists(
        st.tuples(st.integers(0, 5000), st.integers(1, 90000), st.integers(1, 64)),
        min_size=1,
        max_size=4,
    ),
)
def test_it_equals_the_expression(text, jobs):
    submit, requested, nodes = (np.array(column) for column in zip(*jobs, strict=True))
    now = 5000.0
    waits = now - submit
    program = postfix(text, NAMES)
    score = Score(
        np.array([operation for operation, _ in program.instructions], dtype=np.int64),
        np.array([argument for _, argument in program.instructions], dtype=np.float64),
        0,
        np.empty((program.depth, len(jobs))),
    )
    times = submit.astype(np.float64), requested.astype(np.float64), requested.astype(np.float64)
    queue = Jobs(*times, nodes, nodes, np.empty((0, 6), dtype=np.float32))
    ours = evaluate(score, queue, np.arange(len(jobs)), len(jobs), now)
    for job in range(len(jobs)):
        names = {
            "s": submit[job],
            "t": requested[job],
            "n": nodes[job],
            "w": waits[job],
            "z": max(waits) or 1,
            "l": min(requested),
        }
        wanted = Expression(text).evaluate({name: float(value) for name, value in names.items()})
        assert ours[job] == wanted or (math.isnan(ours[job]) and math.isnan(wanted))


def test_a_program_by_hand():
    program = postfix("w / max(t, 1)", ["w", "t"])
    assert program.instructions == (
        (Operation.NAME, 0),
        (Operation.NAME, 1),
        (Operation.NUMBER, 1),
        (Operation.MOST, 0),
        (Operation.DIVIDE, 0),
    )
    assert program.depth == 3
    assert program.used == {"w", "t"}


def test_another_name_is_refused():
    with pytest.raises(ExpressionError, match="'wait' is not known"):
        postfix("wait + 1", ["w"])
    with pytest.raises(ExpressionError, match="not allowed"):
        postfix("w.x", ["w"])
