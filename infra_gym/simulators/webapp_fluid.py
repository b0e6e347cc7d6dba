"""The web app's fluid form: what the reference does request by request, in a few flows a step.

All ready replicas are alike: random balancing gives each a Poisson stream of its own. A step is
calm where these forget within a small part of it where they began, and where replicas come and go
within such a part, if at all: then it is one steady state, of its mean load and with the replicas
of its end. Else it is cut into a few spans, and at every time at which a replica becomes ready. The
state is the mean number of requests in a replica, and from span to span it moves by the pointwise
stationary fluid flow approximation (W.-P. Wang, D. Tipper and S. Banerjee, "A simple approximation
for modeling nonstationary queues", INFOCOM 1996): what a replica serves, refuses and how long its
requests take are at every time those of a queue in steady state with this mean number
(:mod:`~infra_gym.simulators.webapp_fluid_queue`). A steady load is thus met as theory has it, an
overload fills the queue at the rate of what is too much, and a change of replicas takes the work
that waits along.

The implicit Euler rule takes a span at a time: with x requests before, arrivals a, answers s(y) and
refusals b(y), the number after is the y for which y + dt (s(y) + a b(y)) = x + dt a. Its left side
grows with y, and all is a straight line between two rows of the table. The latencies of a span are
those of the state after it where the queue forgets fast, else those half way to it from the state
before.

Replicas are seen to start, become ready, drain and be replaced at the very times at which they do
in the reference, but for those that drain for longer than they have to. Those that drain answer
what they have. Where the client has as many requests in flight as it may, no more come in than keep
it so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infra_gym.simulators.compilation import compiled, inlined, uncounted
from infra_gym.simulators.webapp_fluid_measures import Room, make_room, measure_block
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
    WORK,  # replica-seconds of a request
    MAX_IN_FLIGHT,
    BOOT,
    DRAIN,
    APPLY,  # from a step's begin until its change is made
    GUESSES_PER_LOAD,  # places in the list of guesses for one request/s
    LOW,  # the first bound within which some answer comes; the table begins with it
    CALM_RATE,  # requests/s for a replica, up to which it forgets fast
    CALM_NUMBER,  # requests in a replica under this load
    CALM_ROWS,  # of the table, for one request/s, where its loads are evenly spaced
    QUICK,  # whether replicas come and go within a small part of a step; 1 or 0
) = range(12)
RULES = 12
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
    MOVED,  # nothing is left of replicas with this number or a higher one
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
def begin(state: Array, replicas: int) -> None:
    """All replicas stand ready and idle at time 0."""
    for field in range(state.size):
        state[field] = 0.0
    state[WANTED] = state[READY] = state[EXISTING] = replicas
    state[SETTLED] = state[MOVED] = replicas
    state[NEXT_READY] = np.inf


@inlined
def _field(number: int, field: int) -> int:
    return FIELDS + number * REPLICA_FIELDS + field


@inlined
def _change_s(state: Array, rules: Array) -> float:
    """When in the step replicas are started or removed."""
    interval_s = rules[INTERVAL]
    return float(min(state[TICK] * interval_s + rules[APPLY], (state[TICK] + 1) * interval_s))


@inlined
def _scale(state: Array, wanted: int, now_s: float, rules: Array) -> None:
    """Start replicas, or remove them, the highest number first."""
    have = int(state[WANTED])
    for number in range(wanted, have):
        if state[_field(number, STARTED)] <= now_s:
            _remove(state, number, now_s, rules)
        # Else the one before it is there yet, and it never existed.
    for number in range(have, wanted):
        started_s = max(now_s, state[_field(number, FREE)])
        state[_field(number, STARTED)] = started_s
        state[_field(number, READY_AT)] = started_s + rules[BOOT]
    state[WANTED] = wanted
    state[SETTLED] = min(state[SETTLED], float(min(have, wanted)))
    state[MOVED] = max(state[MOVED], float(wanted))


@inlined
def _scale_at_once(state: Array, wanted: int, rules: Array) -> None:
    """As :func:`_scale`, where nothing begun is left and all that now begins ends in the step."""
    for number in range(int(state[WANTED]), wanted):
        started_s = _change_s(state, rules)
        state[_field(number, STARTED)] = started_s
        state[_field(number, READY_AT)] = started_s + rules[BOOT]
    state[WANTED] = state[READY] = state[EXISTING] = wanted
    state[SETTLED] = state[MOVED] = wanted


@inlined
def _remove(state: Array, number: int, now_s: float, rules: Array) -> None:
    """It gets no more requests, and ends what it has."""
    free_s = gone_s = now_s + rules[DRAIN]
    if state[_field(number, READY_AT)] <= now_s:
        inside = state[INSIDE]
        free_s = max(free_s, now_s + inside * rules[WORK])
        state[LEAVING] += inside
        state[DRAINS] += 1 / rules[WORK]
        state[READY] -= 1
    state[_field(number, GONE)] = gone_s
    state[_field(number, FREE)] = free_s
    state[_field(number, STARTED_BEFORE)] = state[_field(number, STARTED)]


@inlined
def _look(state: Array, now_s: float) -> None:
    """Who is there, and when the next takes requests."""
    first, wanted = int(state[SETTLED]), int(state[WANTED])
    ready, existing, next_s, settled, moved = first, first, np.inf, first, wanted
    for number in range(first, int(state[MOVED])):
        drains = state[_field(number, GONE)] > now_s
        existing += drains
        if state[_field(number, FREE)] > now_s:
            moved = max(moved, number + 1)
        if number < wanted:
            ready_s = state[_field(number, READY_AT)]
            existing += state[_field(number, STARTED)] <= now_s
            if ready_s <= now_s:
                ready += 1
                settled += settled == number and not drains
            else:
                next_s = min(next_s, ready_s)
    state[READY], state[EXISTING] = ready, existing
    state[NEXT_READY], state[SETTLED], state[MOVED] = next_s, settled, moved


@inlined
def _look_and_share(state: Array, now_s: float, table: Array) -> None:
    """As :func:`_look`; new replicas share the work that waits."""
    before = state[READY]
    _look(state, now_s)
    if state[READY] > before:
        state[INSIDE] *= before / state[READY]
        row, way = _find(table, int(state[POSITION]), state[INSIDE], 0.0, 0.0)
        state[POSITION] = row + way


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
def _fewer(table: Array, row: int, flying_each: float) -> tuple[int, float]:
    """Where, from ``row`` down, so many requests fly for each replica: a row, and the way on."""
    while row > 0 and table[row, FLYING_EACH] > flying_each:
        row -= 1
    here, there = table[row, FLYING_EACH], table[row + 1, FLYING_EACH]
    return row, (min(1.0, max(0.0, (flying_each - here) / (there - here))) if there > here else 0.0)


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
def _drain(state: Array, span_s: float, rules: Array) -> float:
    """Replicas that drain end some of what they have; returns replica-seconds of their work."""
    done = min(state[LEAVING], state[DRAINS] * span_s)
    state[LEAVING] -= done
    if state[LEAVING] == 0.0:
        state[DRAINS] = 0.0
    return float(done * rules[WORK])


@inlined
def _span(
    state: Array,
    span_s: float,
    rate: float,
    before: float,
    rules: Array,
    table: Array,
    guesses: NDArray[np.int64],
    totals: Array,
    within: Array,
    slot: int,
) -> tuple[float, float, float]:
    """What flows in a span through replicas that take requests.

    Args:
        state: Changed.
        span_s: Its length.
        rate: Requests/s.
        before: Requests in flight that are accounted for here: they end with those of the span.
        rules: See :func:`flow`, for this and the others.
        table: See there.
        guesses: See there.
        totals: See there.
        within: See there.
        slot: See there.

    Returns:
        Accepted requests; those of them and of ``before`` that time out; replica-seconds of work.
    """
    came, ready, inside = rate * span_s, state[READY], state[INSIDE]
    load = rate / ready
    guess = guesses[int(min(load * rules[GUESSES_PER_LOAD], guesses.size - 1.0))]
    row, way = _find(table, guess, inside + span_s * load, span_s, load)
    room = (rules[MAX_IN_FLIGHT] - state[LEAVING]) / ready
    capped = _between(table, row, way, FLYING_EACH) > room
    if capped:
        row, way = _fewer(table, row, room)
        if _between(table, row, way, NUMBER) + span_s * _between(table, row, way, SERVED) < inside:
            row, way = _find(table, row, inside, span_s, 0.0)  # nothing comes in, and it empties
    after, served = _between(table, row, way, NUMBER), _between(table, row, way, SERVED)
    accepted = (after - inside + span_s * served) * ready
    if accepted > came * (1 - 1e-9):
        accepted = came
    if capped:
        accepted = max(accepted, 0.0)
        blocked = _between(table, row, way, BLOCKED)
        full = min(accepted * blocked / (1 - blocked), came - accepted)
        totals[DROPPED, slot] += came - accepted - full
    else:
        full = came - accepted
    totals[FULL, slot] += full
    flying = _between(table, row, way, FLYING_EACH) * ready + state[LEAVING]
    flying = min(flying, max(rules[MAX_IN_FLIGHT], state[FLYING]))
    busy_s = ready * served * span_s * rules[WORK]
    middle = row + way
    if load > rules[CALM_RATE] or inside > rules[CALM_NUMBER]:  # else it has forgotten
        middle = 0.5 * (state[POSITION] + middle)
    state[INSIDE], state[POSITION], state[FLYING] = after, row + way, flying
    return accepted, _spread(accepted + before, middle, table, within, slot), busy_s


@inlined
def _calm_step(
    state: Array,
    wanted: int,
    rate: float,
    rules: Array,
    table: Array,
    totals: Array,
    within: Array,
    slot: int,
) -> None:
    """The whole step in steady state, with the replicas that are wanted.

    Args:
        state: Changed.
        wanted: Replicas.
        rate: Mean of the step, requests/s.
        rules: See :func:`flow`, for this and the others.
        table: See there.
        totals: See there.
        within: See there.
        slot: See there.
    """
    interval_s, inside = rules[INTERVAL], state[READY] * state[INSIDE]
    _scale_at_once(state, wanted, rules)
    came, ready = rate * interval_s, state[READY]
    position = rate / ready * rules[CALM_ROWS]
    row = int(position)
    way = position - row
    reached = came
    if _between(table, row, way, FLYING_EACH) * ready > rules[MAX_IN_FLIGHT]:
        row, way = _fewer(table, row, rules[MAX_IN_FLIGHT] / ready)
        reached = min(came, (row + way) / rules[CALM_ROWS] * ready * interval_s)
    accepted = reached * (1 - _between(table, row, way, BLOCKED))
    after = _between(table, row, way, NUMBER)
    totals[FULL, slot], totals[DROPPED, slot] = reached - accepted, came - reached
    totals[REFUSED, slot] = 0.0
    accounted = accepted + state[FLYING]
    flying = min(_between(table, row, way, FLYING_EACH) * ready, accounted)
    state[BUSY] = (inside + accepted - ready * after) * rules[WORK]
    state[INSIDE], state[POSITION], state[FLYING] = after, row + way, flying
    ended = accounted - state[FLYING]
    here, there = ended * (1 - way), ended * way
    for bound in range(table.shape[1] - WITHIN):
        column = WITHIN + bound
        within[bound, slot] = here * table[row, column] + there * table[row + 1, column]
    timeouts = here * table[row, TIMEOUTS] + there * table[row + 1, TIMEOUTS]
    _answer(ended, timeouts, totals, within, slot)


@inlined
def _step_in_spans(  # noqa: C901 - one loop
    state: Array,
    wanted: int,
    rates: NDArray[np.float32],
    rules: Array,
    table: Array,
    guesses: NDArray[np.int64],
    totals: Array,
    within: Array,
    slot: int,
) -> None:
    """A span for each part of the load, and one from whenever the replicas change."""
    begin_s, end_s = state[TICK] * rules[INTERVAL], (state[TICK] + 1) * rules[INTERVAL]
    change_s, changes = _change_s(state, rules), wanted != int(state[WANTED])
    for code in range(totals.shape[0]):
        totals[code, slot] = 0.0
    for bound in range(within.shape[0]):
        within[bound, slot] = 0.0
    before = accounted = state[FLYING]
    timeouts, busy_s, now_s, span = 0.0, 0.0, begin_s, 0
    while span < SPANS:
        rate = float(rates[span])
        span += 1
        if span % 2 == 1 and abs(rates[span] - rate) <= _ALIKE * rate:
            rate = (rate + rates[span]) / 2
            span += 1
        until_s = begin_s + span * rules[INTERVAL] / SPANS if span < SPANS else end_s
        while now_s < until_s:
            if changes and change_s <= now_s:
                changes = False
                _scale(state, wanted, now_s, rules)
                _look_and_share(state, now_s, table)
            stop_s = min(until_s, state[NEXT_READY])
            if changes:
                stop_s = min(stop_s, change_s)
            span_s, now_s = stop_s - now_s, stop_s
            if state[LEAVING] > 0:
                busy_s += _drain(state, span_s, rules)
            if state[READY] == 0:
                totals[REFUSED, slot] += rate * span_s
                timeouts += _spread(before, state[POSITION], table, within, slot)
                state[FLYING] = state[LEAVING]
            else:
                accepted, late, worked_s = _span(
                    state, span_s, rate, before, rules, table, guesses, totals, within, slot
                )
                accounted, timeouts, busy_s = (
                    accounted + accepted,
                    timeouts + late,
                    busy_s + worked_s,
                )
            before = 0.0
            if state[NEXT_READY] <= now_s:
                _look_and_share(state, now_s, table)
    if changes:
        _scale(state, wanted, end_s, rules)
    if state[SETTLED] < state[MOVED]:
        _look_and_share(state, end_s, table)
    state[BUSY], state[FLYING] = busy_s, min(state[FLYING], accounted)
    ended = 1 - state[FLYING] / accounted if accounted > 0 else 0.0
    for bound in range(within.shape[0] - 1):
        within[bound, slot] *= ended
    _answer(accounted * ended, timeouts * ended, totals, within, slot)


@inlined
def _answer(ended: float, timeouts: float, totals: Array, within: Array, slot: int) -> None:
    """Of those that ended and were accepted, the client heard in time, but for ``timeouts``."""
    totals[TIMEOUT, slot], totals[OK, slot] = timeouts, ended - timeouts
    within[within.shape[0] - 1, slot] = ended - timeouts


@uncounted
def flow(
    states: Array,
    places: NDArray[np.int64],
    wanted: NDArray[np.int64],
    rates: NDArray[np.float32],
    all_rules: Array,
    tables: Array,
    guesses: NDArray[np.int64],
    totals: Array,
    within: Array,
) -> None:
    """One step of some environments.

    Args:
        states: Shape (environments, FIELDS + replicas * REPLICA_FIELDS); some are changed in place.
        places: Which environments.
        wanted: Replicas of all.
        rates: Of each environment, or of all: shape (environments or 1, steps * SPANS), requests/s;
            after the last step, they begin again.
        all_rules: Likewise; shape (environments or 1, RULES).
        tables: Likewise, see :func:`~infra_gym.simulators.webapp_fluid_queue.queue_table`.
        guesses: See :func:`~infra_gym.simulators.webapp_fluid_queue.guesses`.
        totals: For the requests that ended, by code; shape (codes, block).
        within: For the answers within each bound of the table, and for all answers; shape
            (bounds + 1, block).
    """
    for slot in range(places.size):
        place = places[slot]
        kind = place if tables.shape[0] > 1 else 0
        state, rules, table = states[place], all_rules[kind], tables[kind]
        first = int(state[TICK]) * SPANS
        if first >= rates.shape[1]:
            first %= rates.shape[1]
        load = rates[place if rates.shape[0] > 1 else 0, first : first + SPANS]
        mean, highest = 0.0, 0.0
        for span in range(SPANS):
            mean += load[span] / SPANS
            highest = max(highest, load[span])
        ready = min(state[WANTED], float(wanted[place]))  # for the whole step, at least
        if (
            state[SETTLED] == state[MOVED]
            and state[LEAVING] == 0
            and (rules[QUICK] != 0 or wanted[place] == state[WANTED])
            and state[INSIDE] <= rules[CALM_NUMBER]
            # The more the load differs within the step, the more room must be left.
            and 2 * highest - mean <= rules[CALM_RATE] * ready
            and ready > 0
        ):
            _calm_step(state, wanted[place], mean, rules, table, totals, within, slot)
        else:
            _step_in_spans(state, wanted[place], load, rules, table, guesses, totals, within, slot)
        state[TICK] += 1


@uncounted
def _measure(
    states: Array,
    places: NDArray[np.int64],
    columns: NDArray[np.int64],
    rules: Array,
    metrics: Array,
    bounds_s: Array,
    buckets: NDArray[np.int64],
    room: Room,
    values: Array,
) -> int:
    """What is told of some environments; ``room`` has what of their requests became.

    Returns:
        How many of the values are NaN.
    """
    gauges, seconds = room.gauges, room.seconds
    for slot in range(places.size):
        state = states[places[slot]]
        gauges[0, slot], gauges[1, slot] = state[BUSY], state[FLYING]
        gauges[2, slot], gauges[3, slot] = state[EXISTING], state[READY]
        tick = state[TICK]
        seconds[slot] = tick * rules[INTERVAL] - max(0.0, tick - 1) * rules[INTERVAL]
    return measure_block(metrics, bounds_s, buckets, int(rules[LOW]), room, values, columns)


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
    columns: NDArray[np.int64],
) -> int:
    """Begin an episode of each of ``places``, with so many replicas; see :func:`step_all`.

    The values go to ``columns``.
    """
    for place in places:
        begin(states[place], replicas)
    room = make_room(places.size, buckets.size, tables.shape[2] - WITHIN, bounds_s.size)
    return _measure(states, places, columns, rules[0], metrics, bounds_s, buckets, room, values)


@compiled
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
) -> int:
    """A step of each environment that is ``awake``; ``wanted`` are the replicas of all.

    ``rules`` and ``tables`` are those of each environment, or of all: their first axis has an entry
    for each, or one. The interval and the first known bound are the same in all entries. For the
    other arguments, see :func:`flow` and
    :func:`~infra_gym.simulators.webapp_fluid_measures.measure_block`.

    Returns:
        How many of the values are NaN.
    """
    nothing = 0
    room = make_room(_BLOCK, buckets.size, tables.shape[2] - WITHIN, bounds_s.size)
    for first in range(0, awake.size, _BLOCK):
        some = awake[first : first + _BLOCK]
        flow(states, some, wanted, rates, rules, tables, guesses, room.totals, room.within)
        nothing += _measure(states, some, some, rules[0], metrics, bounds_s, buckets, room, values)
    return nothing
