"""The web app's twin: heater replicas under the siege engine, request by request.

The twin follows the very arrival schedule that the live siege engine sends, and keeps its rules:

1. A request leaves at its scheduled time. With ``max_in_flight`` requests unanswered it is
   *dropped*; with no ready replica it is *refused*. Both end at once.
2. Else a ready replica is picked at random. Where all its slots are busy and ``queue_limit``
   requests wait, it answers *503* at once; else the request waits, first come first served, for a
   slot, and is served for ``service_time_s``.
3. The answer comes ``overhead_s`` after the service. Latency counts from the scheduled time. Past
   ``timeout_s`` the client gives up (*timeout*); the replica does not notice and does the work.
4. Each request is counted once, at its end, with its code.

A replica that is added is ready ``boot_s`` later. One that is removed (the highest number first)
gets no new requests, finishes what it has, and is seen for ``drain_s`` more; its successor under
the same name starts when it is gone.

All services take equally long, so with c slots the n-th request that a replica accepts starts at
``max(arrival_n, start_(n-c) + service_time_s)``: the recursion of Kiefer and Wolfowitz ("On the
theory of queues with many servers", 1955) for constant service. A request's whole future is thus
known when it arrives, and no event queue is needed but that of the ends.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from infra_gym.errors import UsageError

CODES = ("200", "503", "timeout", "dropped", "refused")
"""What a request can end with, as the siege engine's label ``code``."""

# fmt: off
BUCKETS_S = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25,
    0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, math.inf,
)
# fmt: on
"""Upper bounds (``le``) of the siege engine's latency histogram, in seconds."""

# A service of 0.1 s that starts at 17.3 ends at 17.400000000000002: still in the bucket le="0.1".
_ROUNDING_S = 1e-9


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened between two times of the twin. Requests are those that *ended* there."""

    since_s: float
    until_s: float
    latencies: dict[str, tuple[int, ...]]
    """Per code: requests in each bucket of :data:`BUCKETS_S` (not cumulative)."""
    busy_s: dict[str, float]
    """Per replica: busy slot-seconds divided by slots, as ``heater_busy_seconds_total``. Work in
    progress counts, and so do replicas that are gone by now but worked in this time."""
    ready: dict[str, bool]
    """Per replica that exists at the end (answers scrapes): whether it takes requests."""
    started_s: dict[str, float]
    """Per replica that exists at the end: when it was started."""
    in_flight: int
    """Requests that are sent and not ended at the end."""

    @property
    def requests(self) -> dict[str, int]:
        """Ended requests per code."""
        return {code: sum(counts) for code, counts in self.latencies.items()}

    def within(self, latency_s: float, code: str = "200") -> int:
        """Requests of ``code`` in buckets up to ``le=latency_s``, a bound of :data:`BUCKETS_S`."""
        if latency_s not in BUCKETS_S:
            raise UsageError(
                f"{latency_s} s is no bucket's bound.", next_command=f"choose one of {BUCKETS_S}"
            )
        return sum(self.latencies[code][: BUCKETS_S.index(latency_s) + 1])


@dataclass(slots=True)
class _Replica:
    """One heater: its slots and queue as the start times of all services that have not ended."""

    number: int
    started_s: float
    ready_s: float
    gone_s: float = math.inf
    """When it stops answering scrapes."""
    free_s: float = math.inf
    """When its name is free for a successor."""
    starts: deque[float] = field(default_factory=deque)
    finished: int = 0
    """Services ended so far."""
    reported_s: float = 0.0
    """Slot-seconds of :meth:`busy` already reported."""

    @property
    def name(self) -> str:
        return f"replica-{self.number}"

    def settle(self, now_s: float, service_time_s: float) -> None:
        """Let the services end that have ended by ``now_s``."""
        starts = self.starts
        while starts and starts[0] + service_time_s <= now_s:
            starts.popleft()
            self.finished += 1

    def busy(self, now_s: float, service_time_s: float) -> float:
        """Slot-seconds of work done from its start until ``now_s``, to which it must be settled."""
        running = sum(now_s - start for start in self.starts if start < now_s)
        return self.finished * service_time_s + running


class WebApp:
    """The twin of one web app under one load.

    Args:
        arrivals_s: Ascending times at which requests are sent, in seconds from 0.
        replicas: Replicas that are ready at time 0.
        schedule_s: Length of the schedule, after which it repeats; ``None``: it does not repeat.
        slots: Requests that a replica serves at a time.
        service_time_s: How long a service takes.
        queue_limit: Requests that wait at one replica at most.
        timeout_s: When the client gives up.
        max_in_flight: Requests that the client keeps open at most.
        boot_s: From the wish for a replica until it takes requests.
        drain_s: How long a removed replica is still seen.
        overhead_s: What network and programs add to the latency of an answer.
        seed: Seed of the client's random choices. Each arrival uses one draw whatever happens, so
            that two policies under one seed meet the same chances.

    Raises:
        UsageError: A parameter is out of range.
    """

    def __init__(
        self,
        arrivals_s: NDArray[np.float64],
        *,
        replicas: int,
        schedule_s: float | None = None,
        slots: int = 4,
        service_time_s: float = 0.1,
        queue_limit: int = 64,
        timeout_s: float = 5.0,
        max_in_flight: int = 512,
        boot_s: float = 1.0,
        drain_s: float = 1.0,
        overhead_s: float = 0.003,
        seed: int = 0,
    ) -> None:
        _check_arrivals(arrivals_s, schedule_s)
        _check_from(1, slots=slots)
        _check_from(_ROUNDING_S, service_time_s=service_time_s, timeout_s=timeout_s)
        _check_from(0, replicas=replicas, queue_limit=queue_limit, max_in_flight=max_in_flight)
        _check_from(0, boot_s=boot_s, drain_s=drain_s, overhead_s=overhead_s)
        self._slots = slots
        self._service_time_s = service_time_s
        self._places = slots + queue_limit
        self._timeout_s = timeout_s
        self._max_in_flight = max_in_flight
        self._boot_s = boot_s
        self._drain_s = drain_s
        self._overhead_s = overhead_s

        self.now_s = 0.0
        self._arrivals = _arrivals(arrivals_s, schedule_s, np.random.default_rng(seed))
        self._next_s, self._draw = next(self._arrivals)
        self._replicas = [_Replica(number, 0.0, 0.0) for number in range(replicas)]
        self._leaving: list[_Replica] = []
        self._ends: list[tuple[float, str, int]] = []  # heap of (end, code, bucket)
        self._clear_latencies()

    def advance(self, until_s: float, replicas: int) -> Counts:
        """Set the number of replicas now, and let time pass until ``until_s``.

        Raises:
            UsageError: ``until_s`` lies in the past, or ``replicas`` is negative.
        """
        if not self.now_s <= until_s < math.inf or replicas < 0:
            raise UsageError(
                f"The twin stands at {self.now_s} s: it cannot advance to {until_s} s with "
                f"{replicas} replicas."
            )
        since_s = self.now_s
        self._scale(replicas)
        self._send_until(until_s)
        self._end_until(until_s)
        self.now_s = until_s
        return self._count(since_s)

    def _scale(self, wanted: int) -> None:
        while len(self._replicas) > wanted:
            self._remove(self._replicas.pop())
        while len(self._replicas) < wanted:
            number = len(self._replicas)
            free_s = [old.free_s for old in self._leaving if old.number == number]
            started_s = max(self.now_s, *free_s) if free_s else self.now_s
            self._replicas.append(_Replica(number, started_s, started_s + self._boot_s))

    def _remove(self, replica: _Replica) -> None:
        if replica.started_s > self.now_s:
            return  # its predecessor is still there, so it never existed
        replica.gone_s = self.now_s + self._drain_s
        last_end_s = replica.starts[-1] + self._service_time_s if replica.starts else 0.0
        replica.free_s = max(replica.gone_s, last_end_s)
        self._leaving.append(replica)

    def _send_until(self, until_s: float) -> None:
        ready: list[_Replica] = []
        changes_s = -math.inf  # until when `ready` holds
        while self._next_s < until_s:
            now_s = self._next_s
            if now_s >= changes_s:
                ready = [replica for replica in self._replicas if replica.ready_s <= now_s]
                later = [replica.ready_s for replica in self._replicas if replica.ready_s > now_s]
                changes_s = min(later, default=math.inf)
            self._end_until(now_s)
            self._send(now_s, ready)
            self._next_s, self._draw = next(self._arrivals)

    def _send(self, now_s: float, ready: list[_Replica]) -> None:
        if len(self._ends) >= self._max_in_flight:
            self._end(now_s, "dropped", 0.0)
        elif not ready:
            self._end(now_s, "refused", 0.0)
        else:
            replica = ready[int(self._draw * len(ready))]
            replica.settle(now_s, self._service_time_s)
            self._serve(now_s, replica.starts)

    def _serve(self, now_s: float, starts: deque[float]) -> None:
        if len(starts) >= self._places:
            self._end(now_s, "503", self._overhead_s)
            return
        start_s = now_s
        if len(starts) >= self._slots:
            start_s = starts[-self._slots] + self._service_time_s
        starts.append(start_s)
        latency_s = start_s + self._service_time_s + self._overhead_s - now_s
        if latency_s > self._timeout_s + _ROUNDING_S:
            self._end(now_s, "timeout", self._timeout_s)
        else:
            self._end(now_s, "200", latency_s)

    def _end(self, sent_s: float, code: str, latency_s: float) -> None:
        bucket = bisect_left(BUCKETS_S, latency_s - _ROUNDING_S)
        heapq.heappush(self._ends, (sent_s + latency_s, code, bucket))

    def _end_until(self, until_s: float) -> None:
        ends, latencies = self._ends, self._latencies
        while ends and ends[0][0] <= until_s:
            _, code, bucket = heapq.heappop(ends)
            latencies[code][bucket] += 1

    def _count(self, since_s: float) -> Counts:
        now_s = self.now_s
        busy_s: dict[str, float] = {}
        everyone = [*self._leaving, *self._replicas]
        for replica in everyone:
            replica.settle(now_s, self._service_time_s)
            done_s = replica.busy(now_s, self._service_time_s)
            worked_s = (done_s - replica.reported_s) / self._slots
            busy_s[replica.name] = busy_s.get(replica.name, 0.0) + worked_s
            replica.reported_s = done_s
        seen = [each for each in everyone if each.started_s <= now_s < each.gone_s]
        counts = Counts(
            since_s=since_s,
            until_s=now_s,
            latencies={code: tuple(numbers) for code, numbers in self._latencies.items()},
            busy_s=busy_s,
            ready={each.name: each.ready_s <= now_s and each.gone_s == math.inf for each in seen},
            started_s={each.name: each.started_s for each in seen},
            in_flight=len(self._ends),
        )
        self._leaving = [replica for replica in self._leaving if replica.free_s > now_s]
        self._clear_latencies()
        return counts

    def _clear_latencies(self) -> None:
        self._latencies = {code: [0] * len(BUCKETS_S) for code in CODES}


def _arrivals(
    arrivals_s: NDArray[np.float64], schedule_s: float | None, rng: np.random.Generator
) -> Iterator[tuple[float, float]]:
    """Each arrival with its draw from [0, 1); a finite schedule ends with one that never comes."""
    lap_s = 0.0
    while len(arrivals_s):
        yield from zip(
            (arrivals_s + lap_s).tolist(), rng.random(len(arrivals_s)).tolist(), strict=True
        )
        if schedule_s is None:
            break
        lap_s += schedule_s
    yield math.inf, 0.0


def _check_arrivals(arrivals_s: NDArray[np.float64], schedule_s: float | None) -> None:
    if len(arrivals_s) and not (arrivals_s[0] >= 0 and np.all(np.diff(arrivals_s) >= 0)):
        raise UsageError("The arrivals of a twin must ascend from 0.")
    if schedule_s is not None and not 0 < schedule_s < math.inf:
        raise UsageError(f"A schedule cannot repeat every {schedule_s} s.")
    if schedule_s is not None and len(arrivals_s) and arrivals_s[-1] > schedule_s:
        raise UsageError(f"The schedule is {schedule_s} s long, but its last arrival is later.")


def _check_from(limit: float, **numbers: float) -> None:
    """Refuse what is below ``limit`` or no number."""
    for name, number in numbers.items():
        if not limit <= number < math.inf:
            raise UsageError(f"A twin cannot have {name}={number}.")
