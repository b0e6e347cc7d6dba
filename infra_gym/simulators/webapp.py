"""The twin of one web app, for Python; :mod:`infra_gym.simulators.webapp_queue` has its rules."""

from __future__ import annotations

import copy
import math
from typing import Literal

import numpy as np

from infra_gym.errors import UsageError
from infra_gym.simulators import webapp_queue as queue
from infra_gym.simulators.draws import KEYS
from infra_gym.simulators.webapp_batch import step
from infra_gym.simulators.webapp_counts import CODES, Counts
from infra_gym.simulators.webapp_parameters import WebAppParameters
from infra_gym.simulators.webapp_table import Asked, Told

Service = Literal["constant", "exponential"]

_MOST = 1_000_000
"""More requests than this wait nowhere: a slip of the pen."""
_CELLS = {
    code: slice(index * queue.BUCKETS, (index + 1) * queue.BUCKETS)
    for index, code in enumerate(CODES)
}


class WebApp:
    """The twin of one web app under one load.

    Args:
        arrivals_s: Ascending times at which requests are sent, in seconds from 0.
        replicas: Replicas that are ready at time 0.
        max_replicas: Replicas that there can be.
        schedule_s: Length of the schedule, after which it repeats; ``None``: it does not repeat.
        slots: Requests that a replica serves at a time.
        service_time_s: How long a service takes, or its mean.
        service: ``constant``: every service takes as long; ``exponential``: their lengths are
            drawn from an exponential distribution.
        queue_limit: Requests that wait at one replica at most.
        timeout_s: When the client gives up.
        max_in_flight: Requests that the client keeps open at most.
        parameters: What else the target is like.
        seed: Seed of the random choices. Each arrival uses one draw whatever happens, so that two
            policies under one seed meet the same chances.

    Raises:
        UsageError: A parameter is out of range.
    """

    def __init__(
        self,
        arrivals_s: queue.Floats,
        *,
        replicas: int,
        max_replicas: int = 100,
        schedule_s: float | None = None,
        slots: int = 4,
        service_time_s: float = 0.1,
        service: Service = "constant",
        queue_limit: int = 64,
        timeout_s: float = 5.0,
        max_in_flight: int = 512,
        parameters: WebAppParameters | None = None,
        seed: int = 0,
    ) -> None:
        _check_arrivals(arrivals_s, schedule_s)
        _check(1, slots=slots, max_replicas=max_replicas)
        rules = app_rules(
            service_time_s=service_time_s,
            service=service,
            queue_limit=queue_limit,
            timeout_s=timeout_s,
            max_in_flight=max_in_flight,
            parameters=parameters,
            schedule_s=schedule_s,
            seed=seed,
        )
        never = [math.inf] if len(arrivals_s) == 0 else []
        self._arrivals = np.append(arrivals_s, never)
        self._max_replicas = max_replicas
        self._check_replicas(replicas)
        self._apps = queue.make_apps(
            1,
            max_replicas=max_replicas,
            slots=slots,
            queue_limit=queue_limit,
            max_in_flight=max_in_flight,
        )
        self._marks, self._seen = self._apps.marks[0], self._apps.seen[0]
        self._names = [f"replica-{number}" for number in range(max_replicas)]
        queue.begin(self._apps, 0, rules, replicas)

    @property
    def now_s(self) -> float:
        """Where its clock stands, seconds."""
        now_s: float = self._apps.clock.item(0, queue.NOW)
        return now_s

    def branch(self) -> WebApp:
        """Another app in the same state, with the same future: what one does the other is not."""
        twin = copy.copy(self)
        twin._apps = queue.Apps._make(array.copy() for array in self._apps)  # noqa: SLF001 - its own
        return twin

    def advance(self, until_s: float, replicas: int) -> Counts:
        """Ask for a number of replicas now, and let time pass until ``until_s``.

        Raises:
            UsageError: ``until_s`` lies in the past, or ``replicas`` is negative or too many.
        """
        since_s = self.now_s
        self._check_step(since_s, until_s, replicas)
        # Whole seconds as well: a type of their own would be compiled for, which takes seconds.
        queue.advance(self._apps, 0, self._arrivals, float(until_s), replicas)
        return self._counts(since_s)

    def measure(self, until_s: float, replicas: int, asked: Asked) -> Told:
        """The same, but what is told is worked out by compiled code, in a fraction of the time.

        Raises:
            UsageError: As for :meth:`advance`.
        """
        since_s = self.now_s
        self._check_step(since_s, until_s, replicas)
        values = np.empty((len(asked.metrics), 1))
        step(self._apps, 0, self._arrivals, float(until_s), replicas, *asked, values)
        seen = self._seen[: self._marks[queue.NUMBERS]]
        return Told(since_s, until_s, values.ravel().tolist(), seen.tolist())

    def _check_step(self, since_s: float, until_s: float, replicas: int) -> None:
        if not since_s <= until_s < math.inf:
            raise UsageError(f"The twin stands at {since_s} s: it cannot advance to {until_s} s.")
        self._check_replicas(replicas)

    def _counts(self, since_s: float) -> Counts:
        apps = self._apps
        numbers = self._marks[queue.NUMBERS]
        told = list(zip(self._names, self._seen[:numbers].tolist(), strict=False))
        cells = apps.latencies[0].tolist()
        return Counts(
            since_s=since_s,
            until_s=self.now_s,
            latencies={code: cells[cut] for code, cut in _CELLS.items()},
            busy_s={name: busy for name, (busy, _, _) in told if busy == busy},
            ready={name: ready == 1.0 for name, (_, ready, _) in told if ready == ready},
            started_s={name: started for name, (_, _, started) in told if started == started},
            in_flight=int(self._marks[queue.FLYING]),
        )

    def _check_replicas(self, replicas: int) -> None:
        if not 0 <= replicas <= self._max_replicas:
            raise UsageError(
                f"A twin cannot have {replicas} replicas, only 0 to {self._max_replicas}."
            )


def app_rules(
    *,
    service_time_s: float,
    service: Service,
    queue_limit: int,
    timeout_s: float,
    max_in_flight: int,
    parameters: WebAppParameters | None,
    schedule_s: float | None,
    seed: int,
) -> queue.Floats:
    """What one app keeps to, in the form that the compiled functions take; see :class:`WebApp`.

    Raises:
        UsageError: A parameter is out of range.
    """
    _check(queue.ROUNDING_S, service_time_s=service_time_s, timeout_s=timeout_s)
    _check(0, queue_limit=queue_limit, max_in_flight=max_in_flight)
    if service not in ("constant", "exponential"):
        raise UsageError(f"A service is constant or exponential, not {service!r}.")
    real = parameters or WebAppParameters()
    rules = np.empty(queue.RULES)
    rules[queue.SERVICE_TIME] = service_time_s * real.service_time_factor
    rules[queue.EXPONENTIAL] = service == "exponential"
    rules[queue.QUEUE_LIMIT] = queue_limit
    rules[queue.TIMEOUT_AFTER] = timeout_s
    rules[queue.MAX_IN_FLIGHT] = max_in_flight
    rules[queue.BOOT] = real.boot_s
    rules[queue.DRAIN] = real.drain_s
    rules[queue.OVERHEAD] = real.overhead_s
    rules[queue.APPLY] = real.apply_s
    rules[queue.SCHEDULE] = math.inf if schedule_s is None else schedule_s
    rules[[queue.BALANCING_KEY, queue.SERVICE_KEY]] = draw_keys(seed)
    return rules


def draw_keys(seed: int) -> queue.Floats:
    """The keys of the random sequences: which replica, and how long a service."""
    return np.random.default_rng(seed).integers(KEYS, size=2).astype(np.float64)


def _check_arrivals(arrivals_s: queue.Floats, schedule_s: float | None) -> None:
    if len(arrivals_s) and not (arrivals_s[0] >= 0 and np.all(np.diff(arrivals_s) >= 0)):
        raise UsageError("The arrivals of a twin must ascend from 0.")
    if schedule_s is not None and not 0 < schedule_s < math.inf:
        raise UsageError(f"A schedule cannot repeat every {schedule_s} s.")
    if schedule_s is not None and len(arrivals_s) and arrivals_s[-1] > schedule_s:
        raise UsageError(f"The schedule is {schedule_s} s long, but its last arrival is later.")


def _check(lowest: float, **numbers: float) -> None:
    """Refuse what is below ``lowest``, above a million, or no number."""
    for name, number in numbers.items():
        if not lowest <= number <= _MOST:
            raise UsageError(f"A twin cannot have {name}={number}.")
