"""The siege engine's schedule: read, played, paused, resumed, repeated."""

from __future__ import annotations

import gzip
import struct
from array import array

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra_gym.apps.siege_engine import Conductor, ControlError, Schedule
from infra_gym.workloads.profiles import Constant
from infra_gym.workloads.schedule import arrival_schedule


def schedule_of(times, seconds):
    return Schedule(array("d", times), seconds, "hash")


class Play:
    """A conductor and a clock turned by hand; ``sent`` has (intended, actual) since the start."""

    def __init__(self, loop, schedule=None):
        self.loop = loop
        self.begin = loop.now
        self.sent = []
        self.conductor = Conductor(loop, self._send, wall=lambda: loop.now + 5e8)
        if schedule is not None:
            self.conductor.load(schedule)

    def _send(self, intended):
        self.sent.append((intended - self.begin, self.loop.now - self.begin))

    @property
    def intended(self):
        return [round(intended, 9) for intended, _ in self.sent]

    def wall(self, seconds):
        """The wall time ``seconds`` after the test's beginning."""
        return self.begin + seconds + 5e8


def test_reads_what_the_workloads_write(tmp_path):
    # 0.1 requests/s: gaps of more than 3.3 s need the file's long steps.
    written = arrival_schedule(
        Constant(profile="constant", mean_rps=0.1), seconds=600, time_scale=1, seed=3
    )
    written.write(tmp_path / "schedule")
    read = Schedule.read(tmp_path / "schedule")
    assert len(read.times) > 30
    assert list(read.times) == pytest.approx(list(written.times), abs=1e-9)
    assert (read.seconds, read.sha256) == (600, written.sha256)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot read"),
        (b"times: 1, 2, 3", "cannot read"),
        (gzip.compress(b"IGS1")[:-9], "cannot read"),
        (gzip.compress(b"IGS1"), "cannot read"),
        (gzip.compress(struct.pack("<4sIdHx", b"IGS1", 1, 9.0, 5)), "cannot read"),
        (gzip.compress(struct.pack("<4sIdH", b"IGS2", 1, 9.0, 5)), "not an arrival schedule"),
        (gzip.compress(struct.pack("<4sIdH", b"IGS1", 2, 9.0, 5)), "1 of 2 arrivals"),
        (gzip.compress(struct.pack("<4sIdH", b"IGS1", 1, 0.0, 5)), "damaged"),
    ],
    # Named, for compressed bytes hold the time, and workers must collect the same tests.
    ids=["missing", "text", "cut off", "no head", "odd", "another format", "short", "no length"],
)
def test_says_what_is_wrong_with_a_file(tmp_path, content, problem):
    path = tmp_path / "schedule"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ControlError, match=problem) as caught:
        Schedule.read(path)
    assert str(path) in str(caught.value)


def test_sends_each_arrival_once_and_begins_again_at_the_end(loop):
    play = Play(loop, schedule_of([0.5, 1.0, 1.0, 2.5], 3.0))
    play.conductor.start()
    loop.advance(5)
    assert play.intended == [0.5, 1.0, 1.0, 2.5, 3.5, 4.0, 4.0]
    assert play.conductor.position == pytest.approx(5.0)


def test_a_late_loop_changes_no_intended_time(loop):
    play = Play(loop, schedule_of([0.5, 0.6, 2.0], 3.0))
    play.conductor.start()
    loop.advance(4, late=0.4)
    assert play.intended == [0.5, 0.6, 2.0, 3.5, 3.6]
    lateness = [round(actual - intended, 9) for intended, actual in play.sent]
    assert lateness == [0.4, 0.3, 0.4, 0.4, 0.3]


def test_starts_at_a_wall_time_and_offset(loop):
    play = Play(loop, schedule_of([0.5, 1.5], 2.0))
    play.conductor.start(at=play.wall(10), offset=1.0)
    assert play.conductor.running
    loop.advance(9)
    assert (play.sent, play.conductor.position) == ([], 1.0)
    loop.advance(3)
    assert play.intended == [10.5, 11.5]


def test_pauses_at_a_wall_time_and_goes_on_where_it_stopped(loop):
    play = Play(loop, schedule_of([0.5, 1.0, 1.5], 2.0))
    play.conductor.start()
    play.conductor.pause(at=play.wall(1.0))
    loop.advance(7)
    assert play.intended == [0.5]
    assert not play.conductor.running
    assert play.conductor.position == pytest.approx(1.0)
    play.conductor.start()
    loop.advance(0.75)
    assert play.intended == [0.5, 7.0, 7.5]


def test_an_offset_into_a_repetition(loop):
    play = Play(loop, schedule_of([0.5], 2.0))
    play.conductor.start(offset=4.25)
    loop.advance(1)
    assert play.intended == [0.25]


def test_a_loaded_schedule_waits_at_its_beginning(loop):
    play = Play(loop, schedule_of([0.5], 2.0))
    play.conductor.start()
    loop.advance(1.5)
    play.conductor.load(schedule_of([0.25], 2.0))
    loop.advance(3)
    assert not play.conductor.running
    assert (play.intended, play.conductor.position) == ([0.5], 0.0)
    play.conductor.start()
    loop.advance(1)
    assert play.intended == [0.5, 4.75]


def test_refuses_what_cannot_be(loop):
    play = Play(loop)
    with pytest.raises(ControlError, match="POST /schedule"):
        play.conductor.start()
    play.conductor.load(schedule_of([0.5], 2.0))
    with pytest.raises(ControlError, match="past"):
        play.conductor.start(at=play.wall(-60))
    with pytest.raises(ControlError, match="negative"):
        play.conductor.start(offset=-1.0)
    assert not play.conductor.running


def test_an_empty_schedule_sends_nothing(loop):
    play = Play(loop, schedule_of([], 2.0))
    play.conductor.start()
    loop.advance(5)
    assert play.sent == []
    assert play.conductor.position == pytest.approx(5.0)


@given(
    units=st.lists(st.integers(0, 40), min_size=1, max_size=20),
    turns=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), min_size=1, max_size=8),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pauses_neither_lose_nor_repeat_an_arrival(loop, units, turns):
    times = sorted(unit / 7 for unit in units)
    play = Play(loop, schedule_of(times, 6.0))
    played = 0.0
    for run, rest in turns:
        play.conductor.start()
        loop.advance(run / 9)
        play.conductor.pause()
        loop.advance(rest / 9)
        played += run / 9
    expected = [t + 6.0 * cycle for cycle in range(9) for t in times]
    certain = sum(t < played - 1e-6 for t in expected)
    possible = sum(t < played + 1e-6 for t in expected)
    assert certain <= len(play.sent) <= possible
    assert play.conductor.position == pytest.approx(played)
