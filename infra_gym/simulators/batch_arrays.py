"""What the compiled batch simulator takes, made of what people write.

Import this only where a simulator is made: it brings numba.
"""

from __future__ import annotations

import itertools
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from infra_gym.expressions import Operation
from infra_gym.simulators.batch import NAMES, Backfill, Decision, Reward, score_program
from infra_gym.simulators.batch_backfill import Profile
from infra_gym.simulators.batch_episode import ALMOST_ONE, Rules
from infra_gym.simulators.batch_machine import COUNTS, Jobs, Machine
from infra_gym.simulators.batch_packed import episode_words, prepare_episodes
from infra_gym.simulators.batch_score import ARRIVAL, CHANGING, FIXED, Score
from infra_gym.workloads.batch import BatchJobs


def compiled_score(score: str, most_waiting: int) -> Score:
    """A score for a queue of at most ``most_waiting`` jobs."""
    program = score_program(score)
    if program.instructions == ((Operation.NAME, NAMES.index("w")),):
        order = ARRIVAL  # who waits longest came first
    else:
        order = CHANGING if program.used & {"w", "z", "l"} else FIXED
    return Score(
        np.array([operation for operation, _ in program.instructions], dtype=np.int64),
        np.array([argument for _, argument in program.instructions], dtype=np.float64),
        order,
        np.empty((program.depth, most_waiting), dtype=np.float64),
    )


def compiled_jobs(jobs: BatchJobs) -> Jobs:
    """The jobs as compiled code has them, with what an agent sees of each."""
    sizes = np.stack(
        [
            jobs.requested / (jobs.longest_run or 1.0),
            jobs.processors / jobs.total_processors,
        ],
        axis=1,
    )
    features = np.concatenate([np.minimum(sizes, ALMOST_ONE), jobs.traits], axis=1)
    return Jobs(
        jobs.submit,
        jobs.run,
        jobs.requested,
        jobs.processors,
        jobs.nodes,
        features.astype(np.float32),
    )


def compiled_rules(
    jobs: BatchJobs, decision: Decision, backfill: Backfill, reward: Reward
) -> Rules:
    """The rules of an episode as compiled code has them."""
    return Rules(
        get_args(Decision).index(decision),
        get_args(Backfill).index(backfill),
        get_args(Reward).index(reward),
        jobs.total_processors,
    )


def packed_jobs(jobs: BatchJobs) -> NDArray[np.int64]:
    """The jobs as :func:`infra_gym.simulators.batch_packed.unpack_jobs` reads them."""
    return np.concatenate(
        [np.ascontiguousarray(part).view(np.int64).ravel() for part in compiled_jobs(jobs)]
    )


def new_episodes(
    jobs: BatchJobs, rules: Rules, *, length: int, rows: int, number: int
) -> NDArray[np.int64]:
    """Room for ``number`` episodes of ``length`` jobs; an array with a row for each."""
    room = min(length, jobs.total_nodes)
    packed = np.zeros((number, episode_words(length, room, rows)), dtype=np.int64)
    prepare_episodes(packed, length, room, rows, rules)
    return packed


def new_machine(jobs: BatchJobs, length: int) -> Machine:
    """Room for a machine with ``length`` jobs."""
    room = min(length, jobs.total_nodes)
    return Machine(
        counts=np.empty(COUNTS, dtype=np.int64),
        clock=np.empty(1, dtype=np.float64),
        queue=np.empty(length, dtype=np.int64),
        scores=np.empty(length, dtype=np.float64),
        ends=np.empty(room, dtype=np.float64),
        ending=np.empty(room, dtype=np.int64),
        releases=np.empty(room, dtype=np.float64),
        releasing=np.empty(room, dtype=np.int64),
        start=np.empty(length, dtype=np.float64),
    )


def new_profile(entries: int) -> Profile:
    """Room for the free nodes of the future."""
    return Profile(np.empty(entries, dtype=np.float64), np.empty(entries, dtype=np.int64))


def window_permutations(size: int) -> NDArray[np.int64]:
    """The orders of the start window's places in the order in which they are tried.

    The last place varies slowest, from the largest down, and so on for the places before it; so the
    first n! rows are the orders of the first n places.
    """
    rows = [tuple(reversed(row)) for row in itertools.permutations(reversed(range(size)))]
    return np.array(rows, dtype=np.int64)
