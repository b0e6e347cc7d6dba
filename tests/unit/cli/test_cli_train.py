"""``infra-gym train`` where nothing is trained."""

from __future__ import annotations

import importlib.util

import pytest
from typer.testing import CliRunner

from infra_gym.cli.main import app

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
