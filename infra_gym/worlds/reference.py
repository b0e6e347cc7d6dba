"""Many simulated web apps at once, request by request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra_gym.definitions.models import Definition
from infra_gym.simulators import webapp_queue as queue
from infra_gym.simulators.webapp import app_rules
from infra_gym.simulators.webapp_batch import step_all
from infra_gym.simulators.webapp_counts import CODES
from infra_gym.simulators.webapp_parameters import WebAppParameters, WebAppSpread
from infra_gym.simulators.webapp_table import STARTED_AT
from infra_gym.workloads import Workload, arrival_schedule
from infra_gym.worlds.columns import Masks, tell
from infra_gym.worlds.measures import WebAppMeasures
from infra_gym.worlds.webapp_inputs import WebAppInputs


class ReferenceBatch:
    """Many of :class:`~infra_gym.worlds.simulated.SimulatedWorld`, with the same numbers.

    Each has a schedule of its own: 8 bytes a request.

    Args:
        definition: The environment.
        num_envs: How many.
        workload: The load.
        interval_s: Seconds of a step.
        time_scale: Modelled seconds in one second.
        parameters: What the target is like, or a spread, of which each episode draws one; left
            out, the defaults.

    Raises:
        DefinitionError: Another simulator, or a control or metric that the web app does not have.
    """

    def __init__(
        self,
        definition: Definition,
        num_envs: int,
        *,
        workload: Workload,
        interval_s: float,
        time_scale: float,
        parameters: WebAppParameters | WebAppSpread | None = None,
    ) -> None:
        self._inputs = WebAppInputs.of(definition)
        self.control = self._inputs.control
        """The definition's control that sets the replicas."""
        self._parameters = parameters
        self._drawn: list[WebAppParameters | None] = [None] * num_envs
        self._measures = WebAppMeasures(definition, timeout_s=self._inputs.timeout_s)
        self._buckets = np.zeros((num_envs, len(CODES)), dtype=np.int64)
        self._workload = workload
        self._schedule_s = (definition.max_episode_steps + 2) * interval_s
        self._interval_s, self._time_scale = interval_s, time_scale
        self._apps = queue.make_apps(
            num_envs,
            max_replicas=definition.controls[self.control].high,
            slots=self._inputs.slots,
            queue_limit=self._inputs.queue_limit,
            max_in_flight=self._inputs.max_in_flight,
        )
        self.ticks = np.zeros(num_envs, dtype=np.int64)
        """Steps taken, shape (num_envs,)."""
        self._arrivals = np.zeros((num_envs, 1))
        self._lengths = np.ones(num_envs, dtype=np.int64)
        self._digests = [""] * num_envs
        self._values = np.zeros((len(self._measures.names), num_envs))

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
            self._keep(place, schedule.times)
            self._digests[place] = schedule.sha256
            self._take_parameters(place, seed, replicas)
        self.ticks[places] = 0
        idle = np.ones(len(self.ticks), dtype=np.bool_)
        idle[places] = False
        self._advance(np.full(len(idle), replicas), idle)
        return tell(rows, self._values[:, places], self._measures.empty)

    def step(
        self, replicas: NDArray[np.int64], idle: NDArray[np.bool_], rows: NDArray[np.float64]
    ) -> Masks:
        """Let an interval pass in each environment that is not ``idle``."""
        self.ticks += ~idle
        self._advance(replicas, idle)
        return tell(rows, self._values, self._measures.empty)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the metrics, in the order of their rows."""
        return self._measures.names

    def notes(self, place: int) -> dict[str, Any]:
        """What is told of one environment's episode when it begins."""
        drawn = self._drawn[place]
        told = {} if drawn is None else {"parameters": asdict(drawn)}
        return {"schedule_sha256": self._digests[place], **told}

    def by_label(self, place: int) -> dict[str, dict[str, float]]:
        """One environment's metrics with one value a replica."""
        numbers = self._apps.marks[place, queue.NUMBERS]
        seen = {
            f"replica-{number}": told
            for number, told in enumerate(self._apps.seen[place, :numbers].tolist())
            if told[STARTED_AT] == told[STARTED_AT]
        }
        tick = int(self.ticks[place])
        seconds = tick * self._interval_s - max(0, tick - 1) * self._interval_s
        return self._measures.by_label(seen, seconds)

    def _advance(self, replicas: NDArray[np.int64], idle: NDArray[np.bool_]) -> None:
        step_all(
            self._apps,
            self._arrivals,
            self._lengths,
            np.asarray(self.ticks * self._interval_s, dtype=np.float64),
            replicas,
            idle,
            self._measures.metrics,
            self._measures.bounds_s,
            self._buckets,
            self._values,
        )

    def _keep(self, place: int, times: NDArray[np.float64]) -> None:
        """A schedule; room is made for one that is longer than all before."""
        never = np.array([np.inf] if len(times) == 0 else [])
        times = np.append(times, never)
        if len(times) > self._arrivals.shape[1]:
            room = np.zeros((len(self._arrivals), len(times) + len(times) // 16))
            room[:, : self._arrivals.shape[1]] = self._arrivals
            self._arrivals = room
        self._arrivals[place, : len(times)] = times
        self._lengths[place] = len(times)

    def _take_parameters(self, place: int, seed: int, replicas: int) -> None:
        """Begin one environment anew, with parameters that hold for its episode."""
        drawn = self._parameters
        if isinstance(drawn, WebAppSpread):
            drawn = drawn.draw(seed)
        real = drawn or WebAppParameters()
        self._drawn[place] = drawn
        self._buckets[place] = self._measures.buckets(real.overhead_s)
        rules = app_rules(
            service_time_s=self._inputs.service_time_s,
            service=self._inputs.service,
            queue_limit=self._inputs.queue_limit,
            timeout_s=self._inputs.timeout_s,
            max_in_flight=self._inputs.max_in_flight,
            parameters=real,
            schedule_s=self._schedule_s,
            seed=seed,
        )
        queue.begin(self._apps, place, rules, replicas)
