"""The arrival schedule: a Poisson process, the same bytes for a seed, a file that is small."""

from __future__ import annotations

import gzip
import hashlib
import struct
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra_gym.errors import UsageError
from infra_gym.workloads import Schedule, Workload, arrival_schedule, parse_workload


def load(profile: str = "constant", mean_rps: float = 100, **more: Any) -> Workload:
    return parse_workload({"profile": profile, "mean_rps": mean_rps, **more})


def schedule(
    workload: Workload, seconds: float = 100, time_scale: float = 1, seed: int = 7
) -> Schedule:
    return arrival_schedule(workload, seconds=seconds, time_scale=time_scale, seed=seed)


def read_by_the_documented_format(data: bytes) -> tuple[float, list[float]]:
    """What a program on the standard library does."""
    raw = gzip.decompress(data)
    magic, count, seconds = struct.unpack_from("<4sId", raw)
    assert magic == b"IGS1"
    words = array("H", raw[16:])
    now, times = 0, []
    for word in words:
        now += word
        if word != 0xFFFF:
            times.append(now * 50e-6)
    assert len(times) == count
    return seconds, times


def test_same_seed_same_bytes_other_seed_others() -> None:
    first, again, other = (schedule(load("bursty"), seed=seed) for seed in (7, 7, 8))
    assert first.data == again.data
    assert first.data == again.data
    content = gzip.decompress(first.data)
    assert first.sha256 == again.sha256 == hashlib.sha256(content).hexdigest()
    assert first.sha256 != other.sha256


@pytest.mark.parametrize("seed", range(5))
def test_arrivals_are_as_many_as_the_profile_says(seed: int) -> None:
    # Poisson with mean 20,000: five standard deviations are 707.
    arrivals = schedule(load(), seconds=200, seed=seed).times
    assert len(arrivals) == pytest.approx(20_000, abs=707)
    assert (np.diff(arrivals) >= 0).all()
    assert 0 <= arrivals[0] <= arrivals[-1] < 200


def test_gaps_are_exponential() -> None:
    gaps = np.diff(schedule(load(), seconds=500).times)
    assert gaps.mean() == pytest.approx(0.01, rel=0.05)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert (gaps > 0.02).mean() == pytest.approx(np.exp(-2), rel=0.1)


def test_counts_of_equal_slices_spread_like_poisson_counts() -> None:
    arrivals = schedule(load(), seconds=500).times
    counts = np.histogram(arrivals, bins=500, range=(0, 500))[0]
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.3)


def test_the_time_scale_squeezes_the_curve_but_not_the_rate() -> None:
    ramp = load("ramp", duration_s=1200, growth=3)
    arrivals = schedule(ramp, seconds=100, time_scale=12).times
    assert len(arrivals) == pytest.approx(10_000, abs=500)
    first, last = np.histogram(arrivals, bins=4)[0][[0, 3]]
    assert last / first == pytest.approx(2.75 / 1.25, rel=0.15)


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    before = schedule(load("flash_crowd", mean_rps=20), seconds=123.4, time_scale=30)
    before.write(tmp_path / "schedule.igs")
    after = Schedule.read(tmp_path / "schedule.igs")
    np.testing.assert_array_equal(after.times, before.times)
    assert after.seconds == 123.4
    assert after.sha256 == before.sha256
    seconds, times = read_by_the_documented_format((tmp_path / "schedule.igs").read_bytes())
    assert seconds == 123.4
    assert times == pytest.approx(before.times.tolist())


def test_long_gaps_and_no_arrivals() -> None:
    rare = schedule(load(mean_rps=0.01), seconds=10_000)
    assert np.diff(rare.times).max() > 2 * 65_535 * 50e-6
    assert read_by_the_documented_format(rare.data)[1] == pytest.approx(rare.times.tolist())
    none = schedule(load(mean_rps=1e-9), seconds=10)
    assert read_by_the_documented_format(none.data) == (10, [])


def test_200_000_arrivals_take_less_than_half_a_mebibyte() -> None:
    long = schedule(load(mean_rps=200), seconds=1000)
    assert len(long.times) > 199_000
    assert len(long.data) < 512 * 1024


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.sampled_from([0, 1, 65_534, 65_535, 65_536, 131_069, 131_070, 500_000])),
    seconds=st.floats(0.001, 1e6),
)
def test_any_arrivals_come_back_from_the_file(
    gaps: list[int], seconds: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = Schedule(np.cumsum(np.array(gaps, dtype=np.int64)), seconds)
    path = tmp_path_factory.getbasetemp() / "any.igs"
    before.write(path)
    after = Schedule.read(path)
    np.testing.assert_array_equal(after.units, before.units)
    assert after.seconds == seconds
    assert after.sha256 == before.sha256


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: b"no gzip",
        lambda data: data[:-20],
        lambda data: gzip.compress(b""),
        lambda data: gzip.compress(b"IGS2" + gzip.decompress(data)[4:]),
        lambda data: gzip.compress(gzip.decompress(data)[:-2]),
        lambda data: gzip.compress(gzip.decompress(data)[:-1]),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, spoil: Any) -> None:
    path = tmp_path / "broken.igs"
    path.write_bytes(spoil(schedule(load(), seconds=10).data))
    with pytest.raises(UsageError, match=r"broken\.igs"):
        Schedule.read(path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"seconds": 0}, "above 0"),
        ({"seconds": float("nan")}, "above 0"),
        ({"seconds": float("inf")}, "at most"),
        ({"time_scale": 0}, "above 0"),
        ({"time_scale": 1e9}, "at most"),
        ({"seed": -1}, "A seed is at least 0"),
        ({"seconds": 1e6}, "Lower mean_rps"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        schedule(load(), **arguments)
