"""Arrival profiles: how many requests a second arrive, as a function of time.

``mean_rps`` is the long-run mean in requests a second of the clock on the wall; every other field
only shapes the curve around it. All durations are in *modelled* seconds: under a time scale of 12,
a ``period_s`` of 720 passes in one minute, at the same number of requests a second.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from infra_gym.settings.strict import Strict

Array = npt.NDArray[np.float64]
Positive = Annotated[float, Field(gt=0)]
Seconds = Annotated[float, Field(ge=1)]


class Profile(Strict, ABC):
    """What all profiles have."""

    @abstractmethod
    def rate(self, t_s: Array, rng: np.random.Generator) -> Array:
        """Arrivals at each of ``t_s`` (modelled seconds from 0, ascending), requests/s, at least 0.

        Where the curve itself is random, it is drawn from ``rng``.
        """


class ShapedProfile(Profile):
    """A curve around a given mean."""

    mean_rps: Positive
    """Long-run mean of arrivals, requests/s."""

    def rate(self, t_s: Array, rng: np.random.Generator) -> Array:
        """The mean times the curve at each of ``t_s`` (modelled seconds from 0), requests/s."""
        return self.mean_rps * self._shape(t_s, rng)

    @abstractmethod
    def _shape(self, t_s: Array, rng: np.random.Generator) -> Array:
        """The rate as a multiple of the mean: at least 0, and 1 on average in the long run."""


class Constant(ShapedProfile):
    """The same rate always."""

    profile: Literal["constant"]

    def _shape(self, t_s: Array, _rng: np.random.Generator) -> Array:
        return np.ones_like(t_s)


class Daily(ShapedProfile):
    """A day: it begins in the quiet of the night and is busiest in the morning and the afternoon.

    Two harmonics of the period, 1 - 0.6 cos x - 0.25 cos 2x: from 0.15 to 1.43 times the mean.
    """

    profile: Literal["daily"]
    period_s: Seconds = 86_400
    swing: float = Field(default=1, ge=0, le=1)
    """How far it leaves the mean: 0 not at all, 1 as described."""

    def _shape(self, t_s: Array, _rng: np.random.Generator) -> Array:
        angle = 2 * np.pi * t_s / self.period_s
        return 1 - self.swing * (0.6 * np.cos(angle) + 0.25 * np.cos(2 * angle))


class Sine(ShapedProfile):
    """A sine wave that begins at the mean, rising."""

    profile: Literal["sine"]
    period_s: Seconds = 3600
    amplitude: float = Field(default=0.5, ge=0, le=1)
    """Share of the mean."""

    def _shape(self, t_s: Array, _rng: np.random.Generator) -> Array:
        return 1 + self.amplitude * np.sin(2 * np.pi * t_s / self.period_s)


class Ramp(ShapedProfile):
    """A straight line with ``mean_rps`` as its mean over ``duration_s``; then it stays level."""

    profile: Literal["ramp"]
    duration_s: Seconds = 3600
    growth: Positive = 4
    """The last rate over the first: above 1 it climbs, below 1 it falls."""

    def _shape(self, t_s: Array, _rng: np.random.Generator) -> Array:
        first = 2 / (1 + self.growth)
        way = np.minimum(t_s / self.duration_s, 1)
        return first * (1 + (self.growth - 1) * way)


class Random(ShapedProfile):
    """Another level every ``hold_s``, drawn evenly from ``low`` to ``2 - low`` times the mean."""

    profile: Literal["random"]
    hold_s: Seconds = 300
    low: float = Field(default=0.2, ge=0, le=1)

    def _shape(self, t_s: Array, rng: np.random.Generator) -> Array:
        index = (t_s // self.hold_s).astype(np.int64)
        levels = rng.uniform(self.low, 2 - self.low, index[-1] + 1 if index.size else 0)
        return np.asarray(levels[index], dtype=np.float64)


class Staircase(Profile):
    """One level after another, each held for ``hold_s``; after the last it begins again."""

    profile: Literal["staircase"]
    levels_rps: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)]
    """The levels in their order, requests/s."""
    hold_s: Seconds = 300
    mean_rps: Positive | None = None
    """Scale the levels to this mean, requests/s; left out, they are as written."""

    @model_validator(mode="after")
    def _has_load(self) -> Self:
        if not any(self.levels_rps):
            raise ValueError("levels_rps: at least one level must be above 0")
        return self

    def rate(self, t_s: Array, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """The level at each of ``t_s`` (modelled seconds from 0), requests/s."""
        levels = np.asarray(self.levels_rps, dtype=np.float64)
        if self.mean_rps is not None:
            levels = levels * (self.mean_rps / levels.mean())
        held = levels[(t_s // self.hold_s).astype(np.int64) % len(levels)]
        return np.asarray(held, dtype=np.float64)


class Bursty(ShapedProfile):
    """Calm and burst take turns at random (a Markov-modulated Poisson process of two states)."""

    profile: Literal["bursty"]
    burst: float = Field(default=5, gt=1)
    """Rate in a burst over the rate in calm."""
    calm_s: Seconds = 600
    """Mean length of a calm time; lengths are exponential."""
    burst_s: Seconds = 120
    """Mean length of a burst."""

    def _shape(self, t_s: Array, rng: np.random.Generator) -> Array:
        calm = (self.calm_s + self.burst_s) / (self.calm_s + self.burst * self.burst_s)
        bursting = bool(rng.random() < self.burst_s / (self.calm_s + self.burst_s))
        ends: list[float] = []
        levels: list[float] = []
        clock = 0.0
        while not ends or (t_s.size and clock <= t_s[-1]):
            clock += rng.exponential(self.burst_s if bursting else self.calm_s)
            ends.append(clock)
            levels.append(calm * self.burst if bursting else calm)
            bursting = not bursting
        return np.asarray(levels, dtype=np.float64)[np.searchsorted(ends, t_s, side="right")]


class FlashCrowd(ShapedProfile):
    """An even load, and once in every period, at a random time, a crowd: up, stay, down."""

    profile: Literal["flash_crowd"]
    period_s: Seconds = 3600
    peak: float = Field(default=8, gt=1)
    """Rate in the crowd over the rate before it."""
    rise_s: Seconds = 60
    stay_s: float = Field(default=300, ge=0)
    fall_s: Seconds = 300

    @property
    def crowd_s(self) -> float:
        """Length of a crowd from first rise to last fall, modelled seconds."""
        return self.rise_s + self.stay_s + self.fall_s

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.crowd_s > self.period_s:
            raise ValueError(
                f"rise_s + stay_s + fall_s is {self.crowd_s:g}, longer than period_s, "
                f"{self.period_s:g}"
            )
        return self

    def _shape(self, t_s: Array, rng: np.random.Generator) -> Array:
        period = (t_s // self.period_s).astype(np.int64)
        starts = rng.uniform(0, self.period_s - self.crowd_s, period[-1] + 1 if period.size else 0)
        since = t_s - period * self.period_s - starts[period]
        corners = np.cumsum([0, self.rise_s, self.stay_s, self.fall_s])
        crowd = np.interp(since, corners, [0, 1, 1, 0])
        extra = (self.peak - 1) * (self.rise_s / 2 + self.stay_s + self.fall_s / 2)
        before = self.period_s / (self.period_s + extra)
        return before * (1 + (self.peak - 1) * crowd)
