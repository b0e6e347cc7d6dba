"""``infra-gym train`` where nothing is trained."""

from __future__ import annotations

import importlib.util

import pytest
from typer.testing import CliRunner

from infra_gym.cli.main import app
from infra_gym.training.train import Plan

HERE = importlib.util.find_spec("stable_baselines3") is not None


def test_other_targets_than_the_simulator_are_refused():
    done = CliRunner().invoke(app, ["train", "SimpleK8sWebApp-v0", "--target", "local"])
    assert done.exit_code == 2
    assert "--target sim" in done.output


@pytest.mark.skipif(HERE, reason="Stable-Baselines3 is installed")
def test_without_the_extra_the_error_says_what_to_type():
    done = CliRunner().invoke(app, ["train", "Scaling-v0"])
    assert done.exit_code == 1
    assert 'pip install "infra-gym[train]"' in done.output


@pytest.mark.parametrize(
    ("algorithm", "steps", "made"),
    [
        ("ppo", 1, 512 * 64),  # a rollout of all environments
        ("ppo", 512 * 64, 512 * 64),
        ("ppo", 512 * 64 + 1, 2 * 512 * 64),
        ("dqn", 65, 128),  # a step of all environments
    ],
)
def test_the_steps_that_will_be_made_are_whole_turns(algorithm, steps, made):
    assert Plan.make("Scaling-v0", algorithm=algorithm, steps=steps).steps == made


def test_groups_of_one_size_share_the_environments():
    """Six loads share 2048 environments."""
    loads = [{"profile": "constant", "mean_rps": 10 * number} for number in range(1, 7)]
    plan = Plan.make("SimpleK8sWebApp-v0", workloads=loads, steps=1)
    assert (plan.environments, plan.steps) == (2046, 2046 * 32)
