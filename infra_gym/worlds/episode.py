"""One episode's time and measurements: ticks, the load's schedule, a reading at each tick."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from infra_gym.errors import PrometheusUnavailableError, StaleMetricsError
from infra_gym.metrics import Measured, MetricsReader, Ticks
from infra_gym.worlds.load import Load

Overrun = Literal["mark", "pause"]
"""What happens when the learner takes longer than its tick: ``mark`` tells it in ``info``,
``pause`` holds the load between steps and shifts the ticks."""

_START_LEAD_S = 0.25
_RESUME_LEAD_S = 0.05
_IDLE_DEADLINE_S = 30.0
_ASK_AGAIN_S = 0.5


class Clock(Protocol):
    """Epoch seconds, and sleeping; the module ``time`` is one."""

    def time(self) -> float:
        """Epoch seconds."""

    def sleep(self, seconds: float, /) -> None:
        """Let so many seconds pass."""


@dataclass(frozen=True)
class Scene:
    """What an episode is measured with.

    Attributes:
        reader: The metrics.
        offset_s: Prometheus's clock minus ours.
        load: The siege engine, if there is one.
        sender: Its job in Prometheus; must be up.
        scaled: The jobs of the layers that controls change.
        look: Called before a Prometheus that did not answer is asked again; raises where that is
            in vain.
    """

    reader: MetricsReader
    offset_s: float
    load: Load | None
    sender: str | None
    scaled: Sequence[str]
    look: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Timing:
    """How an episode keeps time.

    Attributes:
        interval_s: Seconds of a step.
        scrape_interval_s: Seconds between two samples.
        overrun: See :data:`Overrun`.
        fresh_deadline_s: Seconds after a tick by which its samples must be there.
        patience_s: Seconds after a tick for which a Prometheus that does not answer is asked again,
            and one that began anew is given another tick.
    """

    interval_s: float
    scrape_interval_s: float
    overrun: Overrun = "mark"
    fresh_deadline_s: float = 10.0
    patience_s: float = 0.0


@dataclass(frozen=True)
class Sample:
    """A reading at a tick.

    Attributes:
        tick: Which.
        at: Its wall time, epoch seconds.
        seconds: Length of the step that it ends.
        time_s: Seconds since tick 0, pauses left out.
        measured: The metrics.
        late_s: How late we woke.
        sampling_s: From the tick until everything was read.
    """

    tick: int
    at: float
    seconds: float
    time_s: float
    measured: Measured
    late_s: float
    sampling_s: float


@dataclass
class Episode:
    """From tick 0 on; :meth:`begin` first, then :meth:`open_tick` and :meth:`sample` in turn."""

    scene: Scene
    timing: Timing
    clock: Clock = time
    _ticks: Ticks = field(init=False)
    _tick: int = field(init=False, default=0)
    _last_at: float = field(init=False)
    _zero_at: float = field(init=False)

    def begin(self) -> Sample:
        """Let the last episode's requests end, take the baseline, and start the load at tick 0."""
        load = self.scene.load
        if load is not None:
            load.pause()
            load.wait_idle(_IDLE_DEADLINE_S, self.clock.sleep)
            # So that the baseline's samples, up to a scrape old, have seen the last request end.
            self.clock.sleep(self.timing.scrape_interval_s)
        before = self.clock.time()
        self._await_fresh(before)
        self.scene.reader.baseline(before + self.scene.offset_s)
        # One scrape later everything has a sample of its own after the baseline.
        start = before + self.timing.scrape_interval_s + _START_LEAD_S
        self._ticks = Ticks(
            start, self.timing.interval_s, clock=self.clock.time, sleep=self.clock.sleep
        )
        self._zero_at = self._last_at = start
        if load is not None and self.timing.overrun == "mark":
            load.start(start, offset=0.0)
        return self._read(0, self._ticks.wait_for(0))

    def open_tick(self) -> float:
        """Begin a step; the seconds by which the learner came late to its tick."""
        now = self.clock.time()
        if self.timing.overrun == "pause" and self.scene.load is not None:
            self._resume(self.scene.load, now + _RESUME_LEAD_S)
            return 0.0
        return max(0.0, now - self._ticks.time_of(self._tick))

    def _resume(self, load: Load, start: float) -> None:
        """Go on at ``start`` as if no time had passed since the last tick."""
        paused = start - self._last_at
        self._ticks.shift(paused)
        self.scene.reader.shift(paused)
        self._zero_at += paused
        self._last_at = start
        load.start(start, offset=0.0 if self._tick == 0 else None)
        load.pause(self._ticks.time_of(self._tick + 1))

    @property
    def left_s(self) -> float:
        """Seconds until the tick that ends this step."""
        return self._ticks.time_of(self._next_tick()) - self.clock.time()

    @property
    def jitter_p99_s(self) -> float:
        """The 99th percentile of how late ticks were kept, in seconds."""
        return self._ticks.jitter_p99_s

    def sample(self) -> Sample:
        """Wait for the step's end, then for fresh samples, and read.

        Raises:
            MetricsError: Prometheus failed, or no fresh sample came before the deadline.
        """
        first = tick = self._next_tick()
        late_s = self._ticks.wait_for(tick)
        while True:
            try:
                return self._read(tick, late_s)
            except StaleMetricsError:
                # A Prometheus that began anew knows nothing of that tick, but will of a later one.
                if self.clock.time() >= self._ticks.time_of(first) + self.timing.patience_s:
                    raise
            self.scene.look()
            tick = self._next_tick()
            late_s = self._ticks.wait_for(tick)

    def _next_tick(self) -> int:
        return max(self._tick + 1, self._ticks.next_after(self.clock.time()))

    def _read(self, tick: int, late_s: float) -> Sample:
        at = self._ticks.time_of(tick)
        measured = self._measure(at)
        seconds, self._last_at, self._tick = at - self._last_at, at, tick
        return Sample(
            tick=tick,
            at=at,
            seconds=seconds,
            time_s=at - self._zero_at,
            measured=measured,
            late_s=late_s,
            sampling_s=self.clock.time() - at,
        )

    def _measure(self, at: float) -> Measured:
        ends = at + self.timing.patience_s
        while True:
            try:
                self._await_fresh(at)
                return self.scene.reader.read(at + self.scene.offset_s)
            except PrometheusUnavailableError:
                if self.clock.time() >= ends:
                    raise
                self.scene.look()
                self.clock.sleep(_ASK_AGAIN_S)

    def _await_fresh(self, at: float) -> None:
        self.scene.reader.await_fresh(
            at + self.scene.offset_s,
            self.scene.scaled,
            required=[self.scene.sender] if self.scene.sender else [],
            deadline_s=self.timing.fresh_deadline_s,
        )
