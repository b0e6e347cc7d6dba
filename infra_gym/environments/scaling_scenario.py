"""What an environment of Scaling-v0 is made of: rules, influx and actions, checked."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import TypedDict, cast

import numpy as np
from gymnasium import spaces

from infra_gym.environments.scaling_influx import Given, Influx, make_influx
from infra_gym.errors import SettingsError
from infra_gym.simulators import scaling
from infra_gym.simulators.scaling import Array, Rules


class Options(TypedDict, total=False):
    """Arguments that both forms take; :class:`infra_gym.environments.scaling.ScalingEnv` says
    what they mean.
    """

    influx: Given
    trace: str | PathLike[str] | None
    change_rate: int
    max_instances: float
    min_instances: float
    capacity_per_instance: float
    offset: int
    actions: Sequence[int]
    cost_per_instance_per_hour: float


@dataclass(frozen=True)
class Scenario:
    """What both forms of the environment are made of."""

    rules: Rules
    influx: Influx
    changes: tuple[int, ...]
    """For each action the instances to add, or to remove if negative."""

    @cached_property
    def array(self) -> Array:
        """The rules in the form that the simulator takes."""
        return self.rules.array(self.influx.curve)

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

    def series(self, keys: Sequence[int], steps: int) -> Array:
        """The influx in the form that the simulator takes.

        Args:
            keys: One for each environment.
            steps: How far it has to reach, if it is endless.

        Returns:
            Shape (keys, length), or (1, length) where all are alike.
        """
        if not self.influx.series_drawn:
            keys = keys[:1]
        rate = int(self.rules.change_rate)
        return np.stack([self.influx.series(key, rate, steps) for key in keys])


def make_scenario(
    *,
    influx: Given = "random",
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
        max_instances=max_instances,
        min_instances=min_instances,
        capacity_per_instance=capacity_per_instance,
        change_rate=change_rate,
        offset=offset,
        cost_per_instance_per_hour=cost_per_instance_per_hour,
    )
    source = make_influx(influx, trace, rules.max_influx)
    return Scenario(rules, source, _changes(actions))


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
