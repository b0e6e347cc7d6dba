"""Episodes, compiled: an agent names jobs, and sees what it may name."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infra_gym.simulators.batch_backfill import NO_BACKFILL, Profile, backfill
from infra_gym.simulators.batch_machine import (
    FIRST,
    FREE,
    LAST,
    NEXT,
    RUNNING,
    SHOWN,
    WAITING,
    Ints,
    Jobs,
    Machine,
    close_gaps,
    empty_machine,
    end_job,
    next_end,
    next_submit,
    start_job,
    submit_job,
)
from infra_gym.simulators.batch_score import Score, evaluate
from infra_gym.simulators.compilation import compiled

HEAD, QUEUE = 0, 1
"""Who decides what: see :mod:`infra_gym.environments.batch`."""
BOUNDED_SLOWDOWN, SLOWDOWN, TURNAROUND, UTILISATION, WAIT = range(5)
"""Rewards."""

SKIP_S = 360.0
LONGEST_WAIT_S = 43200.0
SHORTEST_RUN_S = 10.0
ALMOST_ONE = 1.0 - 1e-5
ALMOST_ZERO = 1e-5


class Rules(NamedTuple):
    """How an episode goes: HEAD or QUEUE, its backfill, its reward, the machine's processors."""

    decision: int
    backfill: int
    reward: int
    processors: int


class Episode(NamedTuple):
    """A machine with an agent: the jobs it may choose, what it sees of them, and which rows do.

    ``shortest`` and ``smallest`` are all jobs by requested time and by nodes, sorted only where
    more can wait than are visible. Shapes: these (jobs,), ``visible`` and ``mask`` (rows,),
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
    return float(time)


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
def _remove(machine: Machine, job: int) -> None:
    """Take a job out of the queue."""
    counts, queue = machine.counts, machine.queue
    slot = 0
    while queue[slot] != job:
        slot += 1
    counts[WAITING] -= 1
    for index in range(slot, counts[WAITING]):
        queue[index] = queue[index + 1]


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
    _remove(machine, job)
    while counts[WAITING] == 0 and counts[NEXT] < counts[LAST]:
        _advance_event(jobs, machine)


@compiled
def _take_from_queue(
    jobs: Jobs, machine: Machine, rules: Rules, job: int, profile: Profile
) -> None:
    """Start a waiting job if it fits; if not, reserve for it, backfill, and go on in time."""
    counts, queue = machine.counts, machine.queue
    if jobs.nodes[job] <= counts[FREE]:
        start_job(jobs, machine, job)
        _remove(machine, job)
    else:
        if rules.backfill != NO_BACKFILL:
            _remove(machine, job)
            counts[WAITING] += 1
            for place in range(counts[WAITING] - 1, 0, -1):
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
def sort_for_choosing(jobs: Jobs, episode: Episode) -> None:
    """Order all jobs for :func:`choose_visible`; equals by submit time, then as they are."""
    first, last = episode.machine.counts[FIRST], episode.machine.counts[LAST]
    by_submit = first + np.argsort(jobs.submit[first:last], kind="mergesort")
    episode.shortest[:] = by_submit[np.argsort(jobs.requested[by_submit], kind="mergesort")]
    nodes = jobs.nodes[by_submit].astype(np.float64)  # a sort is long to compile: one kind will do
    episode.smallest[:] = by_submit[np.argsort(nodes, kind="mergesort")]


@compiled
def _next_waiting(machine: Machine, order: Ints, place: int) -> int:
    """The first place in ``order`` from ``place`` on whose job waits."""
    first, arrived = machine.counts[FIRST], machine.counts[NEXT]
    while order[place] >= arrived or not math.isnan(machine.start[order[place] - first]):
        place += 1
    return place


@compiled
def choose_visible(machine: Machine, episode: Episode) -> int:
    """Write the jobs that can be chosen where too many wait, and give how many.

    In turn the shortest requested time and the fewest nodes, each the next in its order, if it is
    not there yet.
    """
    visible = episode.visible
    most = len(visible)
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
    submit, nodes, features, visible = jobs.submit, jobs.nodes, jobs.features, episode.visible
    queue, count = machine.queue, machine.counts[WAITING]
    if count > len(visible):
        count = choose_visible(machine, episode)
    else:
        for row in range(count):
            visible[row] = queue[row]
    now, free = machine.clock[0], machine.counts[FREE]
    for row in range(count):
        job = visible[row]
        observation[row, 0] = min((now - submit[job]) / LONGEST_WAIT_S, ALMOST_ONE)
        for column in range(6):
            observation[row, column + 1] = features[job, column]
        observation[row, 7] = ALMOST_ONE if nodes[job] <= free else ALMOST_ZERO
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
    return float(total / number)


@compiled
def step_episode(jobs: Jobs, episode: Episode, action: int) -> tuple[float, bool]:
    """One action: the reward, and whether every job has started."""
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
                return int(machine.queue[slot])
            if values[slot] > values[best]:
                best = slot
        take_head(jobs, machine, rules, machine.queue[best])
    return -1
