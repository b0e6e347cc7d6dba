"""Counters' growth from one reading to the next.

Every series has a base: its last sample known. A reading adds up the rises from the base over each
later sample, where a fall means that the counter began again at 0; then the base moves. So the
growths of all steps sum to the run's, however the samples fall into steps. Bases are kept for
series that vanish, because a target that was only out of reach comes back with its old count.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from infra_gym.errors import MetricsError
from infra_gym.metrics.prometheus import Series

Key = frozenset[tuple[str, str]]
Sample = tuple[float, float]  # seconds since the epoch, value


@dataclass(frozen=True)
class Growth:
    """What one series did during a step."""

    labels: Mapping[str, str]
    difference: float
    """How much it grew, at least 0."""
    rate: float
    """Its part in the step's average, per second."""
    own_rate: float | None
    """Its rate between its own samples; ``None`` where it was born with only one."""


class Counters:
    """The series of one selector."""

    def __init__(self) -> None:
        self._bases: dict[Key, Sample] = {}
        self._present: set[Key] = set()

    def growths(
        self, series: Iterable[Series], *, step_s: float, paused_s: float = 0.0
    ) -> list[Growth]:
        """The growth of every series that has a sample later than its base.

        Args:
            series: All samples since the last reading; earlier ones may be among them.
            step_s: The step's own seconds, by which the growth of a series that was born in it is
                divided.
            paused_s: Seconds since the last reading in which nothing was to be counted.

        Raises:
            MetricsError: A value is negative, infinite or not a number.
        """
        found = (self._growth(one, step_s, paused_s) for one in series)
        return [growth for growth in found if growth is not None]

    def rebase(self, series: Iterable[Series]) -> None:
        """Make the last samples the bases: what they counted belongs to the past."""
        for one in series:
            _check(one)
            self._bases[_key(one)] = (one.time, one.value)

    def vanished(self, series: Iterable[Series], since: float) -> list[dict[str, str]]:
        """The labels of series that were there before and have no sample after ``since``."""
        alive = {_key(one) for one in series if one.time > since}
        gone = [dict(sorted(key)) for key in self._present - alive]
        self._present = alive
        return gone

    def _growth(self, one: Series, step_s: float, paused_s: float) -> Growth | None:
        _check(one)
        base = self._bases.get(_key(one))
        samples = [
            sample
            for sample in zip(one.times, one.values, strict=True)
            if base is None or sample[0] > base[0]
        ]
        if not samples:
            return None
        if base is None or samples[0][1] < base[1]:
            return _born(one.labels, samples, step_s)
        rise = _rise([base, *samples])
        seconds = samples[-1][0] - base[0] - paused_s
        rate = rise / (seconds if seconds > 0 else step_s)
        return Growth(one.labels, rise, rate, rate)


def _born(labels: Mapping[str, str], samples: Sequence[Sample], step_s: float) -> Growth:
    """The growth of a series that began at 0 in this step, nobody knows when."""
    rise = _rise(samples)
    difference = samples[0][1] + rise
    seconds = samples[-1][0] - samples[0][0]
    own_rate = rise / seconds if seconds > 0 else None
    return Growth(labels, difference, difference / step_s, own_rate)


def _rise(samples: Sequence[Sample]) -> float:
    """The sum of rises; a fall means that the counter began again at 0."""
    return math.fsum(
        after - before if after >= before else after
        for (_, before), (_, after) in itertools.pairwise(samples)
    )


def _key(series: Series) -> Key:
    return frozenset(series.labels.items())


def _check(series: Series) -> None:
    for value in series.values:
        if not math.isfinite(value) or value < 0:
            raise MetricsError(
                f"The counter {dict(series.labels)} has the value {value}, which no counter has.",
                next_command="check the program that exports it, or read it as a gauge",
            )
