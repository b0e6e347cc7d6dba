"""Scaling-v0 keeps Gymnasium's contract."""

from __future__ import annotations

import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import infra_gym  # noqa: F401 - registers the environment

INFLUXES = ["random", "sine", "daily", "bursty", (100, 5000, 20)]


@pytest.mark.parametrize("influx", INFLUXES)
def test_gymnasium_agrees(influx):
    env = gym.make("Scaling-v0", influx=influx, change_rate=1, render_mode="rgb_array")
    check_env(env.unwrapped)


def test_stable_baselines_agrees():
    checker = pytest.importorskip(
        "stable_baselines3.common.env_checker", reason="the extra `train` is not installed"
    )
    checker.check_env(gym.make("Scaling-v0", change_rate=1))


def test_observations_lie_in_their_space():
    env = gym.make("Scaling-v0", change_rate=1, actions=(-9, 0, 9), max_instances=40, offset=0)
    env.action_space.seed(3)
    observation, _ = env.reset(seed=3)
    for _ in range(500):
        assert observation in env.observation_space
        observation, *_ = env.step(env.action_space.sample())


@pytest.mark.parametrize("mode", ["sync", "async", "vector_entry_point"])
def test_every_vectorization_mode_gives_the_same(mode):
    options = {"change_rate": 1, "max_episode_steps": 20}
    envs = gym.make_vec("Scaling-v0", num_envs=3, vectorization_mode=mode, **options)
    alone = [gym.make("Scaling-v0", **options) for _ in range(3)]
    observations, _ = envs.reset(seed=7)
    for place, env in enumerate(alone):
        assert np.array_equal(env.reset(seed=7 + place)[0], observations[place])
    for step in range(20):
        observations, rewards, terminated, truncated, _ = envs.step(np.array([0, 1, 2]))
        for place, env in enumerate(alone):
            observation, reward, *ends, _ = env.step(place)
            assert np.array_equal(observation, observations[place])
            assert [reward, *ends] == [rewards[place], terminated[place], truncated[place]]
        assert truncated.all() == (step == 19)
    envs.close()


def test_the_compiler_is_imported_only_when_one_is_made():
    program = (
        "import sys, infra_gym, gymnasium; assert 'numba' not in sys.modules; "
        "gymnasium.make('Scaling-v0'); assert 'numba' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
