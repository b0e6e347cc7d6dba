"""The batch machine, compiled: one set of transitions under the scheduler and the environments.

A machine is a handful of arrays, so that many of them can lie in the rows of larger ones. Jobs are
named by their place in the trace. A waiting job stands in ``queue``. A running one stands in
``ends`` by the time at which it will end and in ``releases`` by the time until which it may run (its
start and its requested time), each with the soonest last, where it is cheap to take away.

All of it is exact; what is left out is only what cannot start a job. Because the nodes that running
jobs release only ever add up, EASY's question "does this job fit from now through its end beside all
reservations" needs no profile: it does if it fits now, and either ends before the first waiting job's
slot or leaves enough at that slot.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infra_gym.expressions import Operation
from infra_gym.simulators.compilation import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FREE, TOTAL, FIRST, NEXT, LAST, WAITING, RUNNING, WAITING_NODES, SHOWN = range(9)
"""Places in :attr:`Machine.counts`: nodes, places of jobs, numbers of jobs."""
COUNTS = 9
"""How many there are."""
SUBMITTED, ENDED = 0, 1
"""Kinds of events."""
ARRIVAL, FIXED, CHANGING = 0, 1, 2
"""How a score orders the queue: by arrival, by a value that a job keeps, by one that changes."""
NO_BACKFILL, EASY, CONSERVATIVE = 0, 1, 2
HEAD, QUEUE = 0, 1
"""Who decides what: see :mod:`infra_gym.environments.batch`."""
BOUNDED_SLOWDOWN, SLOWDOWN, TURNAROUND, UTILISATION, WAIT = range(5)
"""Rewards."""

SKIP_S = 360.0
LONGEST_WAIT_S = 43200.0
SHORTEST_RUN_S = 10.0
ALMOST_ONE = 1.0 - 1e-5
ALMOST_ZERO = 1e-5


class Jobs(NamedTuple):
    """Times in seconds; shape (jobs,), ``features`` (jobs, 6): what an agent sees and never changes."""

    submit: Floats
    run: Floats
    requested: Floats
    processors: Ints
    nodes: Ints
    features: NDArray[np.float32]


class Machine(NamedTuple):
    """A machine's state; see the module. ``start`` is NaN where a job has not started."""

    counts: Ints
    clock: Floats
    queue: Ints
    scores: Floats
    ends: Floats
    ending: Ints
    releases: Floats
    releasing: Ints
    start: Floats


class Score(NamedTuple):
    """An expression's program, how it orders the queue, and the stack to run it on."""

    operations: Ints
    arguments: Floats
    order: int
    stack: Floats


class Log(NamedTuple):
    """One row an event: its time; its kind, job, busy nodes, waiting jobs and their nodes."""

    times: Floats
    states: Ints


class Profile(NamedTuple):
    """Free nodes from each of ``times`` until the next."""

    times: Floats
    free: Ints


class Rules(NamedTuple):
    """How an episode goes: HEAD or QUEUE, its backfill, its reward, all processors of the machine."""

    decision: int
    backfill: int
    reward: int
    processors: int


class Episode(NamedTuple):
    """A machine with an agent: the jobs it may choose, what it sees of them, and which rows do.

    ``shortest`` and ``smallest`` are all jobs by requested time and by nodes, sorted only where more
    can wait than are visible. Shapes: these (jobs,), ``visible`` and ``mask`` (rows,),
    ``observation`` (rows, 8).
    """

    machine: Machine
    rules: Rules
    profile: Profile
    shortest: Ints
    smallest: Ints
    visible: Ints
    observation: NDArray[np.float32]
    mask: NDArray[np.int8]


# ---------------------------------------------------------------- the machine


@compiled
def empty_machine(machine: Machine, total: int, first: int, last: int) -> None:
    """A machine on which the jobs from ``first`` until before ``last`` will arrive."""
    machine.counts[:] = 0
    machine.counts[FREE] = machine.counts[TOTAL] = total
    machine.counts[FIRST] = machine.counts[NEXT] = first
    machine.counts[LAST] = last
    machine.start[:] = np.nan


@compiled
def _insert(keys: Floats, values: Ints, count: int, key: float, value: int) -> None:
    """Put a key among descending ones, before its equals."""
    place = count
    while place > 0 and keys[place - 1] <= key:
        keys[place] = keys[place - 1]
        values[place] = values[place - 1]
        place -= 1
    keys[place] = key
    values[place] = value


@compiled
def start_job(jobs: Jobs, machine: Machine, job: int) -> None:
    """Start a job that fits, now; the caller takes it out of the queue."""
    counts, now = machine.counts, machine.clock[0]
    running = counts[RUNNING]
    _insert(machine.ends, machine.ending, running, now + jobs.run[job], job)
    _insert(machine.releases, machine.releasing, running, now + jobs.requested[job], job)
    counts[RUNNING] = running + 1
    counts[FREE] -= jobs.nodes[job]
    counts[WAITING_NODES] -= jobs.nodes[job]
    machine.start[job - counts[FIRST]] = now


@compiled
def end_job(jobs: Jobs, machine: Machine) -> int:
    """End the job that ends soonest, and give its place."""
    counts = machine.counts
    last = counts[RUNNING] - 1
    counts[RUNNING] = last
    job = machine.ending[last]
    counts[FREE] += jobs.nodes[job]
    place = last
    while machine.releasing[place] != job:
        place -= 1
    for index in range(place, last):
        machine.releases[index] = machine.releases[index + 1]
        machine.releasing[index] = machine.releasing[index + 1]
    return job


@compiled
def submit_job(jobs: Jobs, machine: Machine) -> int:
    """Let the next job arrive, behind those that were submitted before it, and give its place."""
    counts, queue = machine.counts, machine.queue
    job = counts[NEXT]
    counts[NEXT] = job + 1
    place = counts[WAITING]
    while place > 0 and jobs.submit[queue[place - 1]] > jobs.submit[job]:
        queue[place] = queue[place - 1]
        place -= 1
    queue[place] = job
    counts[WAITING] += 1
    counts[WAITING_NODES] += jobs.nodes[job]
    return job


@compiled
def next_end(machine: Machine) -> float:
    """When the next job ends, infinite if none runs."""
    running = machine.counts[RUNNING]
    return machine.ends[running - 1] if running > 0 else np.inf


@compiled
def next_submit(jobs: Jobs, machine: Machine) -> float:
    """When the next job arrives, infinite if none is to come."""
    job = machine.counts[NEXT]
    return jobs.submit[job] if job < machine.counts[LAST] else np.inf


@compiled
def close_gaps(machine: Machine) -> None:
    """Take out of the queue what was marked -1."""
    kept = 0
    for slot in range(machine.counts[WAITING]):
        if machine.queue[slot] >= 0:
            machine.queue[kept] = machine.queue[slot]
            machine.scores[kept] = machine.scores[slot]
            kept += 1
    machine.counts[WAITING] = kept


@compiled
def remove(machine: Machine, slot: int) -> None:
    """Take one slot out of the queue."""
    counts, queue = machine.counts, machine.queue
    counts[WAITING] -= 1
    for index in range(slot, counts[WAITING]):
        queue[index] = queue[index + 1]


# ---------------------------------------------------------------- scores


@compiled
def _name(
    which: int, jobs: Jobs, queue: Ints, count: int, now: float, result: Floats
) -> None:
    """One of s, t, n, w, z, l for the queue, in this order."""
    if which == 0:
        for slot in range(count):
            result[slot] = jobs.submit[queue[slot]]
    elif which == 1:
        for slot in range(count):
            result[slot] = jobs.requested[queue[slot]]
    elif which == 2:
        for slot in range(count):
            result[slot] = jobs.nodes[queue[slot]]
    elif which == 3:
        for slot in range(count):
            result[slot] = math.trunc(now - jobs.submit[queue[slot]])
    elif which == 4:
        longest = 0.0
        for slot in range(count):
            longest = max(longest, now - jobs.submit[queue[slot]])
        result[:count] = 1.0 if longest == 0 else longest
    else:
        least = np.inf
        for slot in range(count):
            least = min(least, jobs.requested[queue[slot]])
        result[:count] = least


@compiled
def _unary(operation: int, a: float) -> float:
    value = np.nan
    if math.isnan(a):
        return value
    if operation == Operation.NOT:
        value = 1.0 if a == 0 else 0.0
    elif operation == Operation.NEGATE:
        value = -a
    elif operation == Operation.ABSOLUTE:
        value = abs(a)
    elif operation == Operation.SQUARE_ROOT:
        value = math.sqrt(a) if a >= 0 else np.nan
    elif operation == Operation.EXPONENTIAL:
        value = math.exp(a)
    elif operation == Operation.LOGARITHM:
        value = math.log(a) if a > 0 else np.nan
    elif operation == Operation.FLOOR:
        value = np.floor(a)
    elif operation == Operation.CEILING:
        value = np.ceil(a)
    return value


@compiled
def _comparison(operation: int, a: float, b: float) -> float:
    if operation == Operation.LESS:
        holds = a < b
    elif operation == Operation.LESS_EQUAL:
        holds = a <= b
    elif operation == Operation.EQUAL:
        holds = a == b
    else:
        holds = a != b
    return 1.0 if holds else 0.0


@compiled
def _truth(value: float) -> float:
    return value if math.isnan(value) else (1.0 if value != 0 else 0.0)


@compiled
def _logic(operation: int, a: float, b: float) -> float:
    """``and`` and ``or`` from left to right: the first that decides, or cannot be known, counts."""
    first = _truth(a)
    undecided = 1.0 if operation == Operation.AND else 0.0
    return _truth(b) if first == undecided else first


@compiled
def _binary(operation: int, a: float, b: float) -> float:
    if operation == Operation.AND or operation == Operation.OR:  # noqa: PLR1714 - compiled
        return _logic(operation, a, b)
    if math.isnan(a) or math.isnan(b):
        return np.nan
    if operation >= Operation.LESS and operation <= Operation.NOT_EQUAL:  # noqa: SIM300
        return _comparison(operation, a, b)
    value = np.nan
    if operation == Operation.ADD:
        value = a + b
    elif operation == Operation.SUBTRACT:
        value = a - b
    elif operation == Operation.MULTIPLY:
        value = a * b
    elif operation == Operation.DIVIDE:
        value = a / b if b != 0 else np.nan
    elif operation == Operation.MODULO:
        value = a % b if b != 0 else np.nan
    elif operation == Operation.POWER:
        value = math.pow(a, b)
    elif operation == Operation.LEAST:
        value = min(a, b)
    elif operation == Operation.MOST:
        value = max(a, b)
    return value


@compiled
def evaluate(score: Score, jobs: Jobs, queue: Ints, count: int, now: float) -> Floats:
    """The scores of the first ``count`` jobs of ``queue``: finite, or NaN as in an Expression."""
    stack, top = score.stack, 0
    for place in range(len(score.operations)):
        operation = score.operations[place]
        if operation == Operation.NUMBER:
            stack[top, :count] = score.arguments[place]
            top += 1
        elif operation == Operation.NAME:
            _name(int(score.arguments[place]), jobs, queue, count, now, stack[top])
            top += 1
        elif operation == Operation.CHOOSE:
            top -= 2
            for slot in range(count):
                test = stack[top - 1, slot]
                if not math.isnan(test):
                    stack[top - 1, slot] = stack[top if test != 0 else top + 1, slot]
        elif operation == Operation.NOT or operation == Operation.NEGATE:  # noqa: PLR1714
            for slot in range(count):
                stack[top - 1, slot] = _unary(operation, stack[top - 1, slot])
        elif operation >= Operation.ABSOLUTE:
            for slot in range(count):
                value = _unary(operation, stack[top - 1, slot])
                stack[top - 1, slot] = value if abs(value) < np.inf else np.nan
        else:
            top -= 1
            for slot in range(count):
                value = _binary(operation, stack[top - 1, slot], stack[top, slot])
                stack[top - 1, slot] = value if abs(value) < np.inf else np.nan
    return stack[0, :count]


@compiled
def _place_last(jobs: Jobs, machine: Machine, score: Score) -> int:
    """Put the job that came last where its lasting score belongs; -1, or the job without a score."""
    queue, scores = machine.queue, machine.scores
    slot = machine.counts[WAITING] - 1
    job = queue[slot]
    value = evaluate(score, jobs, queue[slot:], 1, machine.clock[0])[0]
    if math.isnan(value):
        return job
    while slot > 0 and scores[slot - 1] < value:
        scores[slot] = scores[slot - 1]
        queue[slot] = queue[slot - 1]
        slot -= 1
    scores[slot] = value
    queue[slot] = job
    return -1


@compiled
def _sort_all(jobs: Jobs, machine: Machine, score: Score) -> int:
    """Score and sort the queue, stably, the highest first; -1, or a job without a score."""
    queue, count = machine.queue, machine.counts[WAITING]
    scores = evaluate(score, jobs, queue, count, machine.clock[0])
    for slot in range(count):
        value, job = scores[slot], queue[slot]
        if math.isnan(value):
            return job
        place = slot
        while place > 0 and scores[place - 1] < value:
            scores[place] = scores[place - 1]
            queue[place] = queue[place - 1]
            place -= 1
        scores[place] = value
        queue[place] = job
    return -1


# ---------------------------------------------------------------- reservations


@compiled
def fill_profile(jobs: Jobs, machine: Machine, profile: Profile) -> int:
    """Write what is free now and what running jobs release by request; the number of entries."""
    times, free = profile.times, profile.free
    times[0], free[0] = machine.clock[0], machine.counts[FREE]
    last = 0
    for index in range(machine.counts[RUNNING] - 1, -1, -1):
        # What is due now is not free yet: the first release has an entry of its own.
        if last == 0 or times[last] != machine.releases[index]:
            last += 1
            times[last], free[last] = machine.releases[index], free[last - 1]
        free[last] += jobs.nodes[machine.releasing[index]]
    return last + 1


@compiled
def reserve(
    profile: Profile, entries: int, earliest: int, nodes: int, seconds: float, total: int
) -> tuple[int, int]:
    """Reserve the first slot from the entry ``earliest`` on; the slot's entry, and the new number."""
    times, free = profile.times, profile.free
    slot = place = earliest
    while place < entries and times[place] < times[slot] + seconds:
        if free[place] < nodes:
            slot = place + 1
        place += 1
    end, place = times[slot] + seconds, slot
    while place < entries and times[place] < end:
        free[place] -= nodes
        place += 1
    if place == entries:
        times[place], free[place] = end, total
        return slot, entries + 1
    if times[place] > end:
        for index in range(entries, place, -1):
            times[index], free[index] = times[index - 1], free[index - 1]
        times[place], free[place] = end, free[place - 1] + nodes
        return slot, entries + 1
    return slot, entries


@compiled
def fits_now(profile: Profile, entries: int, nodes: int, end: float) -> bool:
    """Whether a job fits from the first entry until ``end``."""
    if profile.free[0] < nodes:
        return False
    place = 1
    while place < entries and profile.times[place] < end:
        if profile.free[place] < nodes:
            return False
        place += 1
    return True


@compiled
def backfill_easy(jobs: Jobs, machine: Machine) -> None:
    """Start what does not delay the queue's first job."""
    counts, queue, now = machine.counts, machine.queue, machine.clock[0]
    needed, spare, slot_time = jobs.nodes[queue[0]], counts[FREE], now
    index = counts[RUNNING]
    while spare < needed:
        index -= 1
        spare += jobs.nodes[machine.releasing[index]]
        slot_time = machine.releases[index]
    if index < counts[RUNNING]:
        while index > 0 and machine.releases[index - 1] == slot_time:
            index -= 1
            spare += jobs.nodes[machine.releasing[index]]
    spare -= needed
    started = False
    for slot in range(1, counts[WAITING]):
        job = queue[slot]
        nodes = jobs.nodes[job]
        if nodes <= counts[FREE]:
            before = now + jobs.requested[job] <= slot_time
            if before or nodes <= spare:
                start_job(jobs, machine, job)
                queue[slot] = -1
                started = True
                if not before:
                    spare -= nodes
                if counts[FREE] == 0:
                    break
    if started:
        close_gaps(machine)


@compiled
def backfill_conservatively(jobs: Jobs, machine: Machine, profile: Profile) -> None:
    """Start what delays no job that waits before it."""
    counts, queue, now = machine.counts, machine.queue, machine.clock[0]
    last = counts[WAITING] - 1
    while last > 0 and jobs.nodes[queue[last]] > counts[FREE]:
        last -= 1  # reservations behind the last job that may start bind nobody
    entries = fill_profile(jobs, machine, profile)
    started = False
    for slot in range(last + 1):
        job = queue[slot]
        nodes, seconds = jobs.nodes[job], jobs.requested[job]
        if slot > 0 and fits_now(profile, entries, nodes, now + seconds):
            start_job(jobs, machine, job)
            queue[slot] = -1
            started = True
        _, entries = reserve(profile, entries, 0, nodes, seconds, counts[TOTAL])
    if started:
        close_gaps(machine)


@compiled
def backfill(jobs: Jobs, machine: Machine, kind: int, profile: Profile) -> None:
    """Start jobs behind the queue's first, which does not fit or is not to start."""
    if kind == NO_BACKFILL or machine.counts[WAITING] < 2 or machine.counts[FREE] == 0:
        return
    if kind == EASY:
        backfill_easy(jobs, machine)
    else:
        backfill_conservatively(jobs, machine, profile)


# ---------------------------------------------------------------- the scheduler


@compiled
def best_permutation(
    jobs: Jobs, machine: Machine, permutations: Ints, profile: Profile, work: Profile
) -> int:
    """The first of the permutations of the queue's head that ends soonest by requested time."""
    size = min(permutations.shape[1], machine.counts[WAITING])
    if size < 2:
        return 0
    entries = fill_profile(jobs, machine, profile)
    number = 1
    for factor in range(2, size + 1):
        number *= factor
    best, best_end = 0, np.inf
    for row in range(number):
        work.times[:entries] = profile.times[:entries]
        work.free[:entries] = profile.free[:entries]
        count, slot, end = entries, 0, -np.inf
        for place in range(size):
            job = machine.queue[permutations[row, place]]
            seconds = jobs.requested[job]
            slot, count = reserve(
                work, count, slot, jobs.nodes[job], seconds, machine.counts[TOTAL]
            )
            end = max(end, work.times[slot] + seconds)
        if end < best_end:
            best, best_end = row, end
    return best


@compiled
def scan(
    jobs: Jobs,
    machine: Machine,
    kind: int,
    permutations: Ints,
    profile: Profile,
    work: Profile,
) -> None:
    """Start jobs from the head of the sorted queue while they fit, then backfill."""
    counts, queue = machine.counts, machine.queue
    if counts[FREE] == 0 or counts[WAITING] == 0:
        return
    row = best_permutation(jobs, machine, permutations, profile, work)
    started = 0
    while started < counts[WAITING]:
        slot = permutations[row, started] if started < permutations.shape[1] else started
        job = queue[slot]
        if jobs.nodes[job] > counts[FREE]:
            break
        start_job(jobs, machine, job)
        queue[slot] = -1
        started += 1
    if started:
        close_gaps(machine)
    if counts[WAITING]:
        backfill(jobs, machine, kind, profile)


@compiled
def schedule_all(
    jobs: Jobs,
    machine: Machine,
    score: Score,
    kind: int,
    per_event: bool,
    permutations: Ints,
    profile: Profile,
    work: Profile,
    log: Log,
) -> int:
    """Run until nothing is left to happen; -1, or a job whose score is no number."""
    counts, event = machine.counts, 0
    while True:
        ending, arriving = next_end(machine), next_submit(jobs, machine)
        now = min(ending, arriving)
        if now == np.inf:
            return -1
        machine.clock[0] = now
        if ending <= arriving:
            log.states[event, 0], log.states[event, 1] = ENDED, end_job(jobs, machine)
        else:
            log.states[event, 0], log.states[event, 1] = SUBMITTED, submit_job(jobs, machine)
            if score.order == FIXED:
                failed = _place_last(jobs, machine, score)
                if failed >= 0:
                    return failed
        if per_event or min(next_end(machine), next_submit(jobs, machine)) > now:
            if score.order == CHANGING:
                failed = _sort_all(jobs, machine, score)
                if failed >= 0:
                    return failed
            scan(jobs, machine, kind, permutations, profile, work)
        log.times[event] = now
        log.states[event, 2] = counts[TOTAL] - counts[FREE]
        log.states[event, 3] = counts[WAITING]
        log.states[event, 4] = counts[WAITING_NODES]
        event += 1


# ---------------------------------------------------------------- episodes


@compiled
def begin_episode(
    jobs: Jobs, machine: Machine, rules: Rules, total: int, first: int, last: int
) -> None:
    """An empty machine at the first job's arrival."""
    empty_machine(machine, total, first, last)
    machine.clock[0] = jobs.submit[first]
    if rules.decision == HEAD:
        submit_job(jobs, machine)
    else:
        _advance_time(jobs, machine)


@compiled
def _advance_event(jobs: Jobs, machine: Machine) -> None:
    """To the next event; arrivals come before ends."""
    ending, arriving = next_end(machine), next_submit(jobs, machine)
    machine.clock[0] = max(machine.clock[0], min(ending, arriving))
    if arriving <= ending:
        submit_job(jobs, machine)
    else:
        end_job(jobs, machine)


@compiled
def _advance_time(jobs: Jobs, machine: Machine) -> None:
    """To the next time at which something happens, and through all that happens then."""
    now = min(next_end(machine), next_submit(jobs, machine))
    machine.clock[0] = now
    while next_end(machine) <= now:
        end_job(jobs, machine)
    while next_submit(jobs, machine) <= now:
        submit_job(jobs, machine)


@compiled
def _nothing_comes(jobs: Jobs, machine: Machine) -> bool:
    return min(next_end(machine), next_submit(jobs, machine)) == np.inf


@compiled
def _head_skips(jobs: Jobs, machine: Machine) -> None:
    """Start nothing, for a while or until something happens."""
    if _nothing_comes(jobs, machine):
        return
    later = machine.clock[0] + SKIP_S
    if later < min(next_end(machine), next_submit(jobs, machine)):
        machine.clock[0] = later
    else:
        _advance_event(jobs, machine)


@compiled
def _shadow_time(jobs: Jobs, machine: Machine, nodes: int) -> float:
    """When by request so many nodes will be free; the caller sees to it that they aren't now."""
    free, index = machine.counts[FREE], machine.counts[RUNNING]
    time = machine.clock[0]
    while free < nodes and index > 0:
        index -= 1
        free += jobs.nodes[machine.releasing[index]]
        time = machine.releases[index]
    return time


@compiled
def _start_before(jobs: Jobs, machine: Machine, time: float) -> None:
    """Start, in order of arrival, what fits and by request ends before ``time``."""
    counts, queue = machine.counts, machine.queue
    started = False
    for slot in range(counts[WAITING]):
        job = queue[slot]
        fits = jobs.nodes[job] <= counts[FREE]
        if fits and machine.clock[0] + jobs.requested[job] < time:
            start_job(jobs, machine, job)
            queue[slot] = -1
            started = True
    if started:
        close_gaps(machine)


@compiled
def _slot_of(machine: Machine, job: int) -> int:
    slot = 0
    while machine.queue[slot] != job:
        slot += 1
    return slot


@compiled
def take_head(jobs: Jobs, machine: Machine, rules: Rules, job: int) -> None:
    """Start a waiting job before all else: if need be time goes on until it fits."""
    nodes, counts = jobs.nodes[job], machine.counts
    if nodes > counts[FREE]:
        time = _shadow_time(jobs, machine, nodes)
        while nodes > counts[FREE]:
            if rules.backfill != NO_BACKFILL:
                _start_before(jobs, machine, time)
            _advance_event(jobs, machine)
    start_job(jobs, machine, job)
    remove(machine, _slot_of(machine, job))
    while counts[WAITING] == 0 and counts[NEXT] < counts[LAST]:
        _advance_event(jobs, machine)


@compiled
def _take_from_queue(
    jobs: Jobs, machine: Machine, rules: Rules, job: int, profile: Profile
) -> None:
    """Start a waiting job if it fits; if not, reserve for it, backfill, and go on in time."""
    counts, queue = machine.counts, machine.queue
    slot = _slot_of(machine, job)
    if jobs.nodes[job] <= counts[FREE]:
        start_job(jobs, machine, job)
        remove(machine, slot)
    else:
        if rules.backfill != NO_BACKFILL:
            for place in range(slot, 0, -1):
                queue[place] = queue[place - 1]
            queue[0] = job
            backfill(jobs, machine, rules.backfill, profile)
            _into_order(machine, job)
        _advance_time(jobs, machine)
    while counts[WAITING] == 0 and counts[NEXT] < counts[LAST]:
        _advance_time(jobs, machine)


@compiled
def _into_order(machine: Machine, job: int) -> None:
    """Put the queue's first job back where it arrived."""
    place = 0
    while place + 1 < machine.counts[WAITING] and machine.queue[place + 1] < job:
        machine.queue[place] = machine.queue[place + 1]
        place += 1
    machine.queue[place] = job


@compiled
def _sort_for_choosing(jobs: Jobs, episode: Episode) -> None:
    """Order the episode's jobs for :func:`choose_visible`; equals by submit time, then as they are."""
    first, last = episode.machine.counts[FIRST], episode.machine.counts[LAST]
    by_submit = first + np.argsort(jobs.submit[first:last], kind="mergesort")
    episode.shortest[:] = by_submit[np.argsort(jobs.requested[by_submit], kind="mergesort")]
    episode.smallest[:] = by_submit[np.argsort(jobs.nodes[by_submit], kind="mergesort")]


@compiled
def _next_waiting(machine: Machine, order: Ints, place: int) -> int:
    """The first place in ``order`` from ``place`` on whose job waits."""
    first, arrived = machine.counts[FIRST], machine.counts[NEXT]
    while order[place] >= arrived or not math.isnan(machine.start[order[place] - first]):
        place += 1
    return place


@compiled
def choose_visible(machine: Machine, episode: Episode) -> int:
    """Write the jobs that can be chosen, and give how many.

    All that wait, in order of arrival; where they are too many, in turn the shortest requested time
    and the fewest nodes, each the next in its order, if it is not there yet.
    """
    waiting, visible = machine.counts[WAITING], episode.visible
    most = len(visible)
    if waiting <= most:
        visible[:waiting] = machine.queue[:waiting]
        return waiting
    first, taken = machine.counts[FIRST], machine.scores
    taken[:] = 0.0
    count, long_place, wide_place = 0, -1, -1
    while count < most:
        long_place = _next_waiting(machine, episode.shortest, long_place + 1)
        wide_place = _next_waiting(machine, episode.smallest, wide_place + 1)
        for job in (episode.shortest[long_place], episode.smallest[wide_place]):
            if count < most and taken[job - first] == 0.0:
                taken[job - first] = 1.0
                visible[count] = job
                count += 1
    return count


@compiled
def observe(jobs: Jobs, episode: Episode) -> None:
    """Write what the agent sees, and which actions choose a job."""
    machine, observation, mask = episode.machine, episode.observation, episode.mask
    count = choose_visible(machine, episode)
    now, free = machine.clock[0], machine.counts[FREE]
    for row in range(count):
        job = episode.visible[row]
        wait = (now - jobs.submit[job]) / LONGEST_WAIT_S
        observation[row, 0] = min(wait, ALMOST_ONE)
        for column in range(6):
            observation[row, column + 1] = jobs.features[job, column]
        observation[row, 7] = ALMOST_ONE if jobs.nodes[job] <= free else ALMOST_ZERO
        mask[row] = 1
    for row in range(count, machine.counts[SHOWN]):
        observation[row, 0] = 0.0
        observation[row, 1:7] = 1.0
        observation[row, 7] = 0.0
        mask[row] = 0
    machine.counts[SHOWN] = count


@compiled
def episode_reward(jobs: Jobs, machine: Machine, rules: Rules) -> float:
    """What an episode is worth when its last job has started; higher is better."""
    first, number = machine.counts[FIRST], machine.counts[LAST] - machine.counts[FIRST]
    total = 0.0
    for index in range(number):
        job = first + index
        run, wait = jobs.run[job], machine.start[index] - jobs.submit[job]
        if rules.reward == BOUNDED_SLOWDOWN:
            total -= max(1.0, (wait + run) / max(run, SHORTEST_RUN_S))
        elif rules.reward == SLOWDOWN:
            total -= (wait + run) / run
        elif rules.reward == TURNAROUND:
            total -= wait + run
        elif rules.reward == WAIT:
            total -= wait
        else:
            total += run * jobs.processors[job]
    if rules.reward == UTILISATION:
        seconds = machine.clock[0] - jobs.submit[first]
        return total / (seconds * rules.processors) if seconds > 0 else 0.0
    return total / number


@compiled
def _step(jobs: Jobs, episode: Episode, action: int) -> tuple[float, bool]:
    machine, rules = episode.machine, episode.rules
    counts = machine.counts
    if action < counts[SHOWN]:
        job = episode.visible[action]
        if rules.decision == HEAD:
            take_head(jobs, machine, rules, job)
        else:
            _take_from_queue(jobs, machine, rules, job, episode.profile)
    elif rules.decision == HEAD:
        _head_skips(jobs, machine)
    elif not _nothing_comes(jobs, machine):
        _advance_time(jobs, machine)
    observe(jobs, episode)
    over = counts[WAITING] == 0 and counts[NEXT] == counts[LAST]
    return (episode_reward(jobs, machine, rules) if over else 0.0), over


# ---------------------------------------------------------------- episodes, packed

# A call from Python costs a fraction of a microsecond for every array that it passes, so an episode
# lies in one array of 64-bit words, and the jobs in another.

_COLUMNS = 8  # words a job: five numbers and six features of half a word
_LENGTH, _ROOM, _ROWS, _DECISION, _BACKFILL, _REWARD, _PROCESSORS = range(COUNTS, COUNTS + 7)
_HEADER = COUNTS + 7


@compiled
def unpack_jobs(packed: Ints) -> Jobs:
    """The jobs in an array of :data:`_COLUMNS` words a job."""
    number = len(packed) // _COLUMNS
    return Jobs(
        packed[:number].view(np.float64),
        packed[number : 2 * number].view(np.float64),
        packed[2 * number : 3 * number].view(np.float64),
        packed[3 * number : 4 * number],
        packed[4 * number : 5 * number],
        packed[5 * number : 8 * number].view(np.float32).reshape((number, 6)),
    )


@compiled
def episode_words(length: int, room: int, rows: int) -> int:
    """How many words an episode takes: jobs, jobs that can run at once, rows of the observation."""
    return _HEADER + 1 + 5 * length + 4 * room + rows + 2 * (length + room + 2) + 4 * rows + rows


@compiled
def unpack_episode(packed: Ints) -> Episode:
    """The episode in an array of :func:`episode_words` words."""
    length, room, rows = packed[_LENGTH], packed[_ROOM], packed[_ROWS]
    queue = _HEADER + 1
    scores = queue + length
    ends = scores + length
    ending = ends + room
    releases = ending + room
    releasing = releases + room
    start = releasing + room
    shortest = start + length
    smallest = shortest + length
    visible = smallest + length
    times = visible + rows
    free = times + length + room + 2
    observation = free + length + room + 2
    mask = observation + 4 * rows
    return Episode(
        Machine(
            packed[:COUNTS],
            packed[_HEADER:queue].view(np.float64),
            packed[queue:scores],
            packed[scores:ends].view(np.float64),
            packed[ends:ending].view(np.float64),
            packed[ending:releases],
            packed[releases:releasing].view(np.float64),
            packed[releasing:start],
            packed[start:shortest].view(np.float64),
        ),
        Rules(packed[_DECISION], packed[_BACKFILL], packed[_REWARD], packed[_PROCESSORS]),
        Profile(packed[times:free].view(np.float64), packed[free:observation]),
        packed[shortest:smallest],
        packed[smallest:visible],
        packed[visible:times],
        packed[observation:mask].view(np.float32).reshape((rows, 8)),
        packed[mask : mask + rows].view(np.int8)[:rows],
    )


@compiled
def prepare_episodes(packed: Ints, length: int, room: int, rows: int, rules: Rules) -> None:
    """Write the sizes and rules into every row."""
    for index in range(len(packed)):
        header = packed[index]
        header[_LENGTH], header[_ROOM], header[_ROWS] = length, room, rows
        header[_DECISION], header[_BACKFILL] = rules.decision, rules.backfill
        header[_REWARD], header[_PROCESSORS] = rules.reward, rules.processors


@compiled
def begin(packed_jobs: Ints, packed: Ints, total: int, first: int) -> None:
    """Begin one episode at the job ``first``."""
    jobs, episode = unpack_jobs(packed_jobs), unpack_episode(packed)
    machine, rows = episode.machine, len(episode.visible)
    begin_episode(jobs, machine, episode.rules, total, first, first + len(machine.start))
    if len(machine.start) > rows:
        _sort_for_choosing(jobs, episode)
    machine.counts[SHOWN] = rows
    observe(jobs, episode)


@compiled
def step(packed_jobs: Ints, packed: Ints, action: int) -> tuple[float, bool]:
    """One action in one episode: the reward, and whether every job has started."""
    return _step(unpack_jobs(packed_jobs), unpack_episode(packed), action)


@compiled
def begin_all(packed_jobs: Ints, packed: Ints, total: int, which: Ints, firsts: Ints) -> None:
    """Begin the episodes in the rows ``which``."""
    for place in range(len(which)):
        begin(packed_jobs, packed[which[place]], total, firsts[place])


@compiled
def step_all(
    packed_jobs: Ints,
    packed: Ints,
    actions: Ints,
    idle: NDArray[np.bool_],
    rewards: Floats,
    over: NDArray[np.bool_],
) -> None:
    """One action in every row that is not ``idle``."""
    jobs = unpack_jobs(packed_jobs)
    for index in range(len(packed)):
        if idle[index]:
            rewards[index], over[index] = 0.0, False
        else:
            rewards[index], over[index] = _step(jobs, unpack_episode(packed[index]), actions[index])


# ---------------------------------------------------------------- rules


@compiled
def play_rule(jobs: Jobs, machine: Machine, rules: Rules, score: Score) -> int:
    """Let a score choose among all that wait until every job has started; -1, or a job without one.

    The machine has begun an episode in which heads are chosen. The first of equals wins.
    """
    counts = machine.counts
    while counts[WAITING] > 0:
        values = evaluate(score, jobs, machine.queue, counts[WAITING], machine.clock[0])
        best = 0
        for slot in range(counts[WAITING]):
            if math.isnan(values[slot]):
                return machine.queue[slot]
            if values[slot] > values[best]:
                best = slot
        take_head(jobs, machine, rules, machine.queue[best])
    return -1
