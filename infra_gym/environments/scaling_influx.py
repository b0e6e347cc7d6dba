"""Where the messages of Scaling-v0 come from: ``f(k)``, how many arrive in the k-th step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from infra_gym.errors import SettingsError, UnknownNameError
from infra_gym.simulators import scaling
from infra_gym.simulators.scaling import Array
from infra_gym.workloads import Trace, Workload, parse_workload
from infra_gym.workloads.workload import PROFILES

STEP_S = 300
"""Modelled seconds that a step stands for."""

Given = str | Sequence[float] | NDArray[Any]
"""A profile's name, or f(0), f(1), f(2) and so on."""


class Influx(Protocol):
    """What both forms of the environment need to know of it."""

    @property
    def curve(self) -> int:
        """Which of the simulator's curves."""

    @property
    def drawn(self) -> bool:
        """Whether each episode has one of its own, chosen by its key."""

    @property
    def series_drawn(self) -> bool:
        """Whether the series does depend on the key."""

    @property
    def endless(self) -> bool:
        """Whether its series must be made longer as an episode goes on."""

    def series(self, key: int, change_rate: int, steps: int) -> Array:
        """f(0), f(change_rate), f(2 change_rate) and so on, for the simulator; shape (length,).

        Args:
            key: Chooses the influx, if it is drawn.
            change_rate: Steps from one value to the next.
            steps: How far an endless series has to reach. What it has in common with a longer
                one of the same key is the same.
        """


@dataclass(frozen=True)
class Formula:
    """One that the simulator works out by itself."""

    curve: int
    drawn: bool
    series_drawn: ClassVar[bool] = False
    endless: ClassVar[bool] = False

    def series(self, key: int, change_rate: int, steps: int) -> Array:  # noqa: ARG002
        """Nothing that is read."""
        return np.zeros(1)


@dataclass(frozen=True, eq=False)
class Recorded:
    """One that is given, value by value; the last holds for good."""

    values: Array
    curve: ClassVar[int] = scaling.SERIES
    drawn: ClassVar[bool] = False
    series_drawn: ClassVar[bool] = False
    endless: ClassVar[bool] = False

    def series(self, key: int, change_rate: int, steps: int) -> Array:  # noqa: ARG002
        """Every value that is due, then the last."""
        length = len(self.values)
        return self.values[np.minimum(np.arange(0, length + change_rate, change_rate), length - 1)]


@dataclass(frozen=True)
class Profiled:
    """An arrival profile, rounded up to whole messages."""

    profile: Workload
    drawn: bool
    curve: ClassVar[int] = scaling.SERIES
    endless: ClassVar[bool] = True

    @property
    def series_drawn(self) -> bool:
        """Whether the profile is random."""
        return self.drawn

    def series(self, key: int, change_rate: int, steps: int) -> Array:
        """The profile at the steps' times."""
        times_s = np.arange(0, steps + 1, change_rate, dtype=np.float64) * STEP_S
        rates = self.profile.rate(times_s, np.random.default_rng(key))
        return np.ceil(np.round(rates, 6))  # a last bit too much is no message


def make_influx(influx: Given, trace: str | PathLike[str] | None, max_influx: float) -> Influx:
    """The influx of these arguments of the environment.

    Raises:
        UsageError: They make none; says why.
    """
    if (trace is not None) != (isinstance(influx, str) and influx == "trace"):
        raise SettingsError('a recorded influx needs both arguments: influx="trace", trace="FILE"')
    if not isinstance(influx, str):
        return Recorded(_checked(influx))
    if influx not in PROFILES:
        raise UnknownNameError("influx", influx, PROFILES)
    if influx == "sine":
        return Formula(scaling.SINE, drawn=False)
    if influx == "random":
        return Formula(scaling.RANDOM, drawn=True)
    if trace is not None:
        recording = parse_workload({"profile": "trace", "path": trace})
        assert isinstance(recording, Trace)  # noqa: S101 - its profile says so
        return Recorded(_checked(recording.rows()[1]))
    if influx == "staircase":
        raise SettingsError(
            "influx='staircase' has no levels of its own.",
            next_command="give the values of all steps as a sequence, such as "
            "influx=[1000] * 100 + [2000] * 100",
        )
    # A profile is a multiple of its mean, so that the mean may be one in a step as well.
    profile = parse_workload({"profile": influx, "mean_rps": max_influx / 2})
    return Profiled(profile, drawn=influx in ("bursty", "flash_crowd"))


def _checked(influx: Sequence[float] | NDArray[Any]) -> Array:
    """A copy as float64, shape (length,)."""
    try:
        values = np.array(influx, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"influx must be a profile's name or a sequence of numbers: {error}"
        ) from error
    if values.ndim != 1 or not len(values):
        raise SettingsError(
            f"influx must be a sequence of at least one number, not of shape {values.shape}"
        )
    wrong = np.flatnonzero(~((values >= 0) & (values < scaling.KEYS)))
    if len(wrong):
        place = wrong[0]
        raise SettingsError(
            f"influx[{place}] must be at least 0, finite and below 2**53, not {values[place]:g}"
        )
    return values
