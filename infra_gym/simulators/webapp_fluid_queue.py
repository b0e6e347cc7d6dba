"""One replica under steady load, as queueing theory has it: the tables of the fluid form.

A replica is an M/D/c queue with a bounded number of places. The number of requests in it, seen once
every service time D, is a chain: all that were served leave, and a Poisson number comes
(C. D. Crommelin, "Delay probability formulae when the holding times are constant", 1932). Waiting
times follow from it by G. J. Franx, "A simple solution for the M/D/c waiting time distribution",
Operations Research Letters 29 (2001): a request that comes now waits at most y in [(k-1)D, kD) if
at most kc - 1 requests waited kD - y ago or came since. Both are exact without a bound on the
queue. With one, what comes beyond the last place is cut off once a service time, which is close
where the queue has room for several services of all slots.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from infra_gym.errors import UsageError

Array = NDArray[np.float64]

MAX_PLACES = 512
"""Slots and queue that a replica may have: the tables grow with the square of it."""

NUMBER, SERVED, BLOCKED, FLYING_EACH, TIMEOUTS, WITHIN = range(6)
"""Columns of the table: mean number of requests in the replica; answers a second; share of the
arrivals that find no place; requests that the client waits for; share of the accepted ones that
time out; from here on, share of the accepted ones that are answered within each bound."""

_ROUNDING_S = 1e-9


@functools.lru_cache(maxsize=16)
def queue_table(
    slots: int,
    service_time_s: float,
    queue_limit: int,
    timeout_s: float,
    overhead_s: float,
    bounds_s: tuple[float, ...],
) -> tuple[Array, int]:
    """What a replica does under each of many loads, from none to 64 times what it can serve.

    Returns:
        The table, a row for each load, and the first bound that it knows. Within those before,
        there is no answer under any load, and within those after the last that it knows, all are.

    Raises:
        UsageError: The replica has more than :data:`MAX_PLACES` places.
    """
    places = slots + queue_limit
    if places > MAX_PLACES:
        raise UsageError(
            f"The fluid form takes replicas of at most {MAX_PLACES} slots and places in the queue, "
            f"not {places}.",
            next_command='use fidelity="reference", or a lower queue_limit',
        )
    fixed_s = service_time_s + overhead_s
    longest_s = timeout_s - fixed_s + _ROUNDING_S
    rows = []
    for load in _loads():
        replica = _Replica(slots, places, service_time_s, float(load) * slots)
        answered = replica.waits(longest_s)
        wait_s = replica.mean_wait_s(max(longest_s, 0.0))
        flying = replica.served * (min(fixed_s, timeout_s) + wait_s)
        within = [
            min(replica.waits(bound_s - fixed_s + _ROUNDING_S), answered) for bound_s in bounds_s
        ]
        rows.append(
            [replica.number, replica.served, replica.blocked, flying, 1 - answered, *within]
        )
    table = np.array(rows)
    shares = table[:, WITHIN:]
    np.maximum.accumulate(shares, axis=1, out=shares)
    low = int(np.argmax((shares > 0).any(axis=0)))
    partly = (shares < 1 - table[:, TIMEOUTS, None]).any(axis=0)
    high = max(low, int(np.flatnonzero(partly).max(initial=-1)) + 1)
    table = np.delete(
        table, [*range(WITHIN, WITHIN + low), *range(WITHIN + high, table.shape[1])], 1
    )
    return np.ascontiguousarray(table), low


GUESSES_PER_CAPACITY = 200
"""Places in :func:`guesses` for as much load as a replica can serve."""


def guesses() -> NDArray[np.int64]:
    """The row of the table for each of many loads; the last one holds for all that are higher."""
    loads = np.arange(int(1.2 * GUESSES_PER_CAPACITY) + 1) / GUESSES_PER_CAPACITY
    rows = np.searchsorted(_loads(), loads + 1e-9, side="right") - 1
    return np.asarray(rows, dtype=np.int64)


def _loads() -> Array:
    """Offered load over capacity: dense where the queue's length depends on it most."""
    return np.concatenate(
        (np.linspace(0, 0.9, 45, endpoint=False), np.linspace(0.9, 1.2, 60, endpoint=False),
         np.geomspace(1.2, 64, 24))
    )  # fmt: skip


class _Replica:
    """The chain's stationary state.

    Args:
        slots: Requests served at a time.
        places: Requests inside at most.
        service_time_s: Of each.
        offered: Mean number of arrivals in a service time.
    """

    def __init__(self, slots: int, places: int, service_time_s: float, offered: float) -> None:
        self._slots = slots
        self._service_time_s = service_time_s
        chance = _stationary(slots, places, offered)
        numbers = np.arange(places + 1)
        in_service = float(chance @ np.minimum(numbers, slots))
        self.number = float(chance @ numbers)
        self.served = in_service / service_time_s
        self.blocked = max(0.0, 1 - in_service / offered) if offered else 0.0
        self._accepted = in_service  # arrivals that find a place, in a service time
        self._at_most = np.cumsum(chance)
        self._finds_place = float(self._at_most[-2]) if places else 0.0

    def waits(self, limit_s: float) -> float:
        """Share of the accepted requests that wait at most ``limit_s``."""
        if limit_s < 0:
            return 0.0
        services = math.floor(limit_s / self._service_time_s) + 1
        most = services * self._slots - 1
        if most >= len(self._at_most):
            return 1.0
        since = services - limit_s / self._service_time_s
        came = _poisson(self._accepted * since, most + 1)
        inside = np.minimum(self._slots + most - np.arange(most + 1), len(self._at_most) - 1)
        return min(1.0, float(came @ self._at_most[inside]) / self._finds_place)

    def mean_wait_s(self, limit_s: float) -> float:
        """Mean wait of the accepted requests, where longer ones count as ``limit_s``."""
        step_s = self._service_time_s / 4
        longest_s = min(limit_s, len(self._at_most) / self._slots * self._service_time_s + step_s)
        steps = math.ceil(longest_s / step_s)
        middles = (np.arange(steps) + 0.5) * longest_s / max(steps, 1)
        longer = [1 - self.waits(float(middle)) for middle in middles]
        return math.fsum(longer) * longest_s / max(steps, 1)


def _stationary(slots: int, places: int, offered: float) -> Array:
    came = _poisson(offered, places + 1)
    moves = np.zeros((places + 1, places + 1))
    for number in range(places + 1):
        stay = max(number - slots, 0)
        moves[number, stay:] = came[: places + 1 - stay]
        moves[number, places] += max(0.0, 1 - moves[number].sum())
    equations = moves.T - np.eye(places + 1)
    equations[-1] = 1.0
    chance = np.linalg.solve(equations, np.eye(places + 1)[-1])
    chance = np.maximum(chance, 0.0)
    return np.asarray(chance / chance.sum())


def _poisson(mean: float, count: int) -> Array:
    """Chances of 0 to ``count`` - 1."""
    if mean == 0:
        return np.asarray(np.eye(1, count)[0], dtype=np.float64)
    number = np.arange(count)
    factorials = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, count)))))
    return np.asarray(np.exp(number * math.log(mean) - mean - factorials))
