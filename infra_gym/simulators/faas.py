"""FaaSScaling-v0's simulator: a function behind a gateway, call by call, compiled.

It follows the very arrival schedule that a live load sends, and keeps the rules of the gateway and
the function program:

1. A call leaves at its scheduled time. With ``max_in_flight`` calls unanswered it is not sent.
2. The gateway passes it to a ready replica, at random. While none is ready it is *held*, first
   come first served, and goes on the moment that one is: a cold start.
3. A replica serves ``slots`` calls at a time, ``queue_limit`` more wait first come first served,
   and one more is answered *429* at once. A service takes ``service_time_s``.
4. The answer comes ``overhead_s`` after the service. ``timeout_s`` after its arrival a call without
   answer gets *504*; a replica that has it does not notice, and does the work.
5. A replica that is added is ready ``boot_s`` later. One that is removed (the highest number first)
   gets no new calls, finishes what it has, and is seen for ``drain_s`` more; its successor under
   the same number starts when it is gone.
6. A service costs ``cpu_s`` of processor time at its start, a boot ``boot_cpu_s``, and a replica's
   being there ``idle_cores``; memory is ``memory_base_mib`` and ``memory_mib`` for each service.

All services take equally long, so with c slots the n-th call that a replica accepts starts at
``max(arrival_n, start_(n-c) + service_time_s)`` (Kiefer and Wolfowitz, "On the theory of queues
with many servers", 1955): an accepted call's whole future is known at once, and only ends are
queued.

A batch of n functions is a :class:`State` of arrays with n rows, of which :func:`advance` moves
one: the single function is a batch of one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infra_gym.simulators.compilation import compiled
from infra_gym.simulators.faas_rules import BUCKETS_S, CODES, Rules, RulesArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ANSWERED, REFUSED, LATE = range(len(CODES))

# A service of 0.5 s that starts at 17.3 ends at 17.799999999999997, and lasts 0.4999999999999964.
_ROUNDING_S = 1e-9

# Places in the last axis of State.totals, State.counts, State.replicas and State.calls.
NOW, SERVED_CPU_S, INFLIGHT_S, COLD_START_S, SECONDS = range(5)
NEXT, ENDS, HELD, HELD_FIRST, STARTED, COLD_STARTS, DROPPED = range(7)
BORN, READY, GONE, DONE, REPORTED = range(5)
END, LASTED, CODE, SINCE, DRAW = range(5)
BOOTED, LENGTH_S, EXISTING, TAKING, SEEN_S, BUSY, IN_SERVICE = range(7)
"""Columns of what an interval is told by: replicas that were started; its length; replicas that
exist at its end, and that take calls then; replica-seconds of being there; busy slot-seconds over
slots, and services under way in a replica, NaN where there is none."""
TOLD = 7


class State(NamedTuple):
    """A batch of n functions with at most m replicas each. Few arrays, which compile faster."""

    totals: Floats
    """Shape (n, 7): the time; and since the last reading, processor seconds of services that began,
    call-seconds in the gateway, seconds that calls of cold starts were held, and for each code the
    sum of the ended calls' durations."""
    counts: Ints
    """Shape (n, 7): the next arrival; ends that are queued; calls held, and the first one's place;
    and since the last reading, calls that came, cold starts, calls that were not sent."""
    replicas: Floats
    """Shape (n, m, 5): when it was started (infinite: it is not there); from when it takes calls;
    when it stops answering scrapes (infinite unless it was removed); slot-seconds of services that
    have ended since the last reading; those of services under way that were read before."""
    starts: Floats
    """Shape (n, m, places): when the services of the calls that a replica has begin, a ring."""
    ring: Ints
    """Shape (n, m, 3): the ring's first place; how many it holds; how many of these have begun."""
    calls: Floats
    """Shape (n, max_in_flight, 5): a heap of the calls under way by their end, with duration and
    code; and, for itself, a ring of the calls held, with arrival and draw."""
    durations: Ints
    """Shape (n, codes, buckets): ended calls since the last reading."""


def new_state(rules: Rules, *, functions: int, max_replicas: int) -> State:
    """Room for a batch, of which each must :func:`begin`."""
    n, m = functions, max_replicas
    return State(
        totals=np.zeros((n, SECONDS + len(CODES))),
        counts=np.zeros((n, 7), dtype=np.int64),
        replicas=np.zeros((n, m, 5)),
        starts=np.zeros((n, m, rules.places)),
        ring=np.zeros((n, m, 3), dtype=np.int64),
        calls=np.zeros((n, rules.max_in_flight, 5)),
        durations=np.zeros((n, len(CODES), len(BUCKETS_S)), dtype=np.int64),
    )


def begin(state: State, place: int, replicas: int) -> None:
    """A function at time 0, with so many ready replicas and nothing under way."""
    for array in state:
        array[place] = 0
    state.replicas[place, replicas:, BORN] = state.replicas[place, replicas:, READY] = np.inf
    state.replicas[place, :, GONE] = np.inf


@compiled
def scale(state: State, place: int, wanted: int, rules: RulesArray) -> int:
    """Set the number of replicas now.

    Returns:
        How many are started.
    """
    now, started = state.totals[place, NOW], 0
    for number in range(state.replicas.shape[1]):
        born, gone = state.replicas[place, number, BORN], state.replicas[place, number, GONE]
        wished = number < wanted
        there = born < np.inf and gone == np.inf
        if there and not wished:
            if born > now:  # its predecessor is still there, so it never existed
                state.replicas[place, number, BORN] = 0.0
                state.replicas[place, number, GONE] = born
            else:
                state.replicas[place, number, GONE] = now + rules.drain_s
        elif wished and not there:
            free = now
            if born < np.inf:
                free = max(now, gone, _last_end(state, place, number, rules))
            state.replicas[place, number, BORN] = free
            state.replicas[place, number, READY] = free + rules.boot_s
            state.replicas[place, number, GONE] = np.inf
            started += 1
    return started


@compiled
def advance(
    state: State, place: int, until: float, rules: RulesArray, arrivals: Floats, draws: Floats
) -> None:
    """Let time pass for one function of the batch.

    Args:
        state: Changed in place.
        place: Which function.
        until: The time, in seconds, not before the function's own.
        rules: :attr:`~infra_gym.simulators.faas_rules.Rules.array`.
        arrivals: When calls come, ascending; shape (k,).
        draws: A number from 0 to below 1 for each of them: which replica it meets.
    """
    while True:
        following = state.counts[place, NEXT]
        arrival = arrivals[following] if following < len(arrivals) else np.inf
        warm = expiry = np.inf
        if state.counts[place, HELD] > 0:
            warm = max(_first_ready(state, place), state.totals[place, NOW])
            first = state.counts[place, HELD_FIRST]
            expiry = state.calls[place, first, SINCE] + rules.timeout_s
        moment = min(arrival, warm, expiry)
        if moment >= until:
            break
        _end_until(state, place, moment)
        if warm == moment:
            while state.counts[place, HELD] > 0:
                since, draw = _take_held(state, place, rules)
                state.counts[place, COLD_STARTS] += 1
                state.totals[place, COLD_START_S] += moment - since
                _pass_on(state, place, since, draw, rules)
        elif expiry == moment:
            _take_held(state, place, rules)
            _queue_end(state, place, moment, LATE, rules.timeout_s)
        else:
            state.counts[place, NEXT] += 1
            _arrive(state, place, draws[following], rules)
    _end_until(state, place, until)
    for number in range(state.replicas.shape[1]):
        _settle(state, place, number, until, rules)


@compiled
def _first_ready(state: State, place: int) -> float:
    """When a replica that is not leaving is ready."""
    first = np.inf
    for number in range(state.replicas.shape[1]):
        if state.replicas[place, number, GONE] == np.inf:
            first = min(first, state.replicas[place, number, READY])
    return first


@compiled
def _arrive(state: State, place: int, draw: float, rules: RulesArray) -> None:
    if state.counts[place, ENDS] + state.counts[place, HELD] >= rules.max_in_flight:
        state.counts[place, DROPPED] += 1
        return
    now = state.totals[place, NOW]
    state.counts[place, STARTED] += 1
    if not _pass_on(state, place, now, draw, rules):
        last = state.counts[place, HELD_FIRST] + state.counts[place, HELD]
        slot = last % rules.max_in_flight
        state.calls[place, slot, SINCE] = now
        state.calls[place, slot, DRAW] = draw
        state.counts[place, HELD] += 1


@compiled
def _take_held(state: State, place: int, rules: RulesArray) -> tuple[float, float]:
    """Hold the first no longer that is held; its arrival and draw."""
    first = state.counts[place, HELD_FIRST]
    state.counts[place, HELD] -= 1
    state.counts[place, HELD_FIRST] = (first + 1) % rules.max_in_flight
    return state.calls[place, first, SINCE], state.calls[place, first, DRAW]


@compiled
def _pass_on(state: State, place: int, since: float, draw: float, rules: RulesArray) -> bool:
    """Give a call that came at ``since`` to a ready replica; False where there is none."""
    now, ready = state.totals[place, NOW], 0
    for replica in state.replicas[place]:
        ready += replica[READY] <= now and replica[GONE] == np.inf
    chosen = int(draw * ready)
    for number in range(state.replicas.shape[1]):
        replica = state.replicas[place, number]
        if replica[READY] <= now and replica[GONE] == np.inf:
            if chosen == 0:
                _serve(state, place, number, since, rules)
                break
            chosen -= 1
    return ready > 0


@compiled
def _serve(state: State, place: int, number: int, since: float, rules: RulesArray) -> None:
    now = state.totals[place, NOW]
    _settle(state, place, number, now, rules)
    ring = state.ring[place, number]
    code, done = REFUSED, now
    if ring[1] < rules.places:
        start = now
        if ring[1] >= rules.slots:
            before = (ring[0] + ring[1] - rules.slots) % rules.places
            start = max(now, state.starts[place, number, before] + rules.service_time_s)
        state.starts[place, number, (ring[0] + ring[1]) % rules.places] = start
        ring[1] += 1
        code, done = ANSWERED, start + rules.service_time_s
    lasts = done + rules.overhead_s - since
    if lasts > rules.timeout_s + _ROUNDING_S:
        code, lasts = LATE, rules.timeout_s
    _queue_end(state, place, since + lasts, code, lasts)


@compiled
def _settle(state: State, place: int, number: int, now: float, rules: RulesArray) -> None:
    """Let a replica's services begin and end that have by ``now``."""
    ring = state.ring[place, number]
    while ring[2] < ring[1]:
        start = state.starts[place, number, (ring[0] + ring[2]) % rules.places]
        if start > now:
            break
        state.totals[place, SERVED_CPU_S] += rules.cpu_s
        ring[2] += 1
    while ring[1] > 0:
        start = state.starts[place, number, ring[0]]
        if start + rules.service_time_s > now:
            break
        state.replicas[place, number, DONE] += rules.service_time_s
        ring[0] = (ring[0] + 1) % rules.places
        ring[1] -= 1
        ring[2] -= 1


@compiled
def _last_end(state: State, place: int, number: int, rules: RulesArray) -> float:
    ring = state.ring[place, number]
    if ring[1] == 0:
        return 0.0
    last = (ring[0] + ring[1] - 1) % rules.places
    return float(state.starts[place, number, last] + rules.service_time_s)


@compiled
def busy(state: State, place: int, number: int, rules: RulesArray) -> float:
    """Slot-seconds that a replica has worked in this reading; call it once a reading."""
    now, ring = state.totals[place, NOW], state.ring[place, number]
    running = 0.0
    for step in range(ring[2]):
        running += now - state.starts[place, number, (ring[0] + step) % rules.places]
    worked = state.replicas[place, number, DONE] + running - state.replicas[place, number, REPORTED]
    state.replicas[place, number, REPORTED] = running
    return float(worked)


@compiled
def _end_until(state: State, place: int, until: float) -> None:
    """Let the calls end that have ended by then, and move the clock."""
    calls, counts, totals = state.calls[place], state.counts[place], state.totals[place]
    while True:
        ends = counts[ENDS] > 0 and calls[0, END] <= until
        moment = calls[0, END] if ends else until
        totals[INFLIGHT_S] += (counts[ENDS] + counts[HELD]) * (moment - totals[NOW])
        totals[NOW] = moment
        if not ends:
            break
        lasted, code, bucket = calls[0, LASTED], int(calls[0, CODE]), 0
        _drop_end(state, place)
        while lasted - _ROUNDING_S > BUCKETS_S[bucket]:
            bucket += 1
        state.durations[place, code, bucket] += 1
        totals[SECONDS + code] += lasted


@compiled
def _queue_end(state: State, place: int, end: float, code: int, lasted: float) -> None:
    """Put an end into the heap."""
    calls, slot = state.calls[place], state.counts[place, ENDS]
    state.counts[place, ENDS] += 1
    while slot > 0 and calls[(slot - 1) // 2, END] > end:
        above = (slot - 1) // 2
        for part in (END, LASTED, CODE):
            calls[slot, part] = calls[above, part]
        slot = above
    calls[slot, END], calls[slot, LASTED], calls[slot, CODE] = end, lasted, code


@compiled
def _drop_end(state: State, place: int) -> None:
    """Take the first end out of the heap."""
    state.counts[place, ENDS] -= 1
    calls, size, slot = state.calls[place], state.counts[place, ENDS], 0
    end = calls[size, END]
    while 2 * slot + 1 < size:
        below = 2 * slot + 1
        if below + 1 < size and calls[below + 1, END] < calls[below, END]:
            below += 1
        if calls[below, END] >= end:
            break
        for part in (END, LASTED, CODE):
            calls[slot, part] = calls[below, part]
        slot = below
    for part in (END, LASTED, CODE):
        calls[slot, part] = calls[size, part]


@compiled
def step_one(
    state: State,
    place: int,
    until: float,
    wanted: int,
    rules: RulesArray,
    arrivals: Floats,
    draws: Floats,
) -> int:
    """One interval of one function: begin a reading, set the replicas, let time pass.

    Returns:
        How many replicas were started.
    """
    state.totals[place, SERVED_CPU_S:] = 0.0
    state.counts[place, STARTED:] = 0
    state.replicas[place, :, DONE] = 0.0
    state.durations[place] = 0
    started = scale(state, place, wanted, rules)
    advance(state, place, until, rules, arrivals, draws)
    return started


@compiled
def _tell(
    state: State,
    place: int,
    since: float,
    booted: int,
    rules: RulesArray,
    told: Floats,
    worked: Floats,
) -> None:
    """What an interval came to, in one row of ``told`` and of ``worked``; once an interval."""
    now = state.totals[place, NOW]
    existing, taking, in_service, seen_s, busy_s = 0, 0, 0, 0.0, 0.0
    anybody = False
    for number in range(state.replicas.shape[1]):
        born, gone = state.replicas[place, number, BORN], state.replicas[place, number, GONE]
        exists = born <= now < gone
        seen_s += max(0.0, min(gone, now) - max(born, since))
        share = busy(state, place, number, rules) / rules.slots
        worked[place, number] = np.nan
        if exists or share > 0:
            worked[place, number] = share
            busy_s += share
            anybody = True
        if exists:
            existing += 1
            taking += state.replicas[place, number, READY] <= now and gone == np.inf
            in_service += state.ring[place, number, 2]
    row = told[place]
    row[BOOTED], row[LENGTH_S], row[SEEN_S] = booted, now - since, seen_s
    row[EXISTING], row[TAKING] = existing, taking
    row[BUSY] = busy_s if anybody else np.nan
    row[IN_SERVICE] = in_service / existing if existing > 0 else np.nan


@compiled
def step_all(
    state: State,
    until: Floats,
    wanted: Ints,
    idle: NDArray[np.bool_],
    rules: RulesArray,
    arrivals: Floats,
    draws: Floats,
    told: Floats,
    worked: Floats,
) -> None:
    """One interval of every function of the batch that is not ``idle``.

    Args:
        state: Changed in place.
        until: The intervals' ends, in seconds, shape (n,).
        wanted: Replicas, shape (n,).
        idle: Which stay as they are, shape (n,).
        rules: :attr:`~infra_gym.simulators.faas_rules.Rules.array`.
        arrivals: Shape (n, k), ascending in each row; a row that has fewer ends with infinities.
        draws: Shape (n, k).
        told: Shape (n, TOLD), receives what the intervals came to.
        worked: Shape (n, m), receives each replica's busy slot-seconds over slots; NaN where it
            neither exists at the end nor has worked.
    """
    for place in range(len(wanted)):
        if not idle[place]:
            since = state.totals[place, NOW]
            booted = step_one(
                state, place, until[place], wanted[place], rules, arrivals[place], draws[place]
            )
            _tell(state, place, since, booted, rules, told, worked)
