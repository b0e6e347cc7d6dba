"""Replicas of the fluid form: who is wanted, starts, takes requests, drains, and is replaced.

They do so at the very times of the reference. Those with the lower numbers stand longest: the
highest goes first, and a number is given again when the one that had it has ended what it had.
"""

from __future__ import annotations

import numpy as np

from infra_gym.simulators.compilation import compiled, inlined
from infra_gym.simulators.webapp_fluid_queue import Array, Tables, find

(
    INTERVAL,
    WORK,  # replica-seconds that a request takes: its service time over the slots
    MAX_IN_FLIGHT,
    BOOT,
    DRAIN,
    APPLY,  # from a step's begin until its change is made
    GUESSES_PER_LOAD,  # places in the list of guesses for one request/s
    LOW,  # the first bound within which some answer comes; the table begins with it
    CALM_RATE,  # requests/s for a replica, up to which its latencies hardly depend on the load
    CALM_NUMBER,  # requests in a replica under this load
    CALM_MOVE,  # how long a calm replica takes to boot or to drain, at most
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
    MOVED,  # replicas with this number or a higher one are not there, and their numbers are free
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


@compiled
def scale(states: Array, place: int, wanted: int, now_s: float, rules: Array, kind: int) -> None:
    """Start replicas, or remove them, the highest number first."""
    have = int(states[place, WANTED])
    for number in range(wanted, have):
        if states[place, _field(number, STARTED)] <= now_s:
            _remove(states, place, number, now_s, rules, kind)
        # Else the one before it is there yet, and it never existed.
    for number in range(have, wanted):
        _start(states, place, number, max(now_s, states[place, _field(number, FREE)]), rules, kind)
    states[place, WANTED] = wanted
    states[place, SETTLED] = min(states[place, SETTLED], float(min(have, wanted)))
    states[place, MOVED] = max(states[place, MOVED], float(wanted))


@inlined
def _start(
    states: Array, place: int, number: int, started_s: float, rules: Array, kind: int
) -> None:
    states[place, _field(number, STARTED)] = started_s
    states[place, _field(number, READY_AT)] = started_s + rules[kind, BOOT]


@inlined
def _remove(states: Array, place: int, number: int, now_s: float, rules: Array, kind: int) -> None:
    """It gets no more requests, and ends what it has."""
    free_s = gone_s = now_s + rules[kind, DRAIN]
    if states[place, _field(number, READY_AT)] <= now_s:
        inside = states[place, INSIDE]
        free_s = max(free_s, now_s + inside * rules[kind, WORK])
        states[place, LEAVING] += inside
        states[place, DRAINS] += 1 / rules[kind, WORK]
        states[place, READY] -= 1
    states[place, _field(number, GONE)] = gone_s
    states[place, _field(number, FREE)] = free_s
    states[place, _field(number, STARTED_BEFORE)] = states[place, _field(number, STARTED)]


@compiled
def look(states: Array, place: int, now_s: float, tables: Tables, kind: int) -> None:
    """Who is there, and when the next takes requests. New ones share the work that waits."""
    first, wanted = int(states[place, SETTLED]), int(states[place, WANTED])
    ready, existing, next_s, settled, moved = first, first, np.inf, first, first
    for number in range(first, int(states[place, MOVED])):
        drains = states[place, _field(number, GONE)] > now_s
        existing += drains
        if drains or states[place, _field(number, FREE)] > now_s:
            moved = number + 1
        if number < wanted:
            moved = number + 1
            ready_s = states[place, _field(number, READY_AT)]
            existing += states[place, _field(number, STARTED)] <= now_s
            if ready_s <= now_s:
                ready += 1
                settled += settled == number and not drains
            else:
                next_s = min(next_s, ready_s)
    if ready > states[place, READY]:
        states[place, INSIDE] *= states[place, READY] / ready
        row, way = find(tables, kind, int(states[place, POSITION]), states[place, INSIDE], 0.0, 0.0)
        states[place, POSITION] = row + way
    states[place, READY], states[place, EXISTING] = ready, existing
    states[place, NEXT_READY] = next_s
    states[place, SETTLED], states[place, MOVED] = settled, moved


@inlined
def drain(states: Array, place: int, span_s: float, rules: Array, kind: int) -> float:
    """Replicas that drain end some of what they have; returns replica-seconds of their work."""
    done = min(states[place, LEAVING], states[place, DRAINS] * span_s)
    states[place, LEAVING] -= done
    if states[place, LEAVING] == 0.0:
        states[place, DRAINS] = 0.0
    return float(done * rules[kind, WORK])


@inlined
def scale_calmly(
    states: Array,
    place: int,
    wanted: int,
    change_s: float,
    end_s: float,
    rules: Array,
    tables: Tables,
    kind: int,
) -> None:
    """The same in a step that is taken as a whole: who is there at its end has all of its work."""
    have = int(states[place, WANTED])
    rests = states[place, SETTLED] == states[place, MOVED]
    if rests and wanted > 0 and change_s + rules[kind, CALM_MOVE] < end_s:  # all is over by the end
        if wanted != have:
            for number in range(have, wanted):
                _start(states, place, number, change_s, rules, kind)
            states[place, INSIDE] *= have / wanted
            states[place, WANTED] = states[place, READY] = states[place, EXISTING] = wanted
            states[place, SETTLED] = states[place, MOVED] = wanted
        if wanted > have:
            row, way = find(
                tables, kind, int(states[place, POSITION]), states[place, INSIDE], 0.0, 0.0
            )
            states[place, POSITION] = row + way
        return
    if wanted != have:
        scale(states, place, wanted, change_s, rules, kind)
    if states[place, SETTLED] < states[place, MOVED]:
        look(states, place, end_s, tables, kind)
    if states[place, LEAVING] > 0 and states[place, READY] > 0:
        states[place, INSIDE] += states[place, LEAVING] / states[place, READY]
        states[place, LEAVING] = states[place, DRAINS] = 0.0
