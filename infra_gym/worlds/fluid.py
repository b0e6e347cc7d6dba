"""The fluid form of the simulated web app, many at once.

The load is the workload's curve: where that is random, the very curve that the reference has for
the same seed. Requests are no whole numbers, and nothing else is drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra_gym.definitions.models import Definition
from infra_gym.errors import SettingsError, UsageError
from infra_gym.simulators import webapp_fluid as fluid
from infra_gym.simulators import webapp_fluid_queue as theory
from infra_gym.simulators.webapp_counts import BUCKETS_S, CODES
from infra_gym.simulators.webapp_parameters import WebAppParameters, WebAppSpread
from infra_gym.workloads import Workload
from infra_gym.workloads.profiles import Bursty, FlashCrowd, Random
from infra_gym.worlds.columns import Masks, fill_empty
from infra_gym.worlds.measures import WebAppMeasures
from infra_gym.worlds.webapp_inputs import WebAppInputs

_DRAWN = (Bursty, FlashCrowd, Random)
_MOST_RPS = 1e9
_BOUNDS_S = np.array(BUCKETS_S[:-1])
_SAMPLES = 8  # of the workload's curve in a span


class FluidBatch:
    """Many environments of one definition, each at a tick of its own.

    Args:
        definition: The environment.
        num_envs: How many.
        workload: The load.
        interval_s: Seconds of a step.
        time_scale: Modelled seconds in one second.
        parameters: What the target is like, or a spread, of which each episode draws one: that
            costs a table an episode, a tenth of a millisecond; left out, the defaults.

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
        parameters: WebAppParameters | WebAppSpread | None = None,
    ) -> None:
        inputs = WebAppInputs.of(definition)
        self.control = inputs.control
        """The definition's control that sets the replicas."""
        if inputs.service != "constant":
            raise SettingsError(
                f"The fluid form has constant services, and {definition.id} has "
                f"{inputs.service} ones.",
                next_command='use fidelity="reference"',
            )
        self.measures = WebAppMeasures(definition, timeout_s=inputs.timeout_s)
        self._inputs, self._parameters = inputs, parameters
        self._workload = workload
        self._steps = definition.max_episode_steps + 2
        self._interval_s, self._time_scale = interval_s, time_scale
        self._chain = theory.chain(inputs.slots, inputs.queue_limit)
        self._guesses = theory.guesses()
        ends: tuple[WebAppParameters, ...]
        if isinstance(parameters, WebAppSpread):
            ends, kinds = (parameters.low, parameters.high), num_envs
        else:
            ends, kinds = (parameters or WebAppParameters(),), 1
        # The quickest and the slowest target tell which bounds matter to any in between.
        known = [theory.known_bounds(self._table(one, _BOUNDS_S)) for one in ends]
        self._low, high = min(low for low, _ in known), max(high for _, high in known)
        self._known_s = _BOUNDS_S[self._low : high]
        self._rules = np.zeros((kinds, fluid.RULES))
        self._tables = np.zeros(
            (kinds, len(self._chain.number), theory.WITHIN + len(self._known_s))
        )
        self._buckets = np.zeros((kinds, len(CODES)), dtype=np.int64)
        self._told: list[WebAppParameters | None] = [None] * kinds
        replicas = definition.controls[self.control].high
        self._states = np.zeros((num_envs, fluid.FIELDS + replicas * fluid.REPLICA_FIELDS))
        self._drawn = isinstance(workload, _DRAWN)
        self._rates = np.zeros(
            (num_envs if self._drawn else 1, self._steps * fluid.SPANS), dtype=np.float32
        )
        self.ticks = np.zeros(num_envs, dtype=np.int64)
        """Steps taken, shape (num_envs,)."""
        self._groups: list[tuple[NDArray[np.int64], NDArray[np.bool_]]] | None = None
        if not self._drawn:
            self._rates[0] = self._curve(0)
        if not isinstance(parameters, WebAppSpread):
            self._take(0, parameters)

    def begin(
        self,
        places: NDArray[np.int64],
        seeds: Sequence[int],
        replicas: int,
        rows: NDArray[np.float64],
    ) -> Masks:
        """Begin episodes in some places, with all replicas ready."""
        for place, seed in zip(places.tolist(), seeds, strict=True):
            if self._drawn:
                self._rates[place] = self._curve(seed)
            if isinstance(self._parameters, WebAppSpread):
                self._take(place, self._parameters.draw(seed))
        self.ticks[places], nothing = 0, 0
        for buckets, members in self._alike():
            columns = np.flatnonzero(members[places])
            nothing += fluid.begin_all(
                self._states,
                places[columns],
                replicas,
                self._rules,
                self._tables,
                self.measures.metrics,
                self.measures.bounds_s,
                buckets,
                rows,
                columns,
            )
        return self._fill_empty(rows, len(places)) if nothing else {}

    def step(
        self, replicas: NDArray[np.int64], idle: NDArray[np.bool_], rows: NDArray[np.float64]
    ) -> Masks:
        """Let an interval pass in each environment that is not ``idle``."""
        awake, nothing = ~idle, 0
        self.ticks += awake
        for buckets, members in self._alike():
            nothing += fluid.step_all(
                self._states,
                np.flatnonzero(members & awake),
                replicas,
                self._rates,
                self._rules,
                self._tables,
                self._guesses,
                self.measures.metrics,
                self.measures.bounds_s,
                buckets,
                rows,
            )
        return self._fill_empty(rows, len(idle)) if nothing else {}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the metrics, in the order of their rows."""
        return self.measures.names

    def notes(self, place: int) -> dict[str, Any]:
        """What is told of one environment's episode when it begins."""
        curve = self._rates[place if self._drawn else 0]
        parameters = self._told[place if len(self._told) > 1 else 0]
        told = {} if parameters is None else {"parameters": asdict(parameters)}
        return {"schedule_sha256": hashlib.sha256(curve.tobytes()).hexdigest(), **told}

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

    def _fill_empty(self, rows: NDArray[np.float64], columns: int) -> Masks:
        return fill_empty(rows[: len(self.names), :columns], self.measures.empty)

    def _take(self, kind: int, parameters: WebAppParameters | None) -> None:
        """Have rules and table of these parameters."""
        real = parameters or WebAppParameters()
        inputs, rules = self._inputs, self._rules[kind]
        service_time_s = inputs.service_time_s * real.service_time_factor
        self._told[kind] = parameters
        self._tables[kind] = self._table(real, self._known_s)
        self._buckets[kind] = self.measures.buckets(real.overhead_s)
        self._groups = None
        rules[fluid.INTERVAL] = self._interval_s
        rules[fluid.WORK] = service_time_s / inputs.slots
        rules[fluid.MAX_IN_FLIGHT] = inputs.max_in_flight
        rules[fluid.BOOT] = real.boot_s
        rules[fluid.DRAIN] = real.drain_s
        rules[fluid.APPLY] = real.apply_s
        rules[fluid.GUESSES_PER_LOAD] = theory.GUESSES_PER_CAPACITY * rules[fluid.WORK]
        rules[fluid.LOW] = self._low
        calm = theory.forgetful_load(inputs.slots, self._interval_s / service_time_s)
        rows, number = np.arange(len(self._chain.number)), self._chain.number
        rules[fluid.CALM_RATE] = calm / rules[fluid.WORK]
        rules[fluid.CALM_NUMBER] = np.interp(calm * theory.ROWS_PER_CAPACITY, rows, number)
        rules[fluid.CALM_ROWS] = theory.ROWS_PER_CAPACITY * rules[fluid.WORK]
        longest_s = real.apply_s + max(real.boot_s, real.drain_s)
        rules[fluid.QUICK] = theory.FORGETS * longest_s < self._interval_s

    def _table(self, real: WebAppParameters, bounds_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """What a replica does under each load, with these bounds of the histogram."""
        table = np.empty((len(self._chain.number), theory.WITHIN + len(bounds_s)))
        theory.fill_table(
            table,
            self._chain,
            self._inputs.service_time_s * real.service_time_factor,
            self._inputs.timeout_s,
            real.overhead_s,
            bounds_s,
        )
        return table

    def _alike(self) -> list[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
        """Environments whose failed requests lie in the same buckets of the histogram: which
        buckets, and who."""
        if self._groups is None:
            rows, group = np.unique(self._buckets, axis=0, return_inverse=True)
            number = np.broadcast_to(group.reshape(-1), len(self.ticks))
            self._groups = [(row, number == one) for one, row in enumerate(rows)]
        return self._groups

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
