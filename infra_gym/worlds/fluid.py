"""The fluid form of the simulated web app: one environment, or many at once.

The load is the workload's curve: where that is random, the very curve that the reference has for
the same seed. Requests are no whole numbers, and nothing else is drawn: the expected numbers come
closer to what the reference counts than other random numbers would.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from infra_gym.definitions.models import Definition
from infra_gym.errors import NotReadyError, SettingsError, UsageError
from infra_gym.simulators import webapp_fluid as fluid
from infra_gym.simulators import webapp_fluid_queue as theory
from infra_gym.simulators.webapp_counts import BUCKETS_S
from infra_gym.simulators.webapp_parameters import WebAppParameters
from infra_gym.workloads import Workload
from infra_gym.workloads.profiles import Bursty, FlashCrowd, Random
from infra_gym.worlds.base import Reading, ResetMode
from infra_gym.worlds.columns import Columns, Masks
from infra_gym.worlds.measures import WebAppMeasures
from infra_gym.worlds.webapp_inputs import WebAppInputs

_DRAWN = (Bursty, FlashCrowd, Random)
_MOST_RPS = 1e9
_SAMPLES = 8  # of the workload's curve in a span
_CALM = 0.6  # of what a replica can serve: up to this, a step's mean load says enough


class FluidBatch:
    """Many environments of one definition, each at a tick of its own.

    Args:
        definition: The environment.
        num_envs: How many.
        workload: The load.
        interval_s: Seconds of a step.
        time_scale: Modelled seconds in one second.
        parameters: What the target is like; left out, the defaults.

    Raises:
        DefinitionError: Another simulator, or a control or metric that the web app does not have.
        SettingsError: Services that are not constant.
        UsageError: A replica with too long a queue.
    """

    def __init__(
        self,
        definition: Definition,
        num_envs: int,
        *,
        workload: Workload,
        interval_s: float,
        time_scale: float,
        parameters: WebAppParameters | None = None,
    ) -> None:
        inputs = WebAppInputs.of(definition)
        self.control = inputs.control
        """The definition's control that sets the replicas."""
        real = parameters or WebAppParameters()
        if inputs.service != "constant":
            raise SettingsError(
                f"The fluid form has constant services, and {definition.id} has "
                f"{inputs.service} ones.",
                next_command='use fidelity="reference"',
            )
        self.measures = WebAppMeasures(definition, timeout_s=inputs.timeout_s)
        self._buckets = self.measures.buckets(real.overhead_s)
        self._workload = workload
        self._steps = definition.max_episode_steps + 2
        self._interval_s, self._time_scale = interval_s, time_scale
        service_time_s = inputs.service_time_s * real.service_time_factor
        self._table, low = theory.queue_table(
            inputs.slots,
            service_time_s,
            inputs.queue_limit,
            inputs.timeout_s,
            real.overhead_s,
            BUCKETS_S[:-1],
        )
        self._guesses = theory.guesses()
        self._rules = np.zeros(fluid.RULES)
        self._rules[fluid.INTERVAL] = interval_s
        self._rules[fluid.SLOTS] = inputs.slots
        self._rules[fluid.SERVICE_TIME] = service_time_s
        self._rules[fluid.MAX_IN_FLIGHT] = inputs.max_in_flight
        self._rules[fluid.BOOT] = real.boot_s
        self._rules[fluid.DRAIN] = real.drain_s
        self._rules[fluid.APPLY] = real.apply_s
        self._rules[fluid.GUESSES_PER_LOAD] = (
            theory.GUESSES_PER_CAPACITY * service_time_s / inputs.slots
        )
        self._rules[fluid.LOW] = low
        self._rules[fluid.CALM_RATE] = _CALM * inputs.slots / service_time_s
        calm = self._guesses[int(_CALM * theory.GUESSES_PER_CAPACITY)]
        self._rules[fluid.CALM_NUMBER] = self._table[calm, theory.NUMBER]
        replicas = definition.controls[self.control].high
        self._states = np.zeros((num_envs, fluid.FIELDS + replicas * fluid.REPLICA_FIELDS))
        self._drawn = isinstance(workload, _DRAWN)
        self._rates = np.zeros(
            (num_envs if self._drawn else 1, self._steps * fluid.SPANS), dtype=np.float32
        )
        self._ticks = np.zeros(num_envs, dtype=np.int64)
        self._values = np.zeros((len(self.measures.names), num_envs))
        if not self._drawn:
            self._rates[0] = self._curve(0)

    def begin(self, places: NDArray[np.int64], seeds: Sequence[int], replicas: int) -> None:
        """Begin episodes in some places, with all replicas ready."""
        if self._drawn:
            for place, seed in zip(places.tolist(), seeds, strict=True):
                self._rates[place] = self._curve(seed)
        self._ticks[places] = 0
        fluid.begin_all(
            self._states,
            places,
            replicas,
            self._rules,
            self._table,
            self.measures.metrics,
            self.measures.bounds_s,
            self._buckets,
            self._values,
        )

    def step(self, replicas: NDArray[np.int64], idle: NDArray[np.bool_]) -> None:
        """Let an interval pass in each environment that is not ``idle``."""
        self._ticks += ~idle
        fluid.step_all(
            self._states,
            replicas,
            idle,
            self._rates,
            self._rules,
            self._table,
            self._guesses,
            self.measures.metrics,
            self.measures.bounds_s,
            self._buckets,
            self._values,
        )

    def read(self, places: NDArray[np.int64] | None = None) -> tuple[Columns, Masks]:
        """Columns of the last step's metrics, and where they had nothing to measure.

        Raises:
            MetricsError: There was nothing to measure for a metric that declares no ``empty``.
        """
        values = self._values.copy() if places is None else self._values[:, places]
        return self.measures.filled(values)

    @property
    def ticks(self) -> NDArray[np.int64]:
        """Steps taken, shape (num_envs,)."""
        return self._ticks.copy()

    def digest(self, place: int) -> str:
        """Of the load: a hash in hexadecimal."""
        return hashlib.sha256(self._rates[place if self._drawn else 0].tobytes()).hexdigest()

    def by_label(self, place: int) -> dict[str, dict[str, float]]:
        """The metrics with one value a replica; replicas that are ready share alike."""
        state = self._states[place]
        each = state[fluid.FIELDS :].reshape(-1, fluid.REPLICA_FIELDS)
        now_s = state[fluid.TICK] * self._interval_s
        share = float(state[fluid.BUSY]) / max(1.0, float(state[fluid.READY]))
        seen = {}
        for number, replica in enumerate(each.tolist()):
            name = f"replica-{number}"
            if replica[fluid.GONE] > now_s:
                seen[name] = (0.0, 0.0, replica[fluid.STARTED_BEFORE])
            elif number < state[fluid.WANTED] and replica[fluid.STARTED] <= now_s:
                ready = float(replica[fluid.READY_AT] <= now_s)
                seen[name] = (ready * share, ready, replica[fluid.STARTED])
        tick = int(state[fluid.TICK])
        seconds = tick * self._interval_s - max(0, tick - 1) * self._interval_s
        return self.measures.by_label(seen, seconds)

    def _curve(self, seed: int) -> NDArray[np.float64]:
        """Mean rate in each span, requests/s, as :func:`~infra_gym.workloads.arrival_schedule` has
        it for the same seed."""
        spans = self._steps * fluid.SPANS
        samples = spans * _SAMPLES
        middles = (np.arange(samples) + 0.5) * (self._steps * self._interval_s / samples)
        modelled = np.asarray(middles * self._time_scale, dtype=np.float64)
        rates = self._workload.rate(modelled, np.random.default_rng(seed))
        found = np.asarray(rates.reshape(spans, _SAMPLES).mean(axis=1))
        if not found.max() <= _MOST_RPS:  # nor NaN
            raise UsageError(f"The fluid form takes up to {_MOST_RPS:g} requests/s.")
        return found


class FluidWorld:
    """A batch of one, as a world.

    Args:
        definition: The environment.
        workload: The load.
        interval_s: Seconds of a step.
        time_scale: Modelled seconds in one second.
        parameters: What the target is like; left out, the defaults.

    Raises:
        InfraGymError: As for :class:`FluidBatch`.
    """

    def __init__(
        self,
        definition: Definition,
        *,
        workload: Workload,
        interval_s: float,
        time_scale: float,
        parameters: WebAppParameters | None = None,
    ) -> None:
        self._batch = FluidBatch(
            definition,
            1,
            workload=workload,
            interval_s=interval_s,
            time_scale=time_scale,
            parameters=parameters,
        )
        self._interval_s, self._time_scale = interval_s, time_scale
        self._control = self._batch.control
        self._begun = False

    def reset(self, seed: int, controls: Mapping[str, int], mode: ResetMode) -> Reading:  # noqa: ARG002
        """All modes are alike: it starts anew with every replica ready."""
        self._batch.begin(np.array([0]), [seed], controls[self._control])
        self._begun = True
        return self._reading({"schedule_sha256": self._batch.digest(0)})

    def step(self, controls: Mapping[str, int]) -> Reading:
        """One interval.

        Raises:
            NotReadyError: ``reset`` was not called.
        """
        if not self._begun:
            raise NotReadyError("step before reset", next_command="call env.reset() first")
        self._batch.step(np.array([controls[self._control]]), np.array([False]))
        return self._reading({})

    def close(self, *, keep: bool = False) -> None:  # noqa: ARG002
        """Nothing was made."""
        self._begun = False

    def _reading(self, notes: Mapping[str, str]) -> Reading:
        columns, empty = self._batch.read()
        by_label = self._batch.by_label(0)
        tick = int(self._batch.ticks[0])
        until_s = tick * self._interval_s
        return Reading(
            tick=tick,
            seconds=until_s - max(0, tick - 1) * self._interval_s,
            time_s=until_s * self._time_scale,
            values={name: float(column[0]) for name, column in columns.items()},
            by_label=by_label,
            empty=frozenset(empty) | {name for name, values in by_label.items() if not values},
            notes={
                "seconds": {"apply": 0.0, "sample": 0.0},
                "pending": [],
                "mismatch": {},
                **notes,
            },
        )
