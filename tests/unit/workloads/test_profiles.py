"""Arrival profiles: their mean, their form, what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra_gym.errors import UsageError
from infra_gym.workloads import Workload, parse_workload
from infra_gym.workloads.workload import PROFILES

SHAPES: dict[str, dict[str, Any]] = {
    "constant": {},
    "daily": {"period_s": 600},
    "sine": {"period_s": 600, "amplitude": 1},
    "ramp": {"duration_s": 36_000},
    "random": {"hold_s": 10},
    "staircase": {"levels_rps": [10, 40, 20], "hold_s": 10},
    "bursty": {"calm_s": 30, "burst_s": 10},
    "flash_crowd": {"period_s": 300, "rise_s": 10, "stay_s": 20, "fall_s": 30},
}


def workload(profile: str, **more: Any) -> Workload:
    return parse_workload({"profile": profile, "mean_rps": 50, **SHAPES[profile], **more})


def rates(load: Workload, seconds: int = 36_000, seed: int = 3) -> np.ndarray:
    return load.rate(np.arange(seconds) + 0.5, np.random.default_rng(seed))


@pytest.mark.parametrize("profile", SHAPES)
def test_the_long_run_mean_is_mean_rps(profile: str) -> None:
    # 3,600 levels, 900 bursts: the random ones are within a few per cent.
    assert rates(workload(profile)).mean() == pytest.approx(50, rel=0.1)
    assert rates(workload(profile)).min() >= 0


@pytest.mark.parametrize("profile", SHAPES)
def test_the_same_seed_draws_the_same_curve(profile: str) -> None:
    load = workload(profile)
    np.testing.assert_array_equal(rates(load, 2000), rates(load, 2000))
    differs = not np.array_equal(rates(load, 2000), rates(load, 2000, seed=4))
    assert differs == (profile in {"random", "bursty", "flash_crowd"})


@pytest.mark.parametrize("profile", SHAPES)
def test_no_times_give_no_rates(profile: str) -> None:
    assert workload(profile).rate(np.array([]), np.random.default_rng(0)).shape == (0,)


def test_a_staircase_holds_each_level_and_begins_again() -> None:
    load = parse_workload({"profile": "staircase", "levels_rps": [10, 0, 40], "hold_s": 2})
    assert rates(load, 8).tolist() == [10, 10, 0, 0, 40, 40, 10, 10]


def test_a_staircase_needs_a_level_with_load() -> None:
    with pytest.raises(UsageError, match="levels_rps: at least one level must be above 0"):
        parse_workload({"profile": "staircase", "levels_rps": [0, 0]})


def test_a_day_is_quiet_at_night_and_has_two_peaks() -> None:
    day = rates(workload("daily", period_s=24_000), 24_000) / 50
    assert day[0] == pytest.approx(0.15, abs=0.01)
    assert day.max() == pytest.approx(1.43, abs=0.01)
    rising = np.diff(day) > 0
    assert np.count_nonzero(rising[:-1] & ~rising[1:]) == 2


def test_swing_flattens_a_day() -> None:
    assert np.ptp(rates(workload("daily", swing=0))) == 0


def test_a_ramp_climbs_to_growth_times_its_start_and_stays() -> None:
    curve = rates(workload("ramp", duration_s=1000, growth=3), 3000)
    assert curve[0] == pytest.approx(25, rel=0.01)
    assert curve[1000:] == pytest.approx(75)
    assert curve[:1000].mean() == pytest.approx(50)


def test_random_levels_hold_and_stay_in_bounds() -> None:
    curve = rates(workload("random", hold_s=100, low=0.5), 10_000).reshape(100, 100)
    assert np.ptp(curve, axis=1).max() == 0
    assert len(np.unique(curve)) == 100
    assert 25 <= curve.min() < curve.max() <= 75


def test_bursty_has_two_levels_and_the_share_of_time_that_it_says() -> None:
    curve = rates(workload("bursty", burst=5))
    calm, burst = np.unique(curve)
    assert burst == pytest.approx(5 * calm)
    assert (curve == burst).mean() == pytest.approx(0.25, abs=0.04)


def test_one_crowd_in_each_period() -> None:
    curve = rates(workload("flash_crowd", peak=10), 3000).reshape(10, 300)
    assert curve.max(axis=1) == pytest.approx(10 * curve.min(), rel=0.01)
    assert len(set(curve.argmax(axis=1))) > 5  # at random times


def test_a_crowd_must_fit_its_period() -> None:
    with pytest.raises(UsageError, match="longer than period_s"):
        workload("flash_crowd", period_s=20)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "workload.profile: is missing"),
        ({"profile": "dayly", "mean_rps": 1}, "Did you mean 'daily'"),
        ({"profile": "daily"}, "workload.mean_rps: is missing"),
        ({"profile": "daily", "mean_rps": 0}, "workload.mean_rps: should be greater than 0, not 0"),
        ({"profile": "daily", "mean_rps": float("nan")}, "finite"),
        ({"profile": "daily", "mean_rps": float("inf")}, "finite"),
        ({"profile": "daily", "men_rps": 1}, "workload.men_rps: .*Did you mean 'mean_rps'"),
        ({"profile": "sine", "mean_rps": 1, "amplitude": 2}, "workload.amplitude: should be less"),
        ({"profile": "sine", "mean_rps": 1, "period_s": 0}, "workload.period_s: should be greater"),
        ({"profile": "bursty", "mean_rps": 1, "burst": 1}, "workload.burst"),
    ],
)
def test_a_wrong_workload_is_told_in_one_line(data: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        parse_workload(data)
    assert "\n" not in refused.value.message


def test_every_profile_has_a_name() -> None:
    assert set(PROFILES) == {*SHAPES, "trace"}


@settings(max_examples=60, deadline=None)
@given(
    profile=st.sampled_from(sorted(SHAPES)),
    mean=st.floats(0.001, 1000),
    start=st.floats(0, 1e5),
    seed=st.integers(0, 2**32),
)
def test_rates_are_finite_and_never_negative(
    profile: str, mean: float, start: float, seed: int
) -> None:
    times = start + np.arange(50.0)
    curve = workload(profile, mean_rps=mean).rate(times, np.random.default_rng(seed))
    assert curve.shape == times.shape
    assert np.isfinite(curve).all()
    assert (curve >= -1e-9 * mean).all()
