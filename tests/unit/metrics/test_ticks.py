from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra_gym.metrics import Ticks


class Clock:
    """Sleeps exactly, then a little too long."""

    def __init__(self, now: float, late: float = 0.0) -> None:
        self.now = now
        self.late = late

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + self.late


@given(st.floats(0, 2e9), st.floats(0.01, 3600), st.floats(0, 1e6))
def test_the_next_tick_is_the_first_one_later(start: float, interval: float, after: float) -> None:
    ticks = Ticks(start, interval)
    now = start + after
    tick = ticks.next_after(now)
    assert ticks.time_of(tick - 1) <= now < ticks.time_of(tick)


def test_ticks_do_not_drift() -> None:
    clock = Clock(100.0, late=0.25)
    ticks = Ticks(100.0, 5.0, clock=clock, sleep=clock.sleep)
    for tick in range(1, 4):
        assert ticks.wait_for(tick) == pytest.approx(0.25)
    assert clock.now == pytest.approx(115.25)
    assert ticks.jitter_p99_s == pytest.approx(0.25)


def test_a_tick_that_is_past_is_late_at_once() -> None:
    clock = Clock(107.0)
    assert Ticks(100.0, 5.0, clock=clock, sleep=clock.sleep).wait_for(1) == 2.0


def test_a_pause_moves_the_ticks() -> None:
    ticks = Ticks(100.0, 5.0)
    ticks.shift(2.5)
    assert ticks.time_of(1) == 107.5


def test_jitter_is_the_99th_percentile() -> None:
    clock = Clock(0.0)
    ticks = Ticks(0.0, 1.0, clock=clock, sleep=clock.sleep)
    assert math.isnan(ticks.jitter_p99_s)
    for late in range(200):
        clock.now = late / 1000
        ticks.wait_for(0)
    assert ticks.jitter_p99_s == pytest.approx(0.197)


def test_an_interval_is_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        Ticks(0.0, 0.0)
