"""What a trained agent does with its model, without the library that trained it."""

from __future__ import annotations

import json
import zipfile

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from infra_gym.agents import make_agent
from infra_gym.agents.model_file import ARRAYS, DOCUMENT, Document, Model, append, read
from infra_gym.agents.network import Network, best
from infra_gym.agents.senses import Memory, Scale
from infra_gym.agents.trained import action_sizes
from infra_gym.errors import UsageError


class Plain(gym.Env):
    """Observations of two numbers, three actions."""

    observation_space = spaces.Box(-10, 10, (2,), np.float32)
    action_space = spaces.Discrete(3)


@pytest.fixture(autouse=True)
def _registered():
    gym.register("Plain-v0", entry_point=Plain)
    yield
    del gym.registry["Plain-v0"]


def document(**changes):
    given = {
        "environment": "Plain-v0", "observation_shape": (2,), "actions": (3,), "masked": False,
        "activation": "relu", "rows": False, "scale": "none", "frames": 1, "steps": 5,
        "training": {"seed": 1}, "versions": {},
    }  # fmt: skip
    return Document.model_validate(given | changes)


def written(path, weights, *, scale=None, **changes):
    """A model of one layer, without a bias."""
    weights = np.asarray(weights, np.float32)
    found = document(**changes)
    network = Network([weights], [np.zeros(len(weights), np.float32)], "relu", found.rows)
    append(path, Model(found, network, scale or Scale.plain("none", found.observation_shape)))
    return path


def actions(agent, observations, info=None):
    return [agent.act(np.asarray(one, np.float64), info or {}) for one in observations]


def test_it_takes_the_action_with_the_highest_score(tmp_path):
    path = written(tmp_path / "model.zip", [[1, 0], [0, 1], [-1, -1]])
    agent = make_agent(str(path))
    agent.reset(1, gym.make("Plain-v0"))
    assert actions(agent, [(1, 0), (0, 1), (-1, -1)]) == [0, 1, 2]


def test_it_sees_what_training_saw():
    mean, deviation = np.array([5, 0], np.float32), np.array([2, 1], np.float32)
    scale = Scale("standard", mean, deviation, limit=3.0)
    assert scale([[5, 0], [9, -1], [500, 0]]).tolist() == [[0, 0], [2, -1], [3, 0]]
    shares = Scale.plain("shares", (2,))
    assert shares([[1, 1e-5], [0.1, 0]]).tolist() == [[1, 0], pytest.approx([0.8, 0])]
    assert Scale.plain("none", (2,))([[7, -7]]).tolist() == [[7, -7]]


def test_it_remembers_the_last_observations_of_its_episode_only(tmp_path):
    # The action is 1 where the first number has risen since the step before, else 0.
    path = written(
        tmp_path / "model.zip", [[0, 0, 0, 0], [-1, 0, 1, 0], [-9, 0, 0, 0]], frames=2
    )  # fmt: skip
    agent = make_agent(str(path))
    env = gym.make("Plain-v0")
    agent.reset(1, env)
    assert actions(agent, [(1, 0), (2, 0), (2, 0), (5, 0)]) == [0, 1, 0, 1]
    agent.reset(2, env)
    assert actions(agent, [(9, 0)]) == [0]


def test_memories_of_many_episodes_are_their_own():
    memory = Memory(2, 2, (1,))
    memory.begin(slice(None), np.array([[1], [10]], np.float32))
    memory.add(np.array([[2], [20]], np.float32))
    memory.begin([1], np.array([[30]], np.float32))
    assert memory.seen().tolist() == [[1, 2], [30, 30]]


def test_rows_are_scored_one_by_one_and_masked(tmp_path):
    network = Network([np.array([[1, -1]], np.float32)], [np.zeros(1, np.float32)], "tanh", True)
    seen = np.array([[[3, 0], [5, 1], [9, 9]]], np.float32)
    assert network.scores(seen).tolist() == [[3, 4, 0]]
    masks = np.array([[True, False, True]])
    assert best(network.scores(seen), (3,), masks).tolist() == [[0]]
    assert best(np.array([[1, 2, 0, 3, 1]], np.float32), (2, 3)).tolist() == [[1, 1]]


def test_a_policy_of_rows_takes_any_number_of_them(tmp_path):
    class Rows(gym.Env):
        spec = gym.spec("Plain-v0")

        def __init__(self, shape):
            self.observation_space = spaces.Box(0, 9, shape, np.float32)
            self.action_space = spaces.Discrete(shape[0])

    trained = {"observation_shape": (2, 2), "actions": (2,), "rows": True}
    agent = make_agent(str(written(tmp_path / "model.zip", [[1, -1]], **trained)))
    for rows in (3, 5):
        agent.reset(1, Rows((rows, 2)))
        seen = np.zeros((rows, 2))
        seen[rows - 1] = 9, 0
        assert actions(agent, [seen]) == [rows - 1]
    with pytest.raises(UsageError, match=r"observations of shape \(2, 2\)"):
        agent.reset(1, Rows((3, 3)))


def test_a_mask_comes_from_the_info(tmp_path):
    path = written(tmp_path / "model.zip", [[1, 0], [0, 1], [-1, -1]], masked=True)
    agent = make_agent(str(path))
    agent.reset(1, gym.make("Plain-v0"))
    assert actions(agent, [(1, 0)], {"action_mask": np.array([0, 1, 1], np.int8)}) == [1]


def test_a_model_of_another_environment_is_refused(tmp_path):
    agent = make_agent(str(written(tmp_path / "model.zip", [[1, 0]] * 3, environment="Other-v0")))
    with pytest.raises(UsageError, match=r"is for Other-v0, and this is Plain-v0"):
        agent.reset(1, gym.make("Plain-v0"))


@pytest.mark.parametrize("changes", [{"observation_shape": (3,)}, {"actions": (9,)}])
def test_a_model_for_other_spaces_is_refused(tmp_path, changes):
    agent = make_agent(str(written(tmp_path / "model.zip", [[1, 0]] * 3, **changes)))
    with pytest.raises(UsageError, match=r"this environment gives \(2,\) and has 3"):
        agent.reset(1, gym.make("Plain-v0"))


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match="There is no model"):
        make_agent(str(tmp_path / "missing.zip"))
    text = tmp_path / "text.zip"
    text.write_text("hello")
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("data", "{}")
    for path in (text, other):
        with pytest.raises(UsageError, match=r"is no model of infra-gym's"):
            make_agent(str(path))


def test_no_pickle_is_ever_loaded(tmp_path):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(DOCUMENT, json.dumps(document().model_dump(mode="json")))
        with archive.open(ARRAYS, "w") as file:
            np.savez(file, weights0=np.array([{"a": "pickle"}], dtype=object))
    with pytest.raises(UsageError, match="allow_pickle=False"):
        read(path)


def test_parameters_are_refused(tmp_path):
    path = written(tmp_path / "model.zip", [[1, 0]] * 3)
    with pytest.raises(UsageError, match="takes no parameters"):
        make_agent(str(path), target=0.5)


def test_only_whole_numbers_from_zero_are_actions():
    assert action_sizes(spaces.Discrete(3)) == (3,)
    assert action_sizes(spaces.MultiDiscrete([2, 3])) == (2, 3)
    assert action_sizes(spaces.Discrete(3, start=1)) is None
    assert action_sizes(spaces.Box(0, 1, (1,))) is None
