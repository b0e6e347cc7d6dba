"""The benchmark's statistics beside SciPy's, and where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from infra_gym.evaluation.statistics import (
    holm,
    interquartile_mean,
    interval,
    paired_p_value,
    pareto_front,
    rank_correlation,
)


def test_the_interquartile_mean_forgets_a_quarter_at_each_end():
    assert interquartile_mean([1000, 3, 1, 4, 2, -1000, 5, 6]) == pytest.approx((2 + 3 + 4 + 5) / 4)


@pytest.mark.parametrize("robust", [True, False])
def test_intervals_agree_with_scipys_stratified_bootstrap(robust):
    rng = np.random.default_rng(5)
    strata = [rng.normal(mean, spread, 60) for mean, spread in ((0, 1), (5, 3), (-4, 2))]

    def statistic(*samples, axis):
        values = np.concatenate(samples, axis=axis)
        return interquartile_mean(values, axis) if robust else values.mean(axis=axis)

    theirs = stats.bootstrap(
        strata, statistic, method="percentile", n_resamples=4000, rng=np.random.default_rng(1)
    )
    ours = interval(strata, robust=robust)
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours.value == pytest.approx(statistic(*strata, axis=0))
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.1 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.1 * width)


def test_strata_are_never_mixed():
    assert interval([[1.0] * 10, [3.0] * 10], robust=False) == interval(
        [[3.0] * 10, [1.0] * 10], robust=False
    )
    found = interval([[1.0] * 10, [3.0] * 10], robust=False)
    assert (found.low, found.value, found.high) == (2.0, 2.0, 2.0)


def test_models_that_differ_widen_the_interval():
    seeds = np.random.default_rng(2).normal(0, 1, 50)
    alike, apart = np.stack([seeds] * 4), np.stack([seeds + shift for shift in (-3, -1, 1, 3)])
    one, other = interval([alike], robust=False), interval([apart], robust=False)
    assert one.value == pytest.approx(other.value)
    assert other.high - other.low > 3 * (one.high - one.low)


def test_the_same_scores_give_the_same_interval():
    scores = [np.arange(20.0)]
    assert interval(scores) == interval(scores)


def test_p_values():
    differences = np.random.default_rng(3).normal(0.4, 1, 40)
    assert paired_p_value(differences) == pytest.approx(stats.wilcoxon(differences).pvalue)
    assert paired_p_value(np.zeros(10)) == 1.0


def test_holms_correction():
    # The worked example that textbooks use: 0.01, 0.04, 0.03, 0.005 become 0.03, 0.06, 0.06, 0.02.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_front_is_whom_nobody_beats_in_both():
    points = {"cheap": (1, 0.9), "good": (2, 0.99), "worse": (2, 0.98), "dear": (3, 0.99)}
    assert pareto_front(points) == ["cheap", "good"]
    assert pareto_front({"a": (1, 0.5), "b": (1, 0.5)}) == ["a", "b"]


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(4)
    one = rng.normal(size=25).round(1)  # with ties
    other = one + rng.normal(scale=0.5, size=25)
    found = rank_correlation(one, other)
    assert found.value == pytest.approx(stats.spearmanr(one, other).statistic)
    assert found.low < found.value < found.high
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]).value == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [7, 7, 7, 7]) is None
