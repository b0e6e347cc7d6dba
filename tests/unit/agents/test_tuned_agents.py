"""Rules whose parameters come from a file, and a threshold with patience."""

from __future__ import annotations

import gymnasium as gym
import pytest

from infra_gym.agents import make_agent
from infra_gym.agents.tuned import Tuned
from infra_gym.errors import UsageError

TUNED = Tuned(
    agent="threshold",
    parameters={"high": 0.6, "low": 0.3, "patience": 3},
    id="SimpleK8sWebApp-v0",
    split="tuning",
    steps=1000,
    candidates=4,
    reward_mean=-1.0,
    package_version="0.1.0",
)


@pytest.fixture
def env():
    return gym.make("SimpleK8sWebApp-v0", target="sim")


def turns(agent, env, values, replicas=5):
    agent.reset(1, env)
    actions = []
    for value in values:
        told = {"controls": {"replicas": replicas}, "metrics": {"utilisation": value}}
        actions.append(agent.act(None, told) - 1)  # delta actions: -1, 0, 1
    return actions


def test_a_file_s_parameters_hold(env, tmp_path):
    TUNED.write(tmp_path / "rule.json")
    agent = make_agent(f"threshold:{tmp_path / 'rule.json'}")
    assert turns(agent, env, [0.61, 0.29, 0.29, 0.29, 0.29]) == [1, 0, 0, -1, -1]


def test_a_file_that_cannot_be_written_is_told_and_leaves_the_old_one(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        TUNED.write(tmp_path / "file" / "rule.json")
    folder = tmp_path / "rule.json"
    folder.mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        TUNED.write(folder)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "rule.json"}


def test_parameters_that_are_given_go_before_the_file_s(env, tmp_path):
    TUNED.write(tmp_path / "rule.json")
    agent = make_agent(f"threshold:{tmp_path / 'rule.json'}", patience=1)
    assert turns(agent, env, [0.29]) == [-1]


def test_patience_begins_anew_when_the_metric_was_up(env):
    agent = make_agent("threshold", high=0.6, low=0.3, patience=2)
    assert turns(agent, env, [0.2, 0.4, 0.2, 0.2, 0.2]) == [0, 0, 0, -1, -1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read"),
        ("{", "has no parameters of an agent"),
        ('{"agent": "threshold"}', "has no parameters of an agent"),
        (TUNED.model_copy(update={"agent": "hpa"}).model_dump_json(), "the parameters of 'hpa'"),
        (TUNED.model_dump_json().replace('"version":1', '"version":2'), "has no parameters"),
    ],
)
def test_other_files_are_refused(tmp_path, text, told):
    if text is not None:
        (tmp_path / "rule.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=told):
        make_agent(f"threshold:{tmp_path / 'rule.json'}")
