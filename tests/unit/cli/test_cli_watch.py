"""``infra-gym run`` of environments that are no stack of layers."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from infra_gym.cli.main import app


def played(*arguments):
    done = CliRunner().invoke(app, ["run", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(400)  # the simulator is compiled on the first call
def test_an_episode_is_played_to_its_end():
    document = played("BatchScheduling-v0", "--agent", "batch", "--parameter", "score=sjf")
    assert document["ended"] == "terminated"
    assert document["metrics"]["bounded_slowdown"] == pytest.approx(-document["reward"])


def test_one_without_an_end_is_ended():
    document = played("Scaling-v0", "--agent", "random", "--steps", "5", "--seed", "3")
    assert (document["steps"], document["ended"]) == (5, "after 5 steps")
    assert document == played("Scaling-v0", "--agent", "random", "--steps", "5", "--seed", "3")
