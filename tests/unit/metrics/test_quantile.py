from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra_gym.metrics import quantile

INF = math.inf


@pytest.mark.parametrize(
    ("q", "buckets", "expected"),
    [
        # The first bucket begins at 0.
        (0.5, {0.1: 10, 0.2: 10, INF: 10}, 0.05),
        # Linear inside a bucket.
        (0.95, {0.1: 50, 0.5: 90, 1.0: 100, INF: 100}, 0.75),
        # Exactly on a bound.
        (0.5, {0.1: 50, 0.5: 100, INF: 100}, 0.1),
        # Beyond the last finite bound, that bound.
        (0.99, {0.1: 50, 0.5: 60, INF: 100}, 0.5),
        # A first bucket that ends below zero is not interpolated.
        (0.1, {-1.0: 50, 0.5: 60, INF: 100}, -1.0),
        # What is not monotonic is lifted.
        (0.5, {0.1: 10, 0.2: 9, 0.4: 20, INF: 20}, 0.1),
    ],
)
def test_interpolation(q: float, buckets: dict[float, float], expected: float) -> None:
    assert quantile(q, buckets) == pytest.approx(expected)


@pytest.mark.parametrize("buckets", [{}, {INF: 5.0}, {0.1: 5.0, 0.2: 5.0}, {0.1: 0.0, INF: 0.0}])
def test_nothing_to_say(buckets: dict[float, float]) -> None:
    assert math.isnan(quantile(0.5, buckets))


@given(
    st.lists(st.integers(0, 100), min_size=2, max_size=20).filter(any),
    st.floats(0.001, 0.999),
    st.floats(0.001, 0.999),
)
def test_it_rises_with_q_and_stays_within_the_bounds(
    counts: list[int], one: float, other: float
) -> None:
    bounds = [0.1 * (i + 1) for i in range(len(counts) - 1)] + [INF]
    cumulative = [float(sum(counts[: i + 1])) for i in range(len(counts))]
    buckets = dict(zip(bounds, cumulative, strict=True))
    low, high = sorted((one, other))
    assert 0 <= quantile(low, buckets) <= quantile(high, buckets) <= bounds[-2]
