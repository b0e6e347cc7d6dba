"""A trained agent on real Terraform and real processes."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from infra_gym.agents.model_file import Document, Model, append
from infra_gym.agents.network import Network
from infra_gym.agents.senses import Scale
from infra_gym.cli.main import app
from infra_gym.recording.reader import read_run

ID = "SimpleK8sWebApp-v0"


def up_to(replicas: int) -> Model:
    """A policy that goes to a number of replicas: the first observation is how many there are."""
    weights = np.zeros((3, 13), np.float32)
    weights[2, 0] = -1
    biases = np.array([0, 0.5, replicas], np.float32)
    document = Document(
        environment=ID,
        observation_shape=(13,),
        actions=(3,),
        masked=False,
        activation="relu",
        rows=False,
        scale="none",
        frames=1,
        steps=0,
        training={},
        versions={},
    )
    return Model(document, Network([weights], [biases], "relu"), Scale.plain("none", (13,)))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_acts_on_a_live_stack(tmp_path, monkeypatch, binary):
    (tmp_path / "infra-gym.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INFRA_GYM_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("INFRA_GYM_BINARY", binary)
    append(tmp_path / "model.zip", up_to(4))
    command = ["run", ID, "--agent", "model.zip", "--steps", "3", "--interval", "2"]
    done = CliRunner().invoke(app, [*command, "--target", "local", "--log", "run.jsonl"])
    assert done.exit_code == 0, done.output
    (episode,) = read_run(tmp_path / "run.jsonl").episodes
    assert [step.action for step in episode.steps] == [2, 2, 1]
    assert [step.info["controls"]["replicas"] for step in episode.steps] == [3, 4, 4]
