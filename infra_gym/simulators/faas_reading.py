"""One simulated function, and what its gateway and replicas tell of an interval."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra_gym.errors import UsageError
from infra_gym.simulators import faas
from infra_gym.simulators.faas import BUCKETS_S, CODES, Floats, Rules

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened between two times. Calls are those that *ended* there."""

    since_s: float
    until_s: float
    durations: dict[str, tuple[int, ...]]
    """Per code: calls in each bucket of :data:`~infra_gym.simulators.faas.BUCKETS_S`, not
    cumulative."""
    seconds: dict[str, float]
    """Per code: the sum of the calls' durations."""
    started: int
    """Calls that came to the gateway."""
    not_sent: int
    """Calls that the client held back, with too many under way."""
    in_flight: int
    """Calls in the gateway at the end, held ones included."""
    held: int
    """Calls that wait for a ready replica at the end."""
    inflight_seconds: float
    """Call-seconds in the gateway."""
    cold_starts: int
    """Calls that found no ready replica, and got one in this time."""
    cold_start_seconds: float
    """How long these were held."""
    busy_s: dict[str, float]
    """Per replica: busy slot-seconds divided by slots."""
    ready: dict[str, bool]
    """Per replica that exists at the end (answers scrapes): whether it takes calls."""
    started_s: dict[str, float]
    """Per replica that exists at the end: when it was started."""
    cpu_seconds: float
    """Processor time of all replicas."""
    memory_bytes: float | None
    """Mean over the replicas that exist at the end; ``None`` where none does."""

    @property
    def ended(self) -> dict[str, int]:
        """Ended calls per code."""
        return {code: sum(counts) for code, counts in self.durations.items()}


class Function:
    """A function under one schedule of calls.

    Args:
        rules: What stays the same.
        arrivals_s: Ascending times of the calls, in seconds from 0.
        schedule_s: Length of the schedule, after which it repeats; ``None``: it does not.
        replicas: Replicas that are ready at time 0.
        max_replicas: The most that there may be.
        seed: Of the gateway's random choices. Each call uses one draw whatever happens, so that two
            policies under one seed meet the same chances.

    Raises:
        UsageError: A parameter is out of range.
    """

    def __init__(
        self,
        rules: Rules,
        arrivals_s: Floats,
        *,
        replicas: int,
        max_replicas: int,
        schedule_s: float | None = None,
        seed: int = 0,
    ) -> None:
        if not 0 <= replicas <= max_replicas:
            raise UsageError(f"{replicas} of at most {max_replicas} replicas cannot be.")
        if len(arrivals_s) and not (arrivals_s[0] >= 0 and np.all(np.diff(arrivals_s) >= 0)):
            raise UsageError("The calls of a simulated function must ascend from 0.")
        self.rules = rules
        self._array = rules.array
        self._lap = np.asarray(arrivals_s, dtype=np.float64)
        self._schedule_s = schedule_s
        self._laps = 0
        self._rng = np.random.default_rng(seed)
        self._arrivals = np.empty(0)
        self._draws = np.empty(0)
        self._state = faas.new_state(
            rules, functions=1, max_replicas=max_replicas, replicas=replicas
        )
        self._lengthen(0.0)

    @property
    def now_s(self) -> float:
        """Where it stands."""
        return float(self._state.totals[0, faas.NOW])

    def advance(self, until_s: float, replicas: int) -> Counts:
        """Set the number of replicas now, and let time pass.

        Raises:
            UsageError: ``until_s`` lies in the past, or so many replicas cannot be.
        """
        since_s = self.now_s
        if not since_s <= until_s < np.inf or not 0 <= replicas <= self._state.replicas.shape[1]:
            raise UsageError(
                f"The function stands at {since_s} s: it cannot advance to {until_s} s with "
                f"{replicas} replicas."
            )
        self._lengthen(until_s)
        started = faas.step_one(
            self._state, 0, until_s, replicas, self._array, self._arrivals, self._draws
        )
        return self._counts(since_s, started)

    def _lengthen(self, until_s: float) -> None:
        """Know the calls up to a time."""
        while self._laps == 0 or (
            self._schedule_s is not None and self._laps * self._schedule_s < until_s
        ):
            later = self._lap + self._laps * (self._schedule_s or 0.0)
            self._arrivals = np.concatenate([self._arrivals, later])
            self._draws = np.concatenate([self._draws, self._rng.random(len(later))])
            self._laps += 1

    def _counts(self, since_s: float, started: int) -> Counts:
        state, now_s = self._state, self.now_s
        counts, totals = state.counts[0], state.totals[0]
        born, ready_s, gone = state.replicas[0, :, : faas.GONE + 1].T
        exist = [int(n) for n in np.flatnonzero((born <= now_s) & (now_s < gone))]
        seen_s = np.clip(np.minimum(gone, now_s) - np.maximum(born, since_s), 0, None)
        worked = {n: faas.busy(state, 0, n, self._array) for n in range(len(born))}
        in_service = state.ring[0, exist, 2]
        rules = self.rules

        def by_code(rows: NDArray[Any]) -> zip[tuple[str, Any]]:
            return zip(CODES, rows, strict=True)

        return Counts(
            since_s=since_s,
            until_s=now_s,
            durations={c: tuple(map(int, row)) for c, row in by_code(state.durations[0])},
            seconds={c: float(total) for c, total in by_code(totals[faas.SECONDS :])},
            started=int(counts[faas.STARTED]),
            not_sent=int(counts[faas.DROPPED]),
            in_flight=int(counts[faas.ENDS] + counts[faas.HELD]),
            held=int(counts[faas.HELD]),
            inflight_seconds=float(totals[faas.INFLIGHT_S]),
            cold_starts=int(counts[faas.COLD_STARTS]),
            cold_start_seconds=float(totals[faas.COLD_START_S]),
            busy_s={_name(n): s / rules.slots for n, s in worked.items() if s > 0 or n in exist},
            ready={_name(n): bool(ready_s[n] <= now_s and np.isinf(gone[n])) for n in exist},
            started_s={_name(n): float(born[n]) for n in exist},
            cpu_seconds=float(
                totals[faas.SERVED_CPU_S]
                + started * rules.boot_cpu_s
                + rules.idle_cores * seen_s.sum()
            ),
            memory_bytes=float(MIB * (rules.memory_base_mib + rules.memory_mib * in_service.mean()))
            if exist
            else None,
        )


def cumulative(durations: tuple[int, ...]) -> dict[float, float]:
    """A histogram's buckets as Prometheus has them."""
    return dict(zip(BUCKETS_S, map(float, itertools.accumulate(durations)), strict=True))


def _name(number: int) -> str:
    return f"replica-{number}"
