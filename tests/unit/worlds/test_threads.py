"""A large batch in parts: each once, by whoever is free, and no error is lost."""

from __future__ import annotations

import time
from threading import Barrier

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import infra_gym  # noqa: F401 - registers the environments
from infra_gym.worlds.threads import PART, in_parts

# One worker compiles, once, what all of these need.
pytestmark = pytest.mark.xdist_group("webapp")


@pytest.mark.parametrize("size", [1, PART, 2 * PART - 1, 2 * PART, 5 * PART + 7])
def test_every_environment_is_in_one_part(size):
    seen = np.zeros(size, dtype=np.int64)
    in_parts(size, lambda part: seen.__setitem__(part, seen[part] + 1))
    assert (seen == 1).all()


def test_an_error_in_any_part_is_told_and_the_next_batch_goes_on():
    for wrong in range(0, 4 * PART, PART):

        def work(part: slice, wrong=wrong) -> None:
            if part.start == wrong:
                raise ValueError(wrong)

        with pytest.raises(ValueError, match=str(wrong)):
            in_parts(4 * PART, work)
    done = []
    in_parts(4 * PART, done.append)
    assert sorted(part.start for part in done) == [0, PART, 2 * PART, 3 * PART]


def test_nobody_works_on_when_an_error_is_told():
    together, working = Barrier(4), []

    def work(part: slice) -> None:
        working.append(part)
        together.wait(timeout=30)
        try:
            if part.start == PART:
                raise ValueError("one of four")
            time.sleep(0.05)
        finally:
            working.remove(part)

    with pytest.raises(ValueError, match="one of four"):
        in_parts(4 * PART, work, threads=4)
    assert not working


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_batch_that_threads_share_has_the_numbers_of_small_ones(mode):
    large, half = 3 * PART, PART // 2
    actions = np.random.default_rng(5).integers(0, 3, (6, large))
    chosen = np.arange(large) % 3 == 0

    def trajectory(num_envs: int, first: int) -> list[np.ndarray]:
        mine = slice(first, first + num_envs)
        envs = gym.make_vec(
            "SimpleK8sWebApp-v0",
            num_envs=num_envs,
            vectorization_mode="vector_entry_point",
            target="sim",
            fidelity="fluid",
            max_episode_steps=4,
            autoreset_mode=mode,
        )
        seen = [envs.reset(seed=first)[0]]
        for step in range(3):
            observations, rewards, _, truncations, _ = envs.step(actions[step, mine])
            seen += [observations.copy(), rewards.copy(), truncations]
            observations[:] = rewards[:] = 99.0  # they are the caller's
        seeds = [None if not wanted else 7 + place for place, wanted in enumerate(chosen)][mine]
        seen.append(envs.reset(seed=seeds, options={"reset_mask": chosen[mine]})[0])
        if mode != AutoresetMode.DISABLED:  # else an end waits for a reset
            for step in range(3, 6):
                seen += envs.step(actions[step, mine])[:4]
        return seen

    small = [trajectory(half, first) for first in range(0, large, half)]
    for whole, *parts in zip(trajectory(large, 0), *small, strict=True):
        assert np.array_equal(whole, np.concatenate(parts))
