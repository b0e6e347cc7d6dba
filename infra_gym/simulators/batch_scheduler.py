"""The scheduler, compiled: the start window, the scan of the queue, the loop over events."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from infra_gym.simulators.batch_backfill import (
    CONSERVATIVE,
    EASY,
    Profile,
    backfill_conservatively,
    backfill_easy,
    fill_profile,
    reserve,
)
from infra_gym.simulators.batch_machine import (
    FREE,
    TOTAL,
    WAITING,
    WAITING_NODES,
    Floats,
    Ints,
    Jobs,
    Machine,
    close_gaps,
    end_job,
    next_end,
    next_submit,
    start_job,
    submit_job,
)
from infra_gym.simulators.batch_score import CHANGING, FIXED, Score, place_last, sort_all
from infra_gym.simulators.compilation import compiled

SUBMITTED, ENDED = 0, 1
"""Kinds of events."""


class Log(NamedTuple):
    """One row an event: its time; its kind, job, busy nodes, waiting jobs and their nodes."""

    times: Floats
    states: Ints


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
    row = 0
    if permutations.shape[1] > 1:
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
    if counts[WAITING] > 1 and counts[FREE] > 0:
        if kind == EASY:
            backfill_easy(jobs, machine)
        elif kind == CONSERVATIVE:
            backfill_conservatively(jobs, machine, profile)


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
                failed = place_last(jobs, machine, score)
                if failed >= 0:
                    return failed
        if per_event or min(next_end(machine), next_submit(jobs, machine)) > now:
            if score.order == CHANGING:
                failed = sort_all(jobs, machine, score)
                if failed >= 0:
                    return failed
            if counts[FREE] > 0 and counts[WAITING] > 0:
                scan(jobs, machine, kind, permutations, profile, work)
        log.times[event] = now
        log.states[event, 2] = counts[TOTAL] - counts[FREE]
        log.states[event, 3] = counts[WAITING]
        log.states[event, 4] = counts[WAITING_NODES]
        event += 1
