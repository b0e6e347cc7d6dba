"""The batch machine, compiled: one set of transitions under the scheduler and the environments.

Jobs are named by their place in the trace. A waiting job stands in ``queue``. A running one stands
in ``ends`` by the time at which it will end and in ``releases`` by the time until which it may run
(its start and its requested time), each with the soonest last, where it is cheap to take away.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infra_gym.simulators.compilation import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FREE, TOTAL, FIRST, NEXT, LAST, WAITING, RUNNING, WAITING_NODES, SHOWN = range(9)
"""Places in :attr:`Machine.counts`: nodes, places of jobs, numbers of jobs."""
COUNTS = 9
"""How many there are."""


class Jobs(NamedTuple):
    """Times in seconds; shape (jobs,), ``features`` (jobs, 6): what an agent sees of each."""

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
    counts, releases, releasing = machine.counts, machine.releases, machine.releasing
    last = counts[RUNNING] - 1
    counts[RUNNING] = last
    job = machine.ending[last]
    counts[FREE] += jobs.nodes[job]
    place = last
    while releasing[place] != job:
        place -= 1
    for index in range(place, last):
        releases[index] = releases[index + 1]
        releasing[index] = releasing[index + 1]
    return int(job)


@compiled
def submit_job(jobs: Jobs, machine: Machine) -> int:
    """Let the next job arrive, behind those that were submitted before it, and give its place."""
    counts, queue, submit = machine.counts, machine.queue, jobs.submit
    job = counts[NEXT]
    counts[NEXT] = job + 1
    place = counts[WAITING]
    while place > 0 and submit[queue[place - 1]] > submit[job]:
        queue[place] = queue[place - 1]
        place -= 1
    queue[place] = job
    counts[WAITING] += 1
    counts[WAITING_NODES] += jobs.nodes[job]
    return int(job)


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
    counts, queue, scores = machine.counts, machine.queue, machine.scores
    kept = 0
    for slot in range(counts[WAITING]):
        if queue[slot] >= 0:
            queue[kept] = queue[slot]
            scores[kept] = scores[slot]
            kept += 1
    counts[WAITING] = kept
