"""Episodes in one array each, compiled: what the environments call.

A call from Python costs a fraction of a microsecond for every array that it passes, so an episode
lies in one array of 64-bit words, and the jobs in another.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infra_gym.simulators.batch_backfill import Profile
from infra_gym.simulators.batch_episode import (
    Episode,
    Rules,
    begin_episode,
    observe,
    sort_for_choosing,
    step_episode,
)
from infra_gym.simulators.batch_machine import COUNTS, SHOWN, Floats, Ints, Jobs, Machine
from infra_gym.simulators.compilation import compiled

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
        sort_for_choosing(jobs, episode)
    machine.counts[SHOWN] = rows
    observe(jobs, episode)


@compiled
def step(packed_jobs: Ints, packed: Ints, action: int) -> tuple[float, bool]:
    """One action in one episode: the reward, and whether every job has started."""
    return step_episode(unpack_jobs(packed_jobs), unpack_episode(packed), action)


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
            rewards[index], over[index] = step_episode(
                jobs, unpack_episode(packed[index]), actions[index]
            )
