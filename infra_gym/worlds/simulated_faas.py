"""Simulated functions: gateway and replicas of each under the schedule of a live load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infra_gym.definitions.models import Definition
from infra_gym.workloads import Workload, arrival_schedule
from infra_gym.worlds.columns import Masks, tell
from infra_gym.worlds.faas_metrics import FaasMetrics, Scenario
from infra_gym.worlds.replica_control import replica_control

if TYPE_CHECKING:
    from infra_gym.simulators.faas_reading import Functions


class FaasBatch:
    """Many environments of a definition whose simulator is ``faas``.

    Args:
        definition: The environment.
        num_envs: How many.
        workload: The load.
        interval_s: Seconds of a step.
        time_scale: Modelled seconds in one second.

    Raises:
        DefinitionError: A control or metric that the simulator does not have.
    """

    def __init__(
        self,
        definition: Definition,
        num_envs: int,
        *,
        workload: Workload,
        interval_s: float,
        time_scale: float,
    ) -> None:
        self.control = replica_control(definition)
        """The definition's control that sets the replicas."""
        self._most = definition.controls[self.control].high
        self._scenario = Scenario.of(definition)
        self._metrics = FaasMetrics(definition, self._scenario)
        self._workload = workload
        self._schedule_s = (definition.max_episode_steps + 2) * interval_s
        self._interval_s, self._time_scale = interval_s, time_scale
        self._made: Functions | None = None
        self.ticks = np.zeros(num_envs, dtype=np.int64)
        """Steps taken, shape (num_envs,)."""
        self._digests = [""] * num_envs

    def begin(
        self,
        places: NDArray[np.int64],
        seeds: Sequence[int],
        replicas: int,
        rows: NDArray[np.float64],
    ) -> Masks:
        """Begin episodes in some places, with all replicas ready."""
        for place, seed in zip(places.tolist(), seeds, strict=True):
            schedule = arrival_schedule(
                self._workload, seconds=self._schedule_s, time_scale=self._time_scale, seed=seed
            )
            self._functions.begin(place, schedule.times, replicas=replicas, seed=seed)
            self._digests[place] = schedule.sha256
        self.ticks[places] = 0
        idle = np.ones(len(self.ticks), dtype=np.bool_)
        idle[places] = False
        self._advance(np.full(len(idle), replicas), idle)
        return tell(rows, self._values()[:, places], self._metrics.empty)

    def step(
        self, replicas: NDArray[np.int64], idle: NDArray[np.bool_], rows: NDArray[np.float64]
    ) -> Masks:
        """Let an interval pass in each environment that is not ``idle``."""
        self.ticks += ~idle
        self._advance(replicas, idle)
        return tell(rows, self._values(), self._metrics.empty)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the metrics, in the order of their rows."""
        return tuple(self._metrics.empty)

    def notes(self, place: int) -> dict[str, Any]:
        """What is told of one environment's episode when it begins."""
        return {"schedule_sha256": self._digests[place]}

    def by_label(self, place: int) -> dict[str, dict[str, float]]:
        """One environment's metrics with one value a replica."""
        seconds = float(self._functions.counts().seconds[place])
        return self._metrics.by_label(self._functions.replicas(place), seconds)

    def _values(self) -> NDArray[np.float64]:
        return self._metrics.values(self._functions.counts())

    def _advance(self, replicas: NDArray[np.int64], idle: NDArray[np.bool_]) -> None:
        until_s = np.asarray(self.ticks * self._interval_s, dtype=np.float64)
        self._functions.advance(until_s, replicas, idle)

    @property
    def _functions(self) -> Functions:
        """Made with the first reset: a compiler is loaded for them."""
        if self._made is None:
            from infra_gym.simulators.faas_reading import Functions

            self._made = Functions(
                self._scenario.rules,
                functions=len(self.ticks),
                max_replicas=self._most,
                schedule_s=self._schedule_s,
            )
        return self._made
