"""What the continuous algorithms of RLScale-Bench's counterpart choose, as three actions."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("stable_baselines3", reason='pip install -e ".[train]"')

import torch
from gymnasium import spaces

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def module():
    path = ROOT / "benchmarks" / "rlscale_learners.py"
    spec = importlib.util.spec_from_file_location("rlscale_learners", path)
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made  # dataclasses look there
    spec.loader.exec_module(made)
    return made


class Steps:
    """A VecEnv that only tells what it was given."""

    num_envs = 7
    observation_space = spaces.Box(-1, 1, (4,), np.float32)

    def get_attr(self, name, indices=None):
        return [None]

    def step_async(self, actions):
        self.actions = actions


def test_each_third_is_an_action(module):
    steps = Steps()
    numbers = np.array([[-1], [-0.34], [-0.33], [0], [0.33], [0.34], [1]])
    module.Thirds(steps).step_async(numbers)
    assert steps.actions.tolist() == [0, 0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("kind", ["sac", "td3"])  # DDPG has the actor of TD3
def test_the_network_chooses_what_the_actor_does(module, kind):
    """The actor's number, cut into thirds, and the highest of the network's scores."""
    from stable_baselines3.sac.policies import SACPolicy
    from stable_baselines3.td3.policies import TD3Policy

    torch.manual_seed(1)
    policy = (SACPolicy if kind == "sac" else TD3Policy)(
        spaces.Box(-1, 1, (4,), np.float32),
        spaces.Box(-1, 1, (1,), np.float32),
        lambda _: 1e-3,
        net_arch=[8, 8],
        activation_fn=torch.nn.ReLU,
    )
    seen = np.random.default_rng(1).normal(size=(500, 4)).astype(np.float32) * 10
    with torch.no_grad():
        numbers = policy.actor(torch.as_tensor(seen), *([True] if kind == "sac" else [])).numpy()
    chosen = module.thirds_of(policy.actor).scores(seen).argmax(axis=1)
    steps = Steps()
    module.Thirds(steps).step_async(numbers)
    assert len(set(chosen.tolist())) > 1
    assert chosen.tolist() == steps.actions.tolist()
