"""The web app's twin: heater replicas under the siege engine, request by request, compiled.

The twin follows the very arrival schedule that the live siege engine sends, and keeps its rules:

1. A request leaves at its scheduled time. With ``max_in_flight`` requests unanswered it is
   *dropped*; with no ready replica it is *refused*. Both end at once.
2. Else a ready replica is picked at random, by one draw. Where all its slots are busy and
   ``queue_limit`` requests wait, it answers *503* at once; else the request waits, first come first
   served, for a slot, and is served.
3. The answer comes ``overhead_s`` after the service. Latency counts from the scheduled time. Past
   ``timeout_s`` the client gives up (*timeout*); the replica does not notice and does the work.
4. Each request is counted once, at its end, with its code.

A replica that is added is ready ``boot_s`` later. One that is removed (the highest number first)
gets no new requests, finishes what it has, and is seen for ``drain_s`` more; its successor under
the same name starts when it is gone.

A slot is known by the time at which all that it was given will be done. The request that a replica
accepts next is served by the slot that is free first: from its arrival or, if later, from that time
on. This is the recursion of Kiefer and Wolfowitz ("On the theory of queues with many servers",
1955). A request's whole future is thus known when it arrives, and no queue of events is needed. If
all services take equally long, slots become free in turn.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infra_gym.simulators.compilation import compiled, inlined
from infra_gym.simulators.draws import uniform
from infra_gym.simulators.webapp_counts import BUCKETS_S, CODES
from infra_gym.simulators.webapp_table import BUSY_SECONDS, IS_READY, STARTED_AT

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ANSWERED, REJECTED, TIMEOUT, DROPPED, REFUSED = range(len(CODES))

# Places in the rules of one app. The whole numbers among them are exact in float64.
(
    SERVICE_TIME,
    EXPONENTIAL,  # 1: services are exponential, with that mean; 0: all last that long
    QUEUE_LIMIT,
    TIMEOUT_AFTER,
    MAX_IN_FLIGHT,
    BOOT,
    DRAIN,
    OVERHEAD,
    APPLY,
    SCHEDULE,  # its length, after which it repeats; infinite: it does not
    BALANCING_KEY,
    SERVICE_KEY,
) = range(12)
RULES = 12

NOW, LAP = range(2)  # the clock; when the schedule began again
CURSOR, ARRIVED, REPLICAS, NUMBERS, OPEN, FLYING = range(6)
# Next arrival in the schedule; arrivals so far; replicas that are wanted; replica numbers that were
# ever used; requests in `open_s`; requests in `flying_s`.

STARTED, READY, GONE, FREE, WORK = range(5)
# Of a replica: when it starts, takes requests, is no longer seen, leaves its name to a successor;
# slot-seconds of work that it was given in this stretch of time.
NEXT, TURN = range(2)  # the slot that is free first; where the next start goes in `starts`

# A service of 0.1 s that starts at 17.3 ends at 17.400000000000002: still in the bucket le="0.1".
ROUNDING_S = 1e-9

_STRETCH = 128
"""Requests that are taken together at most."""

BUCKETS = len(BUCKETS_S)
# Every bound is a multiple of 5 ms, so that a latency's cell of that width has one bucket.
_CELLS_PER_SECOND = 200
_LAST_CELL = BUCKETS_S[-2] * _CELLS_PER_SECOND
_BUCKET_OF_CELL = np.array(
    [
        bisect_right(BUCKETS_S, (cell + 0.5) / _CELLS_PER_SECOND)
        for cell in range(int(_LAST_CELL) + 1)
    ],
    dtype=np.uint8,  # so that it takes little of the nearest cache
)


class Apps(NamedTuple):
    """The state of n apps, changed in place; each has room for r replica numbers and c slots.

    A number has two sides, so that a replica can drain while its successor waits for its name.
    """

    rules: Floats
    """Shape (n, RULES)."""
    clock: Floats
    """Shape (n, 2)."""
    marks: Integers
    """Shape (n, 6)."""
    side: Integers
    """Shape (n, r): the side of each number that is not draining, 0 or 1."""
    times: Floats
    """Shape (n, 2 r, 5); the row of a number is ``2 number + side``."""
    places: Integers
    """Shape (n, 2 r, 2)."""
    slots: Floats
    """Shape (n, 2 r, c): when each slot is done with all that it was given."""
    starts: Floats
    """Shape (n, 2 r, queue_limit): when the last that it accepted are served, a ring. They are
    served as they came, so the queue is full as long as the first of them is not."""
    open_s: Floats
    """Shape (n, max_in_flight): ends of the requests that are sent and, as far as is known, not
    ended, for the client's cap; in no order, or a heap."""
    flying_s: Floats
    """The same shape: ends of those that end after the step."""
    flying_cells: Integers
    """The same shape: where they will be counted in ``latencies``."""
    latencies: Integers
    """Shape (n, codes x buckets): requests that ended in the last step, of each code and in the
    buckets up to each bound."""
    seen: Floats
    """Shape (n, r, 3): of each replica number, in the last step, busy slot-seconds over slots, and,
    at its end, whether it was ready (1 or 0) and when it was started. NaN: there was none."""


def make_apps(
    count: int, *, max_replicas: int, slots: int, queue_limit: int, max_in_flight: int
) -> Apps:
    """Room for ``count`` apps; each has to :func:`begin`."""
    rows = 2 * max_replicas
    return Apps(
        rules=np.zeros((count, RULES)),
        clock=np.zeros((count, 2)),
        marks=np.zeros((count, 6), dtype=np.int64),
        side=np.zeros((count, max_replicas), dtype=np.int64),
        times=np.zeros((count, rows, 5)),
        places=np.zeros((count, rows, 2), dtype=np.int64),
        slots=np.zeros((count, rows, slots)),
        starts=np.zeros((count, rows, max(1, queue_limit))),
        open_s=np.zeros((count, max(1, max_in_flight))),
        flying_s=np.zeros((count, max(1, max_in_flight))),
        flying_cells=np.zeros((count, max(1, max_in_flight)), dtype=np.int64),
        latencies=np.zeros((count, len(CODES) * BUCKETS), dtype=np.int64),
        seen=np.zeros((count, max_replicas, 3)),
    )


@compiled
def begin(apps: Apps, place: int, rules: Floats, replicas: int) -> None:
    """App number ``place`` begins anew at time 0, with that many replicas ready.

    Args:
        apps: All apps.
        place: Which of them.
        rules: Shape (RULES,).
        replicas: At most as many as there is room for.
    """
    for rule in range(RULES):
        apps.rules[place, rule] = rules[rule]
    apps.clock[place, NOW] = apps.clock[place, LAP] = 0.0
    for mark in range(apps.marks.shape[1]):
        apps.marks[place, mark] = 0
    for row in range(apps.times.shape[1]):
        apps.times[place, row, GONE] = apps.times[place, row, FREE] = -math.inf
        apps.times[place, row, WORK] = 0.0
        for slot in range(apps.slots.shape[2]):
            apps.slots[place, row, slot] = -math.inf
    for number in range(replicas):
        _start(apps, place, number, 0.0, 0.0)


@compiled
def advance(apps: Apps, place: int, arrivals: Floats, until_s: float, replicas: int) -> None:
    """One step of app number ``place``: ask for ``replicas``, and let time pass.

    Requests that arrive at ``until_s`` belong to the next step, those that end there to this one.

    Args:
        apps: All apps.
        place: Which of them.
        arrivals: Its schedule, at least one, ascending seconds from 0; infinity never comes.
        until_s: No earlier than its clock.
        replicas: At most as many as there is room for.
    """
    marks, latencies = apps.marks[place], apps.latencies[place]
    since_s = apps.clock[place, NOW]
    for cell in range(len(latencies)):
        latencies[cell] = 0
    for number in range(apps.seen.shape[1]):
        apps.seen[place, number, BUSY_SECONDS] = 0.0
    _land(apps, place, until_s)
    if replicas != marks[REPLICAS]:
        change_s = min(since_s + apps.rules[place, APPLY], until_s)
        _pass_time(apps, place, arrivals, change_s, until_s)
        _scale(apps, place, replicas)
    _pass_time(apps, place, arrivals, until_s, until_s)
    _accumulate(latencies)
    _look(apps, place, since_s)


@compiled
def _pass_time(apps: Apps, place: int, arrivals: Floats, to_s: float, until_s: float) -> None:
    """Send what arrives before ``to_s``, a time in the step that ends at ``until_s``."""
    _add_work_left(apps, place, 1.0)
    _send(apps, place, arrivals, to_s, until_s)
    apps.clock[place, NOW] = to_s
    _add_work_left(apps, place, -1.0)


@compiled
def _add_work_left(apps: Apps, place: int, sign: float) -> None:
    """Work left at the begin, and work given since, less work left at the end, is work done."""
    now_s = apps.clock[place, NOW]
    slots = apps.slots.shape[2]
    for row in range(2 * apps.marks[place, NUMBERS]):
        left_s = apps.times[place, row, WORK]
        apps.times[place, row, WORK] = 0.0
        for slot in range(slots):
            left_s += sign * max(0.0, apps.slots[place, row, slot] - now_s)
        apps.seen[place, row // 2, BUSY_SECONDS] += left_s / slots


@compiled
def _land(apps: Apps, place: int, until_s: float) -> None:
    """Count those in flight that end by ``until_s``; all of them are open as the step begins."""
    marks, latencies = apps.marks[place], apps.latencies[place]
    flying_s, flying_cells, open_s = (
        apps.flying_s[place],
        apps.flying_cells[place],
        apps.open_s[place],
    )
    kept = 0
    for request in range(marks[FLYING]):
        end_s, cell = flying_s[request], flying_cells[request]
        open_s[request] = end_s
        if end_s <= until_s:
            latencies[cell] += 1
        else:
            flying_s[kept], flying_cells[kept] = end_s, cell
            kept += 1
    marks[OPEN], marks[FLYING] = marks[FLYING], kept


@compiled
def _send(  # noqa: C901 - one loop, which calls would slow down
    apps: Apps, place: int, arrivals: Floats, to_s: float, until_s: float
) -> None:
    """Send what arrives before ``to_s``; what ends by ``until_s`` is counted at once.

    It goes by stretches in which the same replicas are ready and the client's cap is out of reach,
    and for each by short loops: one long loop would have the processor wait.
    """
    rules, marks = apps.rules[place], apps.marks[place]
    max_in_flight, key = int(rules[MAX_IN_FLIGHT]), int(rules[BALANCING_KEY])
    cursor, arrived, lap_s = marks[CURSOR], marks[ARRIVED], apps.clock[place, LAP]
    open_s, opened, heaped = apps.open_s[place], marks[OPEN], False
    ready, ready_count, ready_until_s = np.empty(len(apps.side[place]), np.int64), 0, -math.inf
    rows, codes = np.empty(_STRETCH, np.int64), np.empty(_STRETCH, np.int64)
    times_s, latencies_s = np.empty(_STRETCH), np.empty(_STRETCH)

    while True:
        if cursor == len(arrivals):
            cursor, lap_s = 0, lap_s + rules[SCHEDULE]
        now_s = arrivals[cursor] + lap_s
        if now_s >= to_s:
            break
        if now_s >= ready_until_s:
            ready_count, ready_until_s = _find_ready(apps, place, now_s, ready)
        if opened >= max_in_flight:
            opened, heaped = _forget_ended(open_s, opened, now_s, max_in_flight, heaped)

        full = opened >= max_in_flight
        most, stop_s = min(len(arrivals) - cursor, _STRETCH), min(to_s, ready_until_s)
        if full and heaped:
            stop_s = min(stop_s, open_s[0])
        elif not full:
            most = min(most, max_in_flight - opened)
        count = 1
        while count < most and arrivals[cursor + count] + lap_s < stop_s:
            count += 1
        if full or ready_count == 0:
            apps.latencies[place, BUCKETS * (DROPPED if full else REFUSED)] += count
        else:
            for ahead in range(count):
                rows[ahead] = ready[int(uniform(key, arrived + ahead) * ready_count)]
                times_s[ahead] = arrivals[cursor + ahead] + lap_s
            _serve(apps, place, rows, times_s, arrived, count, codes, latencies_s)
            _note(apps, place, times_s, codes, latencies_s, count, opened, until_s)
            if heaped:
                for request in range(opened, opened + count):
                    _raise(open_s, request)
            opened += count
        cursor, arrived = cursor + count, arrived + count

    marks[CURSOR], marks[ARRIVED], marks[OPEN] = cursor, arrived, opened
    apps.clock[place, LAP] = lap_s


@inlined
def _serve(
    apps: Apps,
    place: int,
    rows: Integers,
    times_s: Floats,
    arrived: int,
    count: int,
    codes: Integers,
    latencies_s: Floats,
) -> None:
    """The codes and latencies of requests, from the replicas and times of their arrival."""
    rules, slots, starts = apps.rules[place], apps.slots[place], apps.starts[place]
    work_s, places = apps.times[place], apps.places[place]
    mean_s, exponential = rules[SERVICE_TIME], rules[EXPONENTIAL] != 0.0
    overhead_s, timeout_s = rules[OVERHEAD], rules[TIMEOUT_AFTER]
    queues, key = rules[QUEUE_LIMIT] > 0, int(rules[SERVICE_KEY])
    service_s = mean_s
    for ahead in range(count):
        row, now_s = rows[ahead], times_s[ahead]
        slot = _first_free(slots, row) if exponential else places[row, NEXT]
        free_s, turn = slots[row, slot], places[row, TURN]
        # They are served as they came: while one of them waits, no slot is free.
        if (starts[row, turn] if queues else free_s) > now_s:
            codes[ahead], latencies_s[ahead] = REJECTED, overhead_s
            continue
        if exponential:
            service_s = -math.log1p(-uniform(key, arrived + ahead)) * mean_s
        start_s = max(free_s, now_s)
        starts[row, turn] = start_s
        places[row, TURN] = turn + 1 if turn + 1 < starts.shape[1] else 0
        slots[row, slot] = start_s + service_s
        places[row, NEXT] = slot + 1 if slot + 1 < slots.shape[1] else 0
        work_s[row, WORK] += service_s
        latency_s = start_s + service_s + overhead_s - now_s
        late = latency_s > timeout_s + ROUNDING_S
        codes[ahead] = TIMEOUT if late else ANSWERED
        latencies_s[ahead] = timeout_s if late else latency_s


@inlined
def _note(
    apps: Apps,
    place: int,
    times_s: Floats,
    codes: Integers,
    latencies_s: Floats,
    count: int,
    opened: int,
    until_s: float,
) -> None:
    """Note when requests end, and count those that end in this step."""
    latencies, open_s = apps.latencies[place], apps.open_s[place]
    flying_s, flying_cells = apps.flying_s[place], apps.flying_cells[place]
    flying = apps.marks[place, FLYING]
    for ahead in range(count):
        end_s = times_s[ahead] + latencies_s[ahead]
        cell = codes[ahead] * BUCKETS + _bucket(latencies_s[ahead])
        open_s[opened + ahead] = end_s
        if end_s <= until_s:
            latencies[cell] += 1
        else:
            flying_s[flying], flying_cells[flying] = end_s, cell
            flying += 1
    apps.marks[place, FLYING] = flying


@compiled
def _find_ready(apps: Apps, place: int, now_s: float, ready: Integers) -> tuple[int, float]:
    """Fill ``ready`` with the rows of the replicas that take requests at ``now_s``.

    Returns:
        How many there are, and until when that holds.
    """
    count, until_s = 0, math.inf
    for number in range(apps.marks[place, REPLICAS]):
        row = 2 * number + apps.side[place, number]
        ready_s = apps.times[place, row, READY]
        if ready_s <= now_s:
            ready[count] = row
            count += 1
        else:
            until_s = min(until_s, ready_s)
    return count, until_s


@compiled
def _first_free(slots: Floats, row: int) -> int:
    first = 0
    for slot in range(1, slots.shape[1]):
        if slots[row, slot] < slots[row, first]:
            first = slot
    return first


@compiled
def _bucket(latency_s: float) -> int:
    """The first bucket whose bound is no less than ``latency_s``, but for rounding."""
    cell = int(min(max(latency_s - ROUNDING_S, 0.0) * _CELLS_PER_SECOND, _LAST_CELL))
    bucket: int = _BUCKET_OF_CELL[cell]
    return bucket


@compiled
def _forget_ended(
    open_s: Floats, opened: int, now_s: float, most: int, heaped: bool
) -> tuple[int, bool]:
    """Keep those of the first ``opened`` requests that end after ``now_s``.

    Usually many have ended. While there are still ``most``, they become a heap, the first end on
    top, so that one that ends costs little.

    Returns:
        How many are kept, and whether they are a heap.
    """
    if not heaped:
        kept = 0
        for request in range(opened):
            end_s = open_s[request]
            open_s[kept] = end_s
            kept += end_s > now_s
        opened = kept
        if opened == most:
            for request in range(opened):
                _raise(open_s, request)
            return opened, True
        return opened, False
    while opened > 0 and open_s[0] <= now_s:
        opened -= 1
        _lower(open_s, opened)
    return opened, 2 * opened > most


@compiled
def _raise(heap: Floats, place: int) -> None:
    """Let the last of a heap rise from ``place`` to where it belongs."""
    end_s = heap[place]
    while place > 0 and heap[(place - 1) // 2] > end_s:
        heap[place] = heap[(place - 1) // 2]
        place = (place - 1) // 2
    heap[place] = end_s


@compiled
def _lower(heap: Floats, size: int) -> None:
    """Take the top of a heap away, and let number ``size``, the last, sink to where it belongs."""
    end_s, place = heap[size], 0
    while 2 * place + 1 < size:
        child = 2 * place + 1
        child += child + 1 < size and heap[child + 1] < heap[child]
        if heap[child] >= end_s:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = end_s


@compiled
def _scale(apps: Apps, place: int, wanted: int) -> None:
    """Add or remove the replicas with the highest numbers, now."""
    marks, now_s = apps.marks[place], apps.clock[place, NOW]
    while marks[REPLICAS] > wanted:
        marks[REPLICAS] -= 1
        number = marks[REPLICAS]
        row = 2 * number + apps.side[place, number]
        times = apps.times[place, row]
        if times[STARTED] > now_s:  # its predecessor is still there, so it never existed
            times[GONE] = times[FREE] = -math.inf
        else:
            times[GONE] = now_s + apps.rules[place, DRAIN]
            times[FREE] = times[GONE]
            for slot in range(apps.slots.shape[2]):
                times[FREE] = max(times[FREE], apps.slots[place, row, slot])
    while marks[REPLICAS] < wanted:
        number = marks[REPLICAS]
        free_s = max(apps.times[place, 2 * number, FREE], apps.times[place, 2 * number + 1, FREE])
        started_s = max(now_s, free_s)
        _start(apps, place, number, started_s, started_s + apps.rules[place, BOOT])


@compiled
def _start(apps: Apps, place: int, number: int, started_s: float, ready_s: float) -> None:
    """A replica under the next number, on the side where nothing drains."""
    marks = apps.marks[place]
    marks[REPLICAS] = number + 1
    marks[NUMBERS] = max(marks[NUMBERS], number + 1)
    side = int(apps.times[place, 2 * number, FREE] > apps.clock[place, NOW])
    apps.side[place, number] = side
    row = 2 * number + side
    times = apps.times[place, row]
    times[STARTED], times[READY] = started_s, ready_s
    times[GONE] = times[FREE] = math.inf
    times[WORK] = 0.0
    places = apps.places[place, row]
    places[NEXT] = places[TURN] = 0
    for slot in range(apps.slots.shape[2]):
        apps.slots[place, row, slot] = -math.inf
    for turn in range(apps.starts.shape[2]):
        apps.starts[place, row, turn] = -math.inf


@compiled
def _accumulate(latencies: Integers) -> None:
    for cell in range(len(latencies)):
        if cell % BUCKETS:
            latencies[cell] += latencies[cell - 1]


@compiled
def _look(apps: Apps, place: int, since_s: float) -> None:
    """Write down what is told of each replica number."""
    seen, now_s = apps.seen[place], apps.clock[place, NOW]
    for number in range(len(seen)):
        seen[number, IS_READY] = seen[number, STARTED_AT] = math.nan
        worked = False
        for row in range(2 * number, 2 * number + 2):
            times = apps.times[place, row]
            worked |= times[FREE] > since_s
            if times[STARTED] <= now_s < times[GONE]:
                is_ready = times[READY] <= now_s and times[GONE] == math.inf
                seen[number, IS_READY], seen[number, STARTED_AT] = is_ready, times[STARTED]
        if not worked:
            seen[number, BUSY_SECONDS] = math.nan
