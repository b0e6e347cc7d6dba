"""Batches of the fluid form have the same numbers in one or in many, whatever a caller does."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import infra_gym  # noqa: F401 - registers the environments

# One worker compiles, once, what all of these need.
pytestmark = pytest.mark.xdist_group("webapp")


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_large_batch_has_the_numbers_of_small_ones(mode):
    large, half = 3072, 512
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
