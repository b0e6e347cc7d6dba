"""The web app's fluid form: what the reference does request by request, in a few flows a step.

A step is cut into a few spans, and at every time at which a replica becomes ready, unless its load
is low: then it is one span, with the replicas that are ready at its end. In a span the load is what
the workload's curve says, and all ready replicas are alike: random balancing gives each a Poisson
stream of its own. The state is the mean number of requests in a replica, and it moves by the
pointwise stationary fluid flow approximation (W.-P. Wang, D. Tipper and S. Banerjee, "A simple
approximation for modeling nonstationary queues", INFOCOM 1996): what a replica serves, refuses and
how long its requests take are at every time those of a queue in steady state with this mean number
(:mod:`~infra_gym.simulators.webapp_fluid_queue`). A steady load is thus met as theory has it, an
overload fills the queue at the rate of what is too much, and a change of replicas takes the work
that waits along.

The implicit Euler rule takes a span at a time: with x requests before, arrivals a, answers s(y) and
refusals b(y), the number after is the y for which y + dt (s(y) + a b(y)) = x + dt a. Its left side
grows with y, and all is a straight line between two rows of the table. The latencies of a span are
those half way from the state before to the state after.

Replicas start, become ready, drain and are replaced at the very times at which they do in the
reference. Those that drain answer what they have.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infra_gym.simulators.compilation import compiled, inlined, uncounted, unlocked
from infra_gym.simulators.webapp_fluid_measures import measure_block
from infra_gym.simulators.webapp_fluid_queue import (
    BLOCKED,
    FLYING_EACH,
    NUMBER,
    SERVED,
    TIMEOUTS,
    WITHIN,
    Array,
)
from infra_gym.simulators.webapp_table import (
    DROPPED,
    FULL,
    OK,
    REFUSED,
    TIMEOUT,
)

SPANS = 4
"""Parts of a step for which the load's mean is known."""
_BLOCK = 128
"""Environments whose metrics are told together: what they ended fits the nearest cache."""
_ALIKE = 0.1
"""Two spans whose loads differ by no more than this share of their mean are taken as one."""

(
    INTERVAL,
    SLOTS,
    SERVICE_TIME,
    MAX_IN_FLIGHT,
    BOOT,
    DRAIN,
    APPLY,  # from a step's begin until its change is made
    GUESSES_PER_LOAD,  # places in the list of guesses for one request/s
    LOW,  # the first bound within which some answer comes; the table begins with it
    CALM_RATE,  # requests/s for a replica, up to which its latencies hardly depend on the load
    CALM_NUMBER,  # requests in a replica under this load
) = range(11)
RULES = 11
"""Fields of what stays the same for a whole life. Times are wall-clock seconds."""

(
    TICK,
    INSIDE,  # mean number of requests in a ready replica
    POSITION,  # and where that lies between the rows of the table
    FLYING,  # requests that the client waits for
    WANTED,  # replicas
    READY,  # those that take requests
    EXISTING,  # those that are seen
    NEXT_READY,  # when the next one takes requests
    SETTLED,  # replicas with lower numbers are ready, and nothing drains under their numbers
    MOVED,  # replicas with this number or a higher one were never there
    LEAVING,  # requests in replicas that drain
    DRAINS,  # and how many of them end in a second
    BUSY,  # replica-seconds of work done in the last step
) = range(13)
FIELDS = 13
"""Fields of an environment's state."""
STARTED, READY_AT, GONE, FREE, STARTED_BEFORE = range(5)
"""After them, for each number of a replica: when it started, and when it takes requests; when the
one before it under this number is seen no more, when the number is free, and when that one had
started."""
REPLICA_FIELDS = 5


@compiled
def begin(states: Array, place: int, replicas: int) -> None:
    """All replicas stand ready and idle at time 0."""
    for field in range(states.shape[1]):
        states[place, field] = 0.0
    states[place, WANTED] = states[place, READY] = states[place, EXISTING] = replicas
    states[place, SETTLED] = states[place, MOVED] = replicas
    states[place, NEXT_READY] = np.inf


@inlined
def _field(number: int, field: int) -> int:
    return FIELDS + number * REPLICA_FIELDS + field


@inlined
def _scale(states: Array, place: int, wanted: int, now_s: float, rules: Array) -> None:
    """Start replicas, or remove them, the highest number first."""
    have = int(states[place, WANTED])
    for number in range(wanted, have):
        if states[place, _field(number, STARTED)] <= now_s:
            _remove(states, place, number, now_s, rules)
        # Else the one before it is there yet, and it never existed.
    for number in range(have, wanted):
        started_s = max(now_s, states[place, _field(number, FREE)])
        states[place, _field(number, STARTED)] = started_s
        states[place, _field(number, READY_AT)] = started_s + rules[BOOT]
    states[place, WANTED] = wanted
    states[place, SETTLED] = min(states[place, SETTLED], float(min(have, wanted)))
    states[place, MOVED] = max(states[place, MOVED], float(wanted))


@inlined
def _remove(states: Array, place: int, number: int, now_s: float, rules: Array) -> None:
    """It gets no more requests, and ends what it has."""
    free_s = gone_s = now_s + rules[DRAIN]
    if states[place, _field(number, READY_AT)] <= now_s:
        inside = states[place, INSIDE]
        free_s = max(free_s, now_s + inside * rules[SERVICE_TIME] / rules[SLOTS])
        states[place, LEAVING] += inside
        states[place, DRAINS] += rules[SLOTS] / rules[SERVICE_TIME]
        states[place, READY] -= 1
    states[place, _field(number, GONE)] = gone_s
    states[place, _field(number, FREE)] = free_s
    states[place, _field(number, STARTED_BEFORE)] = states[place, _field(number, STARTED)]


@inlined
def _look(states: Array, place: int, now_s: float, table: Array) -> None:
    """Who is there, and when the next takes requests. New ones share the work that waits."""
    first, wanted = int(states[place, SETTLED]), int(states[place, WANTED])
    ready, existing, next_s, settled = first, first, np.inf, first
    for number in range(first, int(states[place, MOVED])):
        drains = states[place, _field(number, GONE)] > now_s
        existing += drains
        if number < wanted:
            ready_s = states[place, _field(number, READY_AT)]
            existing += states[place, _field(number, STARTED)] <= now_s
            if ready_s <= now_s:
                ready += 1
                settled += settled == number and not drains
            else:
                next_s = min(next_s, ready_s)
    if ready > states[place, READY]:
        states[place, INSIDE] *= states[place, READY] / ready
        row, way = _find(table, int(states[place, POSITION]), states[place, INSIDE], 0.0, 0.0)
        states[place, POSITION] = row + way
    states[place, READY], states[place, EXISTING] = ready, existing
    states[place, NEXT_READY], states[place, SETTLED] = next_s, settled


@inlined
def _find(table: Array, row: int, goal: float, span_s: float, load: float) -> tuple[int, float]:
    """Where y + dt (s(y) + a b(y)) meets ``goal``: a row, and the way to the next; see above.

    It is looked for from ``row`` on.
    """
    last = table.shape[0] - 2
    here = table[row, NUMBER] + span_s * (table[row, SERVED] + load * table[row, BLOCKED])
    while row > 0 and here > goal:
        row -= 1
        here = table[row, NUMBER] + span_s * (table[row, SERVED] + load * table[row, BLOCKED])
    while True:
        after = row + 1
        there = table[after, NUMBER] + span_s * (
            table[after, SERVED] + load * table[after, BLOCKED]
        )
        if there > goal or row == last:
            break
        row, here = after, there
    return row, (min(1.0, (goal - here) / (there - here)) if there > here else 1.0)


@inlined
def _between(table: Array, row: int, way: float, column: int) -> float:
    return float(table[row, column] + way * (table[row + 1, column] - table[row, column]))


@inlined
def _spread(requests: float, position: float, table: Array, within: Array, slot: int) -> float:
    """Add requests by their latencies to a row of ``within``; returns how many time out."""
    row = min(int(position), table.shape[0] - 2)
    way = position - row
    here, there = requests * (1 - way), requests * way
    for bound in range(table.shape[1] - WITHIN):
        within[bound, slot] += (
            here * table[row, WITHIN + bound] + there * table[row + 1, WITHIN + bound]
        )
    return float(here * table[row, TIMEOUTS] + there * table[row + 1, TIMEOUTS])


@inlined
def _drain(states: Array, place: int, span_s: float, rules: Array) -> float:
    """Replicas that drain end some of what they have; returns replica-seconds of their work."""
    done = min(states[place, LEAVING], states[place, DRAINS] * span_s)
    states[place, LEAVING] -= done
    if states[place, LEAVING] == 0.0:
        states[place, DRAINS] = 0.0
    return float(done * rules[SERVICE_TIME] / rules[SLOTS])


@inlined
def flow(  # noqa: C901 - one loop: calls in it would cost more than what they do
    states: Array,
    place: int,
    wanted: int,
    rates: NDArray[np.float32],
    rules: Array,
    table: Array,
    guesses: NDArray[np.int64],
    totals: Array,
    within: Array,
    slot: int,
) -> None:
    """One step of one environment.

    Args:
        states: Shape (environments, FIELDS + replicas * REPLICA_FIELDS); one is changed in place.
        place: Which environment.
        wanted: Replicas.
        rates: Of each environment, or of all: shape (environments or 1, steps * SPANS), requests/s;
            after the last step, they begin again.
        rules: Shape (RULES,).
        table: See :func:`~infra_gym.simulators.webapp_fluid_queue.queue_table`.
        totals: For the requests that ended, by code; shape (block, codes).
        within: For the answers within each bound of the table; shape (block, bounds).
        slot: The environment's row in these two.
    """
    tick = int(states[place, TICK])
    begin_s, end_s = tick * rules[INTERVAL], (tick + 1) * rules[INTERVAL]
    change_s = begin_s + min(rules[APPLY], rules[INTERVAL])
    curve, first = place if rates.shape[0] > 1 else 0, tick * SPANS % rates.shape[1]
    changes = wanted != int(states[place, WANTED])
    before = accounted = states[place, FLYING]
    timeouts = busy_s = 0.0
    for code in range(totals.shape[0]):
        totals[code, slot] = 0.0
    for bound in range(within.shape[0]):
        within[bound, slot] = 0.0
    now_s, span = begin_s, 0
    mean, highest = 0.0, 0.0
    for each in range(first, first + SPANS):
        mean += rates[curve, each] / SPANS
        highest = max(highest, rates[curve, each])
    taking = min(states[place, READY], float(wanted))
    calm = (
        states[place, INSIDE] <= rules[CALM_NUMBER]
        and highest <= rules[CALM_RATE] * taking
        and states[place, LEAVING] == 0
        and taking > 0
    )
    if calm:  # the whole step is one span, with the replicas that are there at its end
        if changes:
            changes = False
            _scale(states, place, wanted, change_s, rules)
        if states[place, SETTLED] < states[place, MOVED]:
            _look(states, place, end_s, table)
        if states[place, LEAVING] > 0 and states[place, READY] > 0:
            states[place, INSIDE] += states[place, LEAVING] / states[place, READY]
            states[place, LEAVING] = states[place, DRAINS] = 0.0
    while span < SPANS:
        rate = rates[curve, first + span]
        span += 1
        if calm:
            rate, span = mean, SPANS
        elif span % 2 == 1 and abs(rates[curve, first + span] - rate) <= _ALIKE * rate:
            rate = (rate + rates[curve, first + span]) / 2
            span += 1
        until_s = begin_s + span * rules[INTERVAL] / SPANS if span < SPANS else end_s
        while now_s < until_s:
            if changes and change_s <= now_s:
                changes = False
                _scale(states, place, wanted, now_s, rules)
                _look(states, place, now_s, table)
            stop_s = min(until_s, states[place, NEXT_READY])
            if changes:
                stop_s = min(stop_s, change_s)
            span_s, now_s = stop_s - now_s, stop_s
            came, ready = rate * span_s, states[place, READY]
            if states[place, LEAVING] > 0:
                busy_s += _drain(states, place, span_s, rules)
            position, leaving = states[place, POSITION], states[place, LEAVING]
            if ready == 0:
                totals[REFUSED, slot] += came
                timeouts += _spread(before, position, table, within, slot)
                states[place, FLYING] = leaving
            else:
                inside, load = states[place, INSIDE], rate / ready
                guess = guesses[int(min(load * rules[GUESSES_PER_LOAD], guesses.size - 1.0))]
                row, way = _find(table, guess, inside + span_s * load, span_s, load)
                after, served = _between(table, row, way, NUMBER), _between(table, row, way, SERVED)
                accepted = (after - inside + span_s * served) * ready
                if accepted > came * (1 - 1e-9):
                    accepted = came
                totals[FULL, slot] += came - accepted
                flying = _between(table, row, way, FLYING_EACH) * ready + leaving
                busy_s += ready * served * span_s * rules[SERVICE_TIME] / rules[SLOTS]
                if flying > rules[MAX_IN_FLIGHT]:
                    dropped = min(flying - rules[MAX_IN_FLIGHT], accepted)
                    totals[DROPPED, slot] += dropped
                    accepted, flying, after = (
                        accepted - dropped,
                        flying - dropped,
                        after - dropped / ready,
                    )
                accounted += accepted
                middle = 0.5 * (position + row + way)
                timeouts += _spread(accepted + before, middle, table, within, slot)
                states[place, INSIDE], states[place, POSITION] = after, row + way
                states[place, FLYING] = flying
            before = 0.0
            if states[place, NEXT_READY] <= now_s:
                _look(states, place, now_s, table)
    if changes:
        _scale(states, place, wanted, end_s, rules)
    if states[place, SETTLED] < states[place, MOVED] and not calm:
        _look(states, place, end_s, table)
    states[place, TICK], states[place, BUSY] = tick + 1, busy_s
    states[place, FLYING] = min(states[place, FLYING], accounted)
    ended = 1 - states[place, FLYING] / accounted if accounted > 0 else 0.0
    totals[TIMEOUT, slot] = timeouts * ended
    totals[OK, slot] = accounted * ended - totals[TIMEOUT, slot]
    last = within.shape[0] - 1
    for bound in range(last):
        within[bound, slot] *= ended
    within[last, slot] = totals[OK, slot]


@compiled
def _measure(
    states: Array,
    places: NDArray[np.int64],
    rules: Array,
    metrics: Array,
    bounds_s: Array,
    buckets: NDArray[np.int64],
    totals: Array,
    within: Array,
    values: Array,
) -> None:
    """What is told of some environments; ``totals`` and ``within`` have a row for each."""
    gauges, seconds = np.empty((4, places.size)), np.empty(places.size)
    for slot in range(places.size):
        place = places[slot]
        gauges[0, slot], gauges[1, slot] = states[place, BUSY], states[place, FLYING]
        gauges[2, slot], gauges[3, slot] = states[place, EXISTING], states[place, READY]
        tick = states[place, TICK]
        seconds[slot] = tick * rules[INTERVAL] - max(0.0, tick - 1) * rules[INTERVAL]
    low = int(rules[LOW])
    measure_block(metrics, bounds_s, buckets, low, totals, within, gauges, seconds, values, places)


@compiled
def begin_all(
    states: Array,
    places: NDArray[np.int64],
    replicas: int,
    rules: Array,
    tables: Array,
    metrics: Array,
    bounds_s: Array,
    buckets: NDArray[np.int64],
    values: Array,
) -> None:
    """Begin an episode of each of ``places``, with so many replicas; see :func:`step_all`."""
    for place in places:
        begin(states, place, replicas)
    totals = np.zeros((buckets.size, places.size))
    within = np.zeros((tables.shape[2] - WITHIN + 1, places.size))
    _measure(states, places, rules[0], metrics, bounds_s, buckets, totals, within, values)


@uncounted
def _flow_block(
    states: Array,
    places: NDArray[np.int64],
    wanted: NDArray[np.int64],
    rates: NDArray[np.float32],
    rules: Array,
    tables: Array,
    guesses: NDArray[np.int64],
    totals: Array,
    within: Array,
) -> None:
    for slot in range(places.size):
        place = places[slot]
        kind = place if tables.shape[0] > 1 else 0
        flow(
            states, place, wanted[place], rates, rules[kind], tables[kind], guesses,
            totals, within, slot,
        )  # fmt: skip


@unlocked
def step_all(
    states: Array,
    awake: NDArray[np.int64],
    wanted: NDArray[np.int64],
    rates: NDArray[np.float32],
    rules: Array,
    tables: Array,
    guesses: NDArray[np.int64],
    metrics: Array,
    bounds_s: Array,
    buckets: NDArray[np.int64],
    values: Array,
) -> None:
    """A step of each environment that is ``awake``; ``wanted`` are the replicas of all.

    ``rules`` and ``tables`` are those of each environment, or of all: their first axis has an entry
    for each, or one. The interval and the first known bound are the same in all entries. For the
    other arguments, see :func:`flow` and
    :func:`~infra_gym.simulators.webapp_fluid_measures.measure_block`.
    """
    totals = np.empty((buckets.size, _BLOCK))
    within = np.empty((tables.shape[2] - WITHIN + 1, _BLOCK))
    for first in range(0, awake.size, _BLOCK):
        places = awake[first : first + _BLOCK]
        _flow_block(states, places, wanted, rates, rules, tables, guesses, totals, within)
        _measure(states, places, rules[0], metrics, bounds_s, buckets, totals, within, values)
