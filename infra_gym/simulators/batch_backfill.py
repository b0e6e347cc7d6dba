"""Backfilling, compiled: which jobs may start before one that does not fit.

What is left out is only what cannot start a job. Because the nodes that running jobs release only
ever add up, EASY's question "does this job fit from now through its end beside all reservations"
needs no profile: it does if it fits now, and either ends before the first waiting job's slot or
leaves enough at that slot.
"""

from __future__ import annotations

from typing import NamedTuple

from infra_gym.simulators.batch_machine import (
    FREE,
    RUNNING,
    TOTAL,
    WAITING,
    Floats,
    Ints,
    Jobs,
    Machine,
    close_gaps,
    start_job,
)
from infra_gym.simulators.compilation import compiled

NO_BACKFILL, EASY, CONSERVATIVE = 0, 1, 2


class Profile(NamedTuple):
    """Free nodes from each of ``times`` until the next."""

    times: Floats
    free: Ints


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
    """Reserve the first slot from the entry ``earliest`` on; its entry, and the new number."""
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
    sizes, requested = jobs.nodes, jobs.requested
    releases, releasing = machine.releases, machine.releasing
    needed, spare, slot_time = sizes[queue[0]], counts[FREE], now
    index = counts[RUNNING]
    while spare < needed:
        index -= 1
        spare += sizes[releasing[index]]
        slot_time = releases[index]
    if index < counts[RUNNING]:
        while index > 0 and releases[index - 1] == slot_time:
            index -= 1
            spare += sizes[releasing[index]]
    spare -= needed
    started = False
    for slot in range(1, counts[WAITING]):
        job = queue[slot]
        nodes = sizes[job]
        if nodes <= counts[FREE]:
            before = now + requested[job] <= slot_time
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
