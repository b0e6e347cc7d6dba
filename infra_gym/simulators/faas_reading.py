"""Many simulated functions, and what their gateways and replicas tell of an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra_gym.simulators import faas
from infra_gym.simulators.faas import Floats, Ints
from infra_gym.simulators.faas_rules import MIB, Rules


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened between two times, a number a function; calls are those that *ended* there.

    Each is an array of shape (functions,), if nothing else is said.
    """

    seconds: Floats
    """Length of the time."""
    durations: Ints
    """Calls by code and bucket, not cumulative; shape (functions, codes, buckets)."""
    code_seconds: Floats
    """The sum of the calls' durations by code; shape (functions, codes)."""
    started: Ints
    """Calls that came to the gateway."""
    not_sent: Ints
    """Calls that the client held back, with too many under way."""
    in_flight: Ints
    """Calls in the gateway at the end, held ones included."""
    held: Ints
    """Calls that wait for a ready replica at the end."""
    inflight_seconds: Floats
    """Call-seconds in the gateway."""
    cold_starts: Ints
    """Calls that found no ready replica, and got one in this time."""
    cold_start_seconds: Floats
    """How long these were held."""
    existing: Floats
    """Replicas that exist at the end: answer scrapes."""
    ready: Floats
    """Replicas that take calls at the end."""
    busy: Floats
    """Busy slot-seconds over slots; NaN where no replica exists or has worked."""
    cpu_seconds: Floats
    """Processor time of all replicas."""
    memory_bytes: Floats
    """Mean over the replicas that exist at the end; NaN where none does."""


@dataclass(frozen=True, slots=True)
class Replicas:
    """The replicas of one function, by name: those that exist at the end of the interval."""

    ready: dict[str, float]
    """1 if it takes calls, else 0."""
    started_s: dict[str, float]
    """When it was started."""
    busy_s: dict[str, float]
    """Busy slot-seconds over slots; also of those that have worked and are gone."""


class Functions:
    """A batch of functions, each under a schedule of calls.

    Each call uses one draw of the gateway's random choices whatever happens, so that two policies
    under one seed meet the same chances.

    Args:
        rules: What stays the same.
        functions: How many.
        max_replicas: The most that each may have.
        schedule_s: Length of the schedules, after which they repeat; ``None``: they do not.
    """

    def __init__(
        self, rules: Rules, *, functions: int, max_replicas: int, schedule_s: float | None = None
    ) -> None:
        self._rules, self._array = rules, rules.array
        self._schedule_s = np.inf if schedule_s is None else schedule_s
        self._state = faas.new_state(rules, functions=functions, max_replicas=max_replicas)
        self._told = np.zeros((functions, faas.TOLD))
        self._worked = np.full((functions, max_replicas), np.nan)
        self._laps: list[Floats] = [np.empty(0)] * functions
        self._generators = [np.random.default_rng(0)] * functions
        self._lengths = np.zeros(functions, dtype=np.int64)
        self._known_s = np.zeros(functions)  # how far each one's arrivals are laid out
        self._arrivals = np.full((functions, 1), np.inf)
        self._draws = np.zeros((functions, 1))

    def begin(self, place: int, arrivals_s: Floats, *, replicas: int, seed: int) -> None:
        """Begin anew at time 0, with all replicas ready.

        Args:
            place: Which function.
            arrivals_s: Ascending times of the calls, in seconds from 0.
            replicas: How many there are.
            seed: Of the gateway's random choices.
        """
        faas.begin(self._state, place, replicas)
        self._laps[place] = arrivals_s
        self._generators[place] = np.random.default_rng(seed)
        self._lengths[place] = self._known_s[place] = 0
        self._arrivals[place] = np.inf
        self._lengthen(place)

    def advance(self, until_s: Floats, replicas: Ints, idle: NDArray[np.bool_]) -> None:
        """Set the numbers of replicas now, and let time pass in each that is not ``idle``.

        Args:
            until_s: Until when, shape (functions,); not before each one's own time.
            replicas: Of each, shape (functions,).
            idle: Which stay as they are, shape (functions,).
        """
        while (late := ~idle & (self._known_s < until_s)).any():
            for place in np.flatnonzero(late).tolist():
                self._lengthen(place)
        faas.step_all(
            self._state,
            until_s,
            replicas,
            idle,
            self._array,
            self._arrivals,
            self._draws,
            self._told,
            self._worked,
        )

    def counts(self) -> Counts:
        """Of each function's last interval; good until the next one."""
        state, rules, told = self._state, self._rules, self._told.T
        totals, counts = state.totals.T, state.counts.T
        return Counts(
            seconds=told[faas.LENGTH_S],
            durations=state.durations,
            code_seconds=state.totals[:, faas.SECONDS :],
            started=counts[faas.STARTED],
            not_sent=counts[faas.DROPPED],
            in_flight=counts[faas.ENDS] + counts[faas.HELD],
            held=counts[faas.HELD],
            inflight_seconds=totals[faas.INFLIGHT_S],
            cold_starts=counts[faas.COLD_STARTS],
            cold_start_seconds=totals[faas.COLD_START_S],
            existing=told[faas.EXISTING],
            ready=told[faas.TAKING],
            busy=told[faas.BUSY],
            cpu_seconds=totals[faas.SERVED_CPU_S]
            + told[faas.BOOTED] * rules.boot_cpu_s
            + rules.idle_cores * told[faas.SEEN_S],
            memory_bytes=MIB * (rules.memory_base_mib + rules.memory_mib * told[faas.IN_SERVICE]),
        )

    def replicas(self, place: int) -> Replicas:
        """Of one function, at the end of its last interval."""
        now_s = float(self._state.totals[place, faas.NOW])
        ready, started_s, busy_s = {}, {}, {}
        rows = self._state.replicas[place, :, : faas.GONE + 1].tolist()
        worked = self._worked[place].tolist()
        for number, ((born_s, ready_s, gone_s), busy) in enumerate(zip(rows, worked, strict=True)):
            name = f"replica-{number}"
            if born_s <= now_s < gone_s:
                ready[name] = float(ready_s <= now_s and gone_s == np.inf)
                started_s[name] = born_s
            if busy == busy:
                busy_s[name] = busy
        return Replicas(ready, started_s, busy_s)

    def _lengthen(self, place: int) -> None:
        """Lay out one more lap of a schedule."""
        lap, first = self._laps[place], int(self._lengths[place])
        last = first + len(lap)
        missing = last - self._arrivals.shape[1]
        if missing > 0:
            room = ((0, 0), (0, missing + last // 16))
            self._arrivals = np.pad(self._arrivals, room, constant_values=np.inf)
            self._draws = np.pad(self._draws, room)
        begins_s = self._known_s[place]
        self._arrivals[place, first:last] = lap + begins_s if begins_s else lap
        self._draws[place, first:last] = self._generators[place].random(len(lap))
        self._lengths[place], self._known_s[place] = last, begins_s + self._schedule_s
