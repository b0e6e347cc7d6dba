"""What the continuous algorithms of RLScale-Bench's counterpart choose, as three actions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("stable_baselines3", reason='pip install -e ".[train]"')

import torch
from gymnasium import spaces


@pytest.fixture(scope="module")
def module(load_benchmark):
    return load_benchmark("rlscale_learners")


@pytest.fixture
def lesson(module, tmp_path):
    load = {"profile": "trace", "path": "/here/a.csv"}
    return module.Lesson("SimpleK8sWebApp-v0", "ddpg", "trace", load, 1, 50_000, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 100},
        {"seed": 2},
        {"algorithm": "td3"},
        {"environment": "Other-v0"},
        {"workload": {"profile": "trace", "path": "/here/b.csv"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_training_has_another_file(lesson, change):
    assert replace(lesson, **change).model != lesson.model


def test_a_fingerprint_is_of_every_number(module, lesson):
    training = lesson.training
    marks = {
        module.fingerprint(lesson.environment, {**training, "numbers": numbers})
        for numbers in (
            training["numbers"],
            *({**training["numbers"], name: "another"} for name in training["numbers"]),
        )
    }
    assert {"gamma", "hidden", "batch_size", "noise"} <= set(training["numbers"])
    assert len(marks) == 1 + len(training["numbers"])


def test_the_same_trace_elsewhere_is_the_same_training(lesson):
    moved = replace(lesson, workload={**lesson.workload, "path": "/there/a.csv"})
    assert moved.model == lesson.model
    assert moved.training["workload"]["path"] == "/there/a.csv"


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
