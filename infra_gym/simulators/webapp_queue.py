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

from infra_gym.simulators.compilation import compiled
from infra_gym.simulators.draws import uniform
from infra_gym.simulators.webapp_counts import BUCKETS_S, CODES

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
CURSOR, ARRIVED, OPEN, REPLICAS, NUMBERS = range(5)
# Next arrival in the schedule; arrivals so far; requests in `open_s`; replicas that are wanted;
# replica numbers that were ever used.

STARTED, READY, GONE, FREE, WORK = range(5)
# Of a replica: when it starts, takes requests, is no longer seen, leaves its name to a successor;
# slot-seconds of work that it was given in this stretch of time.
NEXT, TURN = range(2)  # the slot that is free first; where the next start goes in `starts`

BUSY_SECONDS, IS_READY, STARTED_AT = range(3)  # what is told of a replica number

# A service of 0.1 s that starts at 17.3 ends at 17.400000000000002: still in the bucket le="0.1".
ROUNDING_S = 1e-9

BUCKETS = len(BUCKETS_S)
# Every bound is a multiple of 5 ms, so that a latency's cell of that width has one bucket.
_CELLS_PER_SECOND = 200
_LAST_CELL = BUCKETS_S[-2] * _CELLS_PER_SECOND
_BUCKET_OF_CELL = np.array(
    [
        bisect_right(BUCKETS_S, (cell + 0.5) / _CELLS_PER_SECOND)
        for cell in range(int(_LAST_CELL) + 1)
    ]
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
    """Shape (n, 5)."""
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
    ended; in no order."""
    open_cells: Integers
    """The same shape: where they are counted in ``latencies``."""
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
        marks=np.zeros((count, 5), dtype=np.int64),
        side=np.zeros((count, max_replicas), dtype=np.int64),
        times=np.zeros((count, rows, 5)),
        places=np.zeros((count, rows, 2), dtype=np.int64),
        slots=np.zeros((count, rows, slots)),
        starts=np.zeros((count, rows, max(1, queue_limit))),
        open_s=np.zeros((count, max(1, max_in_flight))),
        open_cells=np.zeros((count, max(1, max_in_flight)), dtype=np.int64),
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
    for request in range(marks[OPEN]):
        if apps.open_s[place, request] <= until_s:
            latencies[apps.open_cells[place, request]] += 1
    if replicas != marks[REPLICAS]:
        change_s = min(since_s + apps.rules[place, APPLY], until_s)
        _pass_time(apps, place, arrivals, change_s, until_s)
        _scale(apps, place, replicas)
    _pass_time(apps, place, arrivals, until_s, until_s)
    marks[OPEN] = _forget_ended(apps.open_s[place], apps.open_cells[place], marks[OPEN], until_s)
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
def _send(  # noqa: C901 - one loop without calls that take arrays, which would halve its speed
    apps: Apps, place: int, arrivals: Floats, to_s: float, until_s: float
) -> None:
    """Send what arrives before ``to_s``; what ends by ``until_s`` is counted at once."""
    rules, marks, latencies = apps.rules[place], apps.marks[place], apps.latencies[place]
    slots, starts = apps.slots[place], apps.starts[place]
    times, places = apps.times[place], apps.places[place]
    open_s, open_cells = apps.open_s[place], apps.open_cells[place]
    mean_s, exponential = rules[SERVICE_TIME], rules[EXPONENTIAL] != 0.0
    overhead_s, timeout_s, schedule_s = rules[OVERHEAD], rules[TIMEOUT_AFTER], rules[SCHEDULE]
    queue_limit, max_in_flight = int(rules[QUEUE_LIMIT]), int(rules[MAX_IN_FLIGHT])
    balancing_key, service_key = int(rules[BALANCING_KEY]), int(rules[SERVICE_KEY])
    cursor, arrived, opened = marks[CURSOR], marks[ARRIVED], marks[OPEN]
    lap_s, full_until_s = apps.clock[place, LAP], -math.inf
    ready, ready_count, ready_until_s = np.empty(len(apps.side[place]), np.int64), 0, -math.inf

    while True:
        if cursor == len(arrivals):
            cursor, lap_s = 0, lap_s + schedule_s
        now_s = arrivals[cursor] + lap_s
        if now_s >= to_s:
            break
        draw, service_s = uniform(balancing_key, arrived), mean_s
        if exponential:
            service_s *= -math.log1p(-uniform(service_key, arrived))
        cursor, arrived = cursor + 1, arrived + 1

        if now_s >= ready_until_s:
            ready_count, ready_until_s = _find_ready(apps, place, now_s, ready)
        if opened >= max_in_flight and now_s >= full_until_s:
            opened = _forget_ended(open_s, open_cells, opened, now_s)
            still_full = opened >= max_in_flight
            full_until_s = _first_end(open_s, opened) if still_full else -math.inf
        if opened >= max_in_flight or ready_count == 0:
            latencies[BUCKETS * (DROPPED if opened >= max_in_flight else REFUSED)] += 1
            continue

        row = ready[int(draw * ready_count)]
        slot = _first_free(slots, row) if exponential else places[row, NEXT]
        start_s = max(slots[row, slot], now_s)
        turn = places[row, TURN]
        if start_s > now_s and (queue_limit == 0 or starts[row, turn] > now_s):
            code, latency_s = REJECTED, overhead_s
        else:
            starts[row, turn] = start_s
            places[row, TURN] = turn + 1 if turn + 1 < starts.shape[1] else 0
            slots[row, slot] = start_s + service_s
            places[row, NEXT] = slot + 1 if slot + 1 < slots.shape[1] else 0
            times[row, WORK] += service_s
            code, latency_s = ANSWERED, start_s + service_s + overhead_s - now_s
            if latency_s > timeout_s + ROUNDING_S:
                code, latency_s = TIMEOUT, timeout_s
        cell, end_s = code * BUCKETS + _bucket(latency_s), now_s + latency_s
        open_s[opened], open_cells[opened] = end_s, cell
        opened += 1
        if end_s <= until_s:
            latencies[cell] += 1

    marks[CURSOR], marks[ARRIVED], marks[OPEN] = cursor, arrived, opened
    apps.clock[place, LAP] = lap_s


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
def _forget_ended(open_s: Floats, open_cells: Integers, opened: int, now_s: float) -> int:
    """Keep the first ``opened`` requests that end after ``now_s``; returns how many they are."""
    kept = 0
    for request in range(opened):
        end_s, cell = open_s[request], open_cells[request]
        open_s[kept], open_cells[kept] = end_s, cell
        kept += end_s > now_s
    return kept


@compiled
def _first_end(open_s: Floats, opened: int) -> float:
    first_s: float = math.inf
    for request in range(opened):
        first_s = min(first_s, open_s[request])
    return first_s


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
