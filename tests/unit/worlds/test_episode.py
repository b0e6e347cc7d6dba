"""An episode's readings where Prometheus is away, or begins anew."""

from __future__ import annotations

import pytest

from infra_gym.errors import PrometheusUnavailableError, StaleMetricsError, WorldError
from infra_gym.metrics import Measured
from infra_gym.worlds.episode import Episode, Scene, Timing


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Reader:
    """Readings that fail as they are told: one entry a reading, ``None`` for one that goes well."""

    def __init__(self) -> None:
        self.failures: list[Exception | None] = []
        self.read_at: list[float] = []

    def await_fresh(self, at, jobs, *, required, deadline_s) -> float:
        return 0.0

    def baseline(self, at: float) -> None:
        pass

    def read(self, at: float) -> Measured:
        self.read_at.append(at)
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        return Measured({}, {}, frozenset(), (), 0.0)


def episode(reader: Reader, clock: Clock, patience_s: float, look=lambda: None) -> Episode:
    made = Episode(
        Scene(reader, 0.0, load=None, sender=None, scaled=["heater"], look=look),
        Timing(interval_s=5.0, scrape_interval_s=1.0, patience_s=patience_s),
        clock,
    )
    made.begin()
    reader.read_at.clear()
    made.open_tick()
    return made


AWAY, ANEW = PrometheusUnavailableError("away"), StaleMetricsError("nothing to measure")


def test_one_that_is_away_for_a_moment_is_asked_again_for_the_same_tick():
    reader, clock = Reader(), Clock()
    running = episode(reader, clock, patience_s=30)
    reader.failures = [AWAY, AWAY, None]
    sample = running.sample()
    assert sample.tick == 1
    assert len(set(reader.read_at)) == 1
    assert len(reader.read_at) == 3


def test_an_apply_that_lasts_beyond_the_tick_does_not_leave_it_out():
    reader, clock = Reader(), Clock()
    running = episode(reader, clock, patience_s=0)
    clock.sleep(running.left_s + 2)
    assert running.sample().tick == 1
    running.open_tick()
    assert running.sample().tick == 2


def test_a_late_learner_gets_the_tick_that_comes():
    reader, clock = Reader(), Clock()
    running = episode(reader, clock, patience_s=0)
    running.sample()
    clock.sleep(7)
    assert running.open_tick() == pytest.approx(7)
    sample = running.sample()
    assert (sample.tick, sample.seconds) == (3, pytest.approx(10))


def test_one_that_begins_anew_is_given_a_later_tick():
    reader, clock = Reader(), Clock()
    running = episode(reader, clock, patience_s=30)
    reader.failures = [ANEW, None]
    sample = running.sample()
    assert sample.tick == 2
    assert sample.seconds == pytest.approx(10)


@pytest.mark.parametrize("failure", [AWAY, ANEW], ids=["away", "anew"])
def test_patience_has_an_end(failure):
    reader, clock = Reader(), Clock()
    running = episode(reader, clock, patience_s=12)
    reader.failures = [failure] * 100
    with pytest.raises(type(failure)):
        running.sample()
    assert clock.now < 1000 + 5 + 12 + 10


def test_without_patience_the_first_failure_is_told():
    reader, clock = Reader(), Clock()
    running = episode(reader, clock, patience_s=0)
    reader.failures = [AWAY]
    with pytest.raises(PrometheusUnavailableError):
        running.sample()
    assert len(reader.read_at) == 1


def test_it_is_not_asked_again_where_that_is_in_vain():
    def look() -> None:
        raise WorldError("the namespace is gone")

    reader, clock = Reader(), Clock()
    running = episode(reader, clock, patience_s=30, look=look)
    reader.failures = [AWAY, None]
    with pytest.raises(WorldError, match="gone"):
        running.sample()
