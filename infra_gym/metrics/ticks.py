"""The fixed wall times at which steps begin and end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class Ticks:
    """The grid ``start + k * interval_s``, and how late each tick was kept.

    Args:
        start: Tick 0, seconds since the epoch.
        interval_s: Seconds from tick to tick.
        clock: Gives seconds since the epoch.
        sleep: Waits a number of seconds.
    """

    def __init__(
        self,
        start: float,
        interval_s: float,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if not interval_s > 0:
            raise ValueError(f"interval_s must be positive, not {interval_s}")
        self.start = start
        self.interval_s = interval_s
        self._clock = clock
        self._sleep = sleep
        self._lateness: list[float] = []

    def time_of(self, tick: int) -> float:
        """When a tick lies, seconds since the epoch."""
        return self.start + tick * self.interval_s

    def next_after(self, now: float) -> int:
        """The first tick later than ``now``."""
        tick = math.floor((now - self.start) / self.interval_s) + 1
        # The division rounds: the tick must be later than now, and the one before it must not.
        while self.time_of(tick) <= now:
            tick += 1
        while self.time_of(tick - 1) > now:
            tick -= 1
        return tick

    def wait_for(self, tick: int) -> float:
        """Sleep until a tick; returns how many seconds late it was kept, and records it."""
        while (left := self.time_of(tick) - self._clock()) > 0:
            self._sleep(left)
        late = self._clock() - self.time_of(tick)
        self._lateness.append(late)
        return late

    def shift(self, seconds: float) -> None:
        """Move all ticks later, where the schedule was paused for so long."""
        self.start += seconds

    @property
    def jitter_p99_s(self) -> float:
        """The 99th percentile of lateness in seconds (nearest rank); ``nan`` without ticks."""
        if not self._lateness:
            return math.nan
        ranked = sorted(self._lateness)
        return ranked[math.ceil(0.99 * len(ranked)) - 1]
