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
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infra_gym.errors import UsageError
from infra_gym.simulators.compilation import compiled

Array = NDArray[np.float64]

MAX_PLACES = 512
"""Slots and queue that a replica may have: the tables grow with the square of it."""

NUMBER, SERVED, BLOCKED, FLYING_EACH, TIMEOUTS, WITHIN = range(6)
"""Columns of the table: mean number of requests in the replica; answers a second; share of the
arrivals that find no place; requests that the client waits for; share of the accepted ones that
time out; from here on, share of the accepted ones that are answered within each bound."""

_ROUNDING_S = 1e-9
_STEP = 0.25
"""Of a service: how fine waits are added up."""


@compiled
def _waits(limit: float, slots: int, at_most: Array, accepted: Array) -> Array:
    """Share of the accepted requests that wait at most ``limit`` services, under each load."""
    loads, last = accepted.size, at_most.shape[0] - 1
    shares = np.zeros(loads)
    services = math.floor(limit) + 1
    most = services * slots - 1
    if limit < 0:
        return shares
    if most > last:
        shares[:] = 1.0
        return shares
    came = accepted * (services - limit)  # on average, since then
    chances = np.exp(-came)
    for number in range(most + 1):
        fewer = at_most[min(slots + most - number, last)]
        for load in range(loads):
            shares[load] += chances[load] * fewer[load]
            chances[load] *= came[load] / (number + 1)
    for load in range(loads):
        shares[load] = min(1.0, shares[load] / at_most[last - 1, load])
    return shares


@compiled
def _mean_wait(limit: float, slots: int, at_most: Array, accepted: Array) -> Array:
    """Mean wait of the accepted requests in services, where longer ones count as ``limit``."""
    longest = min(limit, at_most.shape[0] / slots + _STEP)
    steps = max(1, math.ceil(longest / _STEP))
    longer = np.zeros(accepted.size)
    for step in range(steps):
        longer += 1 - _waits((step + 0.5) * longest / steps, slots, at_most, accepted)
    longer[:] = longer * longest / steps
    return longer


class Chain(NamedTuple):
    """A replica under each of many loads, from none to 64 times what it can serve.

    Arrays of shape (loads,) but for ``at_most``; times are in services.
    """

    slots: int
    number: Array
    """Mean number of requests in it."""
    accepted: Array
    """Requests that find a place in a service, which are as many as it answers."""
    blocked: Array
    """Share of the arrivals that find none."""
    wait: Array
    """Mean wait of the accepted requests."""
    at_most: Array
    """Chance of at most so many requests in it; shape (places + 1, loads)."""


@functools.lru_cache(maxsize=16)
def chain(slots: int, queue_limit: int) -> Chain:
    """The stationary state of a replica.

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
    offered = _loads() * slots
    chances = np.array([_stationary(slots, places, float(one)) for one in offered])
    numbers = np.arange(places + 1)
    accepted = chances @ np.minimum(numbers, slots)
    at_most = np.ascontiguousarray(np.cumsum(chances, axis=1).T)
    lost = 1 - accepted / np.where(offered > 0, offered, np.inf)
    return Chain(
        slots=slots,
        number=chances @ numbers,
        accepted=accepted,
        blocked=np.where(offered > 0, np.maximum(0.0, lost), 0.0),
        wait=_mean_wait(math.inf, slots, at_most, accepted),
        at_most=at_most,
    )


@compiled
def fill_table(
    table: Array,
    chain: Chain,
    service_time_s: float,
    timeout_s: float,
    overhead_s: float,
    bounds_s: Array,
) -> None:
    """What a replica does under each load.

    Args:
        table: Filled; a row for each load, :data:`WITHIN` columns and one for each bound.
        chain: The replica's.
        service_time_s: Of each request.
        timeout_s: When the client gives up.
        overhead_s: What an answer takes beside its wait and service.
        bounds_s: Ascending; within which latencies are counted.
    """
    fixed_s = service_time_s + overhead_s
    longest = (timeout_s - fixed_s + _ROUNDING_S) / service_time_s
    everybody = chain.at_most.shape[0] / chain.slots + _STEP  # nobody waits longer
    answered, wait = _waits(longest, chain.slots, chain.at_most, chain.accepted), chain.wait
    if longest < everybody:
        wait = _mean_wait(max(longest, 0.0), chain.slots, chain.at_most, chain.accepted)
    served = chain.accepted / service_time_s
    table[:, NUMBER], table[:, SERVED], table[:, BLOCKED] = chain.number, served, chain.blocked
    table[:, FLYING_EACH] = served * (min(fixed_s, timeout_s) + wait * service_time_s)
    table[:, TIMEOUTS] = 1 - answered
    within = np.zeros(answered.size)
    for bound in range(bounds_s.size):
        limit = (bounds_s[bound] - fixed_s + _ROUNDING_S) / service_time_s
        found = _waits(limit, chain.slots, chain.at_most, chain.accepted)
        within = np.maximum(within, np.minimum(found, answered))
        table[:, WITHIN + bound] = within


def known_bounds(table: Array) -> tuple[int, int]:
    """The bounds that matter, from the first to before the last: within those before there is no
    answer under any load, and within those after all are."""
    shares = table[:, WITHIN:]
    low = int(np.argmax((shares > 0).any(axis=0)))
    partly = (shares < 1 - table[:, TIMEOUTS, None]).any(axis=0)
    return low, max(low, int(np.flatnonzero(partly).max(initial=-1)) + 1)


def queue_table(
    slots: int,
    service_time_s: float,
    queue_limit: int,
    timeout_s: float,
    overhead_s: float,
    bounds_s: tuple[float, ...],
) -> tuple[Array, int]:
    """The table of one replica, and the first bound that it knows, see :func:`known_bounds`.

    Raises:
        UsageError: The replica has more than :data:`MAX_PLACES` places.
    """
    steady = chain(slots, queue_limit)
    table = np.zeros((len(steady.number), WITHIN + len(bounds_s)))
    # Compiled once, for what is whole and what is not.
    times_s = float(service_time_s), float(timeout_s), float(overhead_s)
    fill_table(table, steady, *times_s, np.array(bounds_s))
    low, high = known_bounds(table)
    rest = [*range(WITHIN, WITHIN + low), *range(WITHIN + high, table.shape[1])]
    return np.ascontiguousarray(np.delete(table, rest, 1)), low


ROWS_PER_CAPACITY = 50
"""Rows of the table for as much load as a replica can serve, up to :data:`EVEN` of it."""
EVEN = 0.9
"""Share of what a replica can serve; up to here, the table's loads are evenly spaced."""
FORGETS = 6
"""Relaxation times after which a quarter of a percent is left of where a queue began."""


def forgetful_load(slots: int, services: float) -> float:
    """Up to what load a replica forgets where it began within a time.

    The relaxation time (P. M. Morse, "Stochastic properties of waiting lines", Journal of the
    Operations Research Society of America 3, 1955) is taken to be 1 / (c mu (1 - sqrt(rho))^2), the
    busy M/M/c queue's (E. A. van Doorn, "Stochastic monotonicity and queueing applications of
    birth-death processes", 1981), which is longer than that of constant services; and at least a
    service.

    Args:
        slots: Of the replica.
        services: The time, in services.

    Returns:
        Share of what it can serve, from 0 to :data:`EVEN`.
    """
    if services < FORGETS:
        return 0.0
    return min(EVEN, max(0.0, 1 - math.sqrt(FORGETS / (services * slots))) ** 2)


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
        (
            np.arange(round(EVEN * ROWS_PER_CAPACITY)) / ROWS_PER_CAPACITY,
            np.linspace(EVEN, 1.2, 60, endpoint=False),
            np.geomspace(1.2, 64, 24),
        )
    )


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
