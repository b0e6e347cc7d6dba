"""Means and intervals."""

from __future__ import annotations

import numpy as np
import pytest

from infra_gym.evaluation.evaluate import Result
from infra_gym.evaluation.summary import estimate, summarise


def result(agent="hpa", seed=1, reward=0.0, cost=None, share=None) -> Result:
    return Result(agent, seed, 1, 10, "truncated", reward, {}, cost, None, share)


def test_one_episode_has_no_interval():
    assert (estimate([3.0]).mean, estimate([3.0]).low) == (3.0, None)


def test_equal_episodes_leave_no_doubt():
    found = estimate([2.0] * 5)
    assert (found.mean, found.low, found.high) == (2.0, 2.0, 2.0)


def test_the_interval_is_that_of_the_normal_distribution_for_many_episodes():
    values = np.random.default_rng(1).normal(10, 2, 400)
    found = estimate(list(values))
    half = 1.96 * values.std(ddof=1) / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)


def test_the_order_of_the_episodes_does_not_matter():
    values = [1.0, 5.0, 2.0, 8.0]
    assert estimate(values) == estimate(values[::-1])


def test_a_summary_keeps_the_agents_order_and_what_was_never_measured_is_none():
    (random, hpa) = summarise(
        [result("random", cost=1.0), result("hpa", reward=4.0), result("hpa", seed=2, reward=6.0)]
    )
    assert (random.agent, random.cost_usd.mean, random.slo_share) == ("random", 1.0, None)
    assert (hpa.agent, hpa.episodes, hpa.reward.mean, hpa.cost_usd) == ("hpa", 2, 5.0, None)
