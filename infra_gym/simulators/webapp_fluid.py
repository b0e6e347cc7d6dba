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

A block of environments goes through its spans together, in phases: how long a span is, and who is
there (:func:`_open`, :func:`_go_on`), how many requests a replica has after it
(:func:`_find_numbers`), what came, was answered and refused (:func:`_flow`), and how long that took
(:func:`_spread`). A phase is a short loop over the *lanes*, the environments whose step goes on,
and none depends on another: the processor works on several at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infra_gym.simulators.compilation import compiled, inlined
from infra_gym.simulators.webapp_fluid_measures import measure_block
from infra_gym.simulators.webapp_fluid_queue import (
    FLYING_EACH,
    NUMBER,
    SERVED,
    TIMEOUTS,
    WITHIN,
    Array,
    Tables,
    between,
    find,
)
from infra_gym.simulators.webapp_fluid_replicas import (
    APPLY,
    BUSY,
    CALM_NUMBER,
    CALM_RATE,
    EXISTING,
    FLYING,
    GUESSES_PER_LOAD,
    INSIDE,
    INTERVAL,
    LEAVING,
    LOW,
    MAX_IN_FLIGHT,
    MOVED,
    NEXT_READY,
    POSITION,
    READY,
    SETTLED,
    TICK,
    WANTED,
    WORK,
    begin,
    drain,
    look,
    scale,
    scale_calmly,
)
from infra_gym.simulators.webapp_table import (
    DROPPED,
    FULL,
    OK,
    REFUSED,
    TIMEOUT,
)

Indices = NDArray[np.int64]

SPANS = 4
"""Parts of a step for which the load's mean is known."""
_BLOCK = 128
"""Environments that go through a step together: their numbers fit the nearest caches."""
_ALIKE = 0.1
"""Two spans whose loads differ by no more than this share of their mean are taken as one."""

(
    NOW,  # up to here the step is done
    UNTIL,  # up to here the load is RATE
    RATE,  # requests/s
    SPAN,  # parts of the step that this is the end of
    CHANGE,  # when the replicas that are wanted change; infinite: no more
    CALM,  # the step is one span: 1, else 0
    BEFORE,  # requests in flight at the step's begin, until they are counted
    ACCOUNTED,  # these, and all that were accepted since
    WORKED,  # replica-seconds of work
    ENDED,  # share of the accounted ones that ended in the step
) = range(10)
_STEP_FIELDS = 10
"""Of an environment's step."""
(
    SPAN_S,
    LOAD,  # requests/s for each ready replica
    WAY,  # from the row of the table to the next, at the span's end
    REQUESTS,  # whose latencies are told
    MIDDLE,  # position in the table that tells them
    HERE,  # those that its row tells
    THERE,  # and those that the next one tells
) = range(7)
_LANE_FIELDS = 7
"""Of a span."""


class _Block(NamedTuple):
    """Some environments in their step. Each has a slot; while its step goes on, also a lane."""

    steps: Array
    """Shape (_STEP_FIELDS, slots)."""
    totals: Array
    """Requests that ended, by code; shape (codes, slots)."""
    within: Array
    """Answers within each bound of the table, and all answers; shape (bounds + 1, slots)."""
    lanes: Array
    """Shape (_LANE_FIELDS, lanes)."""
    slots: Indices
    """Of each lane."""
    rows: Indices
    """Of the table at the span's end, for each lane."""
    kinds: Indices
    """Of each slot: which rules and table are its own."""


@inlined
def _open_step(
    steps: Array, slot: int, place: int, states: Array, wanted: int, rates: NDArray[np.float32],
    rules: Array, tables: Tables, kind: int,
) -> None:  # fmt: skip
    """What a step begins with: whether it is calm, and whether its replicas change."""
    tick = int(states[place, TICK])
    begin_s, end_s = tick * rules[kind, INTERVAL], (tick + 1) * rules[kind, INTERVAL]
    change_s = begin_s + min(rules[kind, APPLY], rules[kind, INTERVAL])
    curve, first = place if rates.shape[0] > 1 else 0, tick * SPANS % rates.shape[1]
    mean, highest = 0.0, 0.0
    for each in range(first, first + SPANS):
        mean += rates[curve, each] / SPANS
        highest = max(highest, rates[curve, each])
    taking = min(states[place, READY], float(wanted))
    calm = (
        states[place, INSIDE] <= rules[kind, CALM_NUMBER]
        and highest <= rules[kind, CALM_RATE] * taking
        and states[place, LEAVING] == 0
        and taking > 0
    )
    steps[NOW, slot], steps[WORKED, slot], steps[CALM, slot] = begin_s, 0.0, calm
    steps[BEFORE, slot] = steps[ACCOUNTED, slot] = states[place, FLYING]
    if calm:
        scale_calmly(states, place, wanted, change_s, end_s, rules, tables, kind)
        steps[UNTIL, slot], steps[RATE, slot], steps[SPAN, slot] = end_s, mean, SPANS
        steps[CHANGE, slot] = np.inf
    else:
        steps[UNTIL, slot], steps[SPAN, slot] = begin_s, 0
        steps[CHANGE, slot] = change_s if wanted != int(states[place, WANTED]) else np.inf


@inlined
def _next_load(
    steps: Array,
    slot: int,
    place: int,
    states: Array,
    rates: NDArray[np.float32],
    rules: Array,
    kind: int,
) -> None:
    """The load from now on, and until when."""
    tick, span = int(states[place, TICK]), int(steps[SPAN, slot])
    curve, first = place if rates.shape[0] > 1 else 0, tick * SPANS % rates.shape[1]
    rate = float(rates[curve, first + span])
    span += 1
    if span % 2 == 1 and abs(rates[curve, first + span] - rate) <= _ALIKE * rate:
        rate = (rate + rates[curve, first + span]) / 2
        span += 1
    steps[RATE, slot], steps[SPAN, slot] = rate, span
    begin_s, end_s = tick * rules[kind, INTERVAL], (tick + 1) * rules[kind, INTERVAL]
    steps[UNTIL, slot] = begin_s + span * rules[kind, INTERVAL] / SPANS if span < SPANS else end_s


@inlined
def _next_span(
    steps: Array, lanes: Array, slot: int, lane: int, place: int, states: Array, wanted: int,
    rates: NDArray[np.float32], rules: Array, tables: Tables, kind: int,
) -> bool:  # fmt: skip
    """Give the environment a lane for its next span; false: its step is over."""
    now_s = steps[NOW, slot]
    if states[place, NEXT_READY] <= now_s:
        look(states, place, now_s, tables, kind)
    if now_s >= steps[UNTIL, slot]:
        if steps[SPAN, slot] == SPANS:
            return False
        _next_load(steps, slot, place, states, rates, rules, kind)
    if steps[CHANGE, slot] <= now_s:
        steps[CHANGE, slot] = np.inf
        scale(states, place, wanted, now_s, rules, kind)
        look(states, place, now_s, tables, kind)
    stop_s = min(steps[UNTIL, slot], states[place, NEXT_READY], steps[CHANGE, slot])
    span_s, ready = stop_s - now_s, states[place, READY]
    if states[place, LEAVING] > 0:
        steps[WORKED, slot] += drain(states, place, span_s, rules, kind)
    steps[NOW, slot] = stop_s
    lanes[SPAN_S, lane] = span_s
    lanes[LOAD, lane] = steps[RATE, slot] / ready if ready > 0 else 0.0
    return True


@compiled
def _open(
    block: _Block, places: Indices, states: Array, wanted: Indices, rates: NDArray[np.float32],
    rules: Array, tables: Tables,
) -> int:  # fmt: skip
    """Begin the steps of some environments, with their first spans; returns how many lanes."""
    steps, lanes, slots, kinds = block.steps, block.lanes, block.slots, block.kinds
    block.totals[:] = 0.0
    block.within[:] = 0.0
    for slot in range(places.size):
        place = places[slot]
        kind = place if tables.shape[0] > 1 else 0
        kinds[slot], slots[slot] = kind, slot
        _open_step(steps, slot, place, states, wanted[place], rates, rules, tables, kind)
        _next_span(
            steps, lanes, slot, slot, place, states, wanted[place], rates, rules, tables, kind
        )
    return places.size


@compiled
def _go_on(
    block: _Block, going: int, places: Indices, states: Array, wanted: Indices,
    rates: NDArray[np.float32], rules: Array, tables: Tables,
) -> int:  # fmt: skip
    """The next spans of those whose steps are not over; returns how many lanes there are."""
    steps, lanes, slots, kinds = block.steps, block.lanes, block.slots, block.kinds
    kept = 0
    for lane in range(going):
        slot = slots[lane]
        if steps[CALM, slot] == 0:
            place, kind = places[slot], kinds[slot]
            slots[kept] = slot
            kept += _next_span(
                steps, lanes, slot, kept, place, states, wanted[place], rates, rules, tables, kind
            )
    return kept


@compiled
def _find_numbers(
    block: _Block, going: int, places: Indices, states: Array, rules: Array, tables: Tables,
    guesses: Indices,
) -> None:  # fmt: skip
    """Where in the table each replica is at the span's end."""
    lanes, slots, kinds, rows = block.lanes, block.slots, block.kinds, block.rows
    most = guesses.size - 1.0
    for lane in range(going):
        slot = slots[lane]
        kind, inside = kinds[slot], states[places[slot], INSIDE]
        load, span_s = lanes[LOAD, lane], lanes[SPAN_S, lane]
        guess = guesses[int(min(load * rules[kind, GUESSES_PER_LOAD], most))]
        row, way = find(tables, kind, guess, inside + span_s * load, span_s, load)
        rows[lane], lanes[WAY, lane] = row, way


@compiled
def _flow(
    block: _Block, going: int, places: Indices, states: Array, rules: Array, tables: Tables
) -> None:
    """What came in the span, what was answered, refused and dropped, and what is left."""
    steps, lanes, totals, slots, kinds, rows = (
        block.steps, block.lanes, block.totals, block.slots, block.kinds, block.rows
    )  # fmt: skip
    for lane in range(going):
        slot = slots[lane]
        place, kind = places[slot], kinds[slot]
        span_s, before = lanes[SPAN_S, lane], steps[BEFORE, slot]
        came = steps[RATE, slot] * span_s
        ready, leaving = states[place, READY], states[place, LEAVING]
        steps[BEFORE, slot] = 0.0
        if ready == 0:
            totals[REFUSED, slot] += came
            lanes[REQUESTS, lane], lanes[MIDDLE, lane] = before, states[place, POSITION]
            states[place, FLYING] = leaving
            continue
        row, way = rows[lane], lanes[WAY, lane]
        after = between(tables, kind, row, way, NUMBER)
        served = between(tables, kind, row, way, SERVED)
        accepted = (after - states[place, INSIDE] + span_s * served) * ready
        if accepted > came * (1 - 1e-9):
            accepted = came
        totals[FULL, slot] += came - accepted
        flying = between(tables, kind, row, way, FLYING_EACH) * ready + leaving
        steps[WORKED, slot] += ready * served * span_s * rules[kind, WORK]
        if flying > rules[kind, MAX_IN_FLIGHT]:
            dropped = min(flying - rules[kind, MAX_IN_FLIGHT], accepted)
            totals[DROPPED, slot] += dropped
            accepted, flying, after = accepted - dropped, flying - dropped, after - dropped / ready
        steps[ACCOUNTED, slot] += accepted
        lanes[REQUESTS, lane] = accepted + before
        lanes[MIDDLE, lane] = 0.5 * (states[place, POSITION] + row + way)
        states[place, INSIDE], states[place, POSITION] = after, row + way
        states[place, FLYING] = flying


@compiled
def _spread(block: _Block, going: int, tables: Tables) -> None:
    """Tell the span's requests by their latencies: within each bound, and those that time out."""
    lanes, slots, rows = block.lanes, block.slots, block.rows
    last, columns = tables.shape[1] - 2, tables.shape[2]
    for lane in range(going):
        middle, requests = lanes[MIDDLE, lane], lanes[REQUESTS, lane]
        row = min(int(middle), last)
        way = middle - row
        rows[lane] = (block.kinds[slots[lane]] * tables.shape[1] + row) * columns
        lanes[HERE, lane], lanes[THERE, lane] = requests * (1 - way), requests * way
    entries = tables.reshape(tables.size)
    for column in range(TIMEOUTS, columns):
        told = block.totals[TIMEOUT] if column == TIMEOUTS else block.within[column - WITHIN]
        for lane in range(going):
            entry = rows[lane] + column
            told[slots[lane]] += (
                lanes[HERE, lane] * entries[entry] + lanes[THERE, lane] * entries[entry + columns]
            )


@compiled
def _close(
    block: _Block, places: Indices, states: Array, wanted: Indices, rules: Array, tables: Tables
) -> None:
    """What is left at the steps' ends: of the requests that are accounted for, some did not end."""
    steps, totals, within, kinds = block.steps, block.totals, block.within, block.kinds
    for slot in range(places.size):
        place, kind = places[slot], kinds[slot]
        if steps[CHANGE, slot] < np.inf:
            scale(states, place, wanted[place], steps[NOW, slot], rules, kind)
        if states[place, SETTLED] < states[place, MOVED] and steps[CALM, slot] == 0:
            look(states, place, steps[NOW, slot], tables, kind)
        states[place, TICK] += 1
        states[place, BUSY] = steps[WORKED, slot]
        accounted = steps[ACCOUNTED, slot]
        states[place, FLYING] = min(states[place, FLYING], accounted)
        steps[ENDED, slot] = 1 - states[place, FLYING] / accounted if accounted > 0 else 0.0
    for slot in range(places.size):
        totals[TIMEOUT, slot] *= steps[ENDED, slot]
        totals[OK, slot] = steps[ACCOUNTED, slot] * steps[ENDED, slot] - totals[TIMEOUT, slot]
    last = within.shape[0] - 1
    for bound in range(last):
        for slot in range(places.size):
            within[bound, slot] *= steps[ENDED, slot]
    within[last] = totals[OK]


@compiled
def _measure(
    states: Array,
    places: Indices,
    rules: Array,
    metrics: Array,
    bounds_s: Array,
    buckets: Indices,
    totals: Array,
    within: Array,
    values: Array,
) -> None:
    """What is told of some environments; ``totals`` and ``within`` have a column for each."""
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
    places: Indices,
    replicas: int,
    rules: Array,
    tables: Tables,
    metrics: Array,
    bounds_s: Array,
    buckets: Indices,
    values: Array,
) -> None:
    """Begin an episode of each of ``places``, with so many replicas; see :func:`step_all`."""
    for place in places:
        begin(states, place, replicas)
    totals = np.zeros((buckets.size, places.size))
    within = np.zeros((tables.shape[2] - WITHIN + 1, places.size))
    _measure(states, places, rules[0], metrics, bounds_s, buckets, totals, within, values)


@compiled
def step_all(
    states: Array,
    wanted: Indices,
    idle: NDArray[np.bool_],
    rates: NDArray[np.float32],
    rules: Array,
    tables: Tables,
    guesses: Indices,
    metrics: Array,
    bounds_s: Array,
    buckets: Indices,
    values: Array,
) -> None:
    """A step of each environment that is not ``idle``.

    Args:
        states: Shape (environments, FIELDS + replicas * REPLICA_FIELDS); changed in place.
        wanted: Replicas of each environment.
        idle: Which stay as they are.
        rates: Of each environment, or of all: shape (environments or 1, steps * SPANS), requests/s;
            after the last step, they begin again.
        rules: Of each environment, or of all: shape (environments or 1, RULES). The interval and
            the first known bound are the same in all.
        tables: Likewise, see :func:`~infra_gym.simulators.webapp_fluid_queue.fill_table`.
        guesses: See :func:`~infra_gym.simulators.webapp_fluid_queue.guesses`.
        metrics: For this and the others, see
            :func:`~infra_gym.simulators.webapp_fluid_measures.measure_block`.
        bounds_s: See there.
        buckets: See there.
        values: See there.
    """
    awake = np.flatnonzero(~idle)
    block = _Block(
        steps=np.empty((_STEP_FIELDS, _BLOCK)),
        totals=np.empty((buckets.size, _BLOCK)),
        within=np.empty((tables.shape[2] - WITHIN + 1, _BLOCK)),
        lanes=np.empty((_LANE_FIELDS, _BLOCK)),
        slots=np.empty(_BLOCK, dtype=np.int64),
        rows=np.empty(_BLOCK, dtype=np.int64),
        kinds=np.empty(_BLOCK, dtype=np.int64),
    )
    for first in range(0, awake.size, _BLOCK):
        places = awake[first : first + _BLOCK]
        going = _open(block, places, states, wanted, rates, rules, tables)
        while going > 0:
            _find_numbers(block, going, places, states, rules, tables, guesses)
            _flow(block, going, places, states, rules, tables)
            _spread(block, going, tables)
            going = _go_on(block, going, places, states, wanted, rates, rules, tables)
        _close(block, places, states, wanted, rules, tables)
        _measure(
            states, places, rules[0], metrics, bounds_s, buckets, block.totals, block.within, values
        )
