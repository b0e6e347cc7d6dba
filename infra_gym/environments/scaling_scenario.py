"""What an environment of Scaling-v0 is made of: rules, influx and actions, checked."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import Any, TypedDict, cast

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from infra_gym.errors import SettingsError, UnknownNameError
from infra_gym.simulators import scaling
from infra_gym.simulators.scaling import Array, Rules
from infra_gym.workloads import Trace, parse_workload
from infra_gym.workloads.workload import PROFILES

STEP_S = 300
"""Modelled seconds that a step takes the place of."""

_CURVES = {"sine": scaling.SINE, "random": scaling.RANDOM}
_DRAWN = ("bursty", "flash_crowd")


class Options(TypedDict, total=False):
    """Arguments that both forms take; :class:`infra_gym.environments.scaling.ScalingEnv` says
    what they mean.
    """

    influx: str | Sequence[float] | NDArray[Any]
    trace: str | PathLike[str] | None
    change_rate: int
    max_instances: float
    min_instances: float
    capacity_per_instance: float
    offset: int
    actions: Sequence[int]
    cost_per_instance_per_hour: float


@dataclass(frozen=True)
class Influx:
    """``f(k)``: messages that arrive in the k-th step."""

    curve: int
    """Which of the simulator's curves."""
    values: Callable[[int, NDArray[np.int64]], Array] | None = None
    """For a series: f at the given steps, ascending from 0, for the given key. The same whether
    more steps follow or not."""
    length: int | None = None
    """After so many steps it stays as it is; ``None``: it never does."""
    drawn: bool = True
    """Whether the key changes it."""


@dataclass(frozen=True)
class Scenario:
    """Both forms of the environment are made of one.

    Raises:
        UsageError: An argument that cannot be; names it.
    """

    rules: Rules
    influx: Influx
    changes: tuple[int, ...]
    """For each action the instances to add, or to remove if negative."""

    @cached_property
    def action_space(self) -> spaces.Discrete:
        """An index of ``changes``."""
        return spaces.Discrete(len(self.changes))

    @cached_property
    def observation_space(self) -> spaces.Space[Array]:
        """Float64, shape (5,)."""
        largest = np.finfo(np.float64).max
        capacity = self.rules.max_instances * self.rules.capacity_per_instance
        high = np.array([1, 1, capacity, largest, largest])
        box = spaces.Box(np.zeros(scaling.OBSERVATION), high, dtype=np.float64)
        return cast("spaces.Space[Array]", box)

    @property
    def endless(self) -> bool:
        """Whether the series must be made longer as an episode goes on."""
        return self.influx.values is not None and self.influx.length is None

    def series(self, keys: Sequence[int], steps: int) -> Array:
        """The influx in the form that the simulator takes.

        Args:
            keys: One for each environment.
            steps: How far it has to reach, if it is endless.

        Returns:
            Shape (keys, length), or (1, length) where all are alike.
        """
        values = self.influx.values
        if values is None:
            return np.zeros((1, 1))
        rate = int(self.rules.change_rate)
        end = steps + 1 if self.influx.length is None else self.influx.length + rate
        at = np.arange(0, end, rate, dtype=np.int64)
        return np.stack([values(key, at) for key in (keys if self.influx.drawn else keys[:1])])


def make_scenario(
    *,
    influx: str | Sequence[float] | NDArray[Any] = "random",
    trace: str | PathLike[str] | None = None,
    change_rate: int = 10_000,
    max_instances: float = 100.0,
    min_instances: float = 2.0,
    capacity_per_instance: float = 87,
    offset: int = 500,
    actions: Sequence[int] = (-1, 0, 1),
    cost_per_instance_per_hour: float = 0.192,
) -> Scenario:
    """The scenario of these arguments; see :class:`infra_gym.environments.scaling.ScalingEnv`.

    Raises:
        UsageError: An argument that cannot be; names it.
    """
    rules = Rules(
        curve=_CURVES.get(influx, scaling.SERIES) if isinstance(influx, str) else scaling.SERIES,
        max_instances=max_instances,
        min_instances=min_instances,
        capacity_per_instance=capacity_per_instance,
        change_rate=change_rate,
        offset=offset,
        cost_per_instance_per_hour=cost_per_instance_per_hour,
    )
    return Scenario(rules, _influx(influx, trace, rules), _changes(actions))


def _influx(
    influx: str | Sequence[float] | NDArray[Any], trace: str | PathLike[str] | None, rules: Rules
) -> Influx:
    if (trace is None) == (isinstance(influx, str) and influx == "trace"):
        raise SettingsError(
            'a recorded influx needs both arguments: influx="trace", trace="FILE.csv"'
        )
    if not isinstance(influx, str):
        return _sequence(_checked(influx))
    if influx in _CURVES:
        return Influx(_CURVES[influx], drawn=influx == "random")
    if influx not in PROFILES:
        raise UnknownNameError("influx", influx, PROFILES)
    if trace is not None:
        return _sequence(_recorded(trace))
    return _profile(influx, rules.max_influx / 2)


def _sequence(values: Array) -> Influx:
    """The k-th value is f(k); the last holds for good."""
    return Influx(
        scaling.SERIES,
        lambda _key, steps: values[np.minimum(steps, len(values) - 1)],
        length=len(values),
        drawn=False,
    )


def _profile(name: str, mean: float) -> Influx:
    """One of the arrival profiles with that mean in a step, rounded up to whole messages."""
    # The curves are multiples of their mean, so that it may be given per step as well.
    profile = parse_workload({"profile": name, "mean_rps": mean})

    def values(key: int, steps: NDArray[np.int64]) -> Array:
        rates = profile.rate(steps.astype(np.float64) * STEP_S, np.random.default_rng(key))
        return np.ceil(np.round(rates, 6))  # a last bit too much is no message

    return Influx(scaling.SERIES, values, drawn=name in _DRAWN)


def _recorded(trace: str | PathLike[str]) -> Array:
    """The values of a CSV file's rows."""
    recording = parse_workload({"profile": "trace", "path": trace})
    if not isinstance(recording, Trace):
        raise TypeError(recording)
    _, values = recording.rows()
    return _checked(values)


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


def _changes(actions: Sequence[int]) -> tuple[int, ...]:
    try:
        changes = tuple(operator.index(change) for change in actions)
    except TypeError as error:
        raise SettingsError(
            f"actions must be whole numbers of instances, such as (-1, 0, 1): {error}"
        ) from error
    if not changes or any(abs(change) >= scaling.KEYS for change in changes):
        raise SettingsError(
            f"actions must be at least one change that can be counted, not {changes}"
        )
    return changes
