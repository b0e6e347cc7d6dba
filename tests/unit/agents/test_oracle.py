"""The oracle plans with the simulator itself, and leaves the environment as it was."""

from __future__ import annotations

import gymnasium as gym
import pytest

from infra_gym.agents import make_agent
from infra_gym.definitions.catalog import find_definition
from infra_gym.environments.make import make
from infra_gym.errors import UsageError

CROWD = {"profile": "flash_crowd", "mean_rps": 60, "period_s": 900, "peak": 6, "stay_s": 200}
STEPS = 20


@pytest.fixture
def env(tmp_path):
    """Episodes of twenty steps: a plan of two hundred takes a second."""
    written = find_definition("SimpleK8sWebApp-v0").model_dump_json(exclude_none=True)
    path = tmp_path / "Short-v0.yaml"  # JSON is YAML
    path.write_text(
        written.replace("SimpleK8sWebApp-v0", "Short-v0").replace(
            '"max_episode_steps":200', f'"max_episode_steps":{STEPS}'
        ),
        encoding="utf-8",
    )
    return make(str(path), target="sim", workload=CROWD)


def played(agent, env, seed=3):
    observation, info = env.reset(seed=seed)
    agent.reset(seed, env)
    total = 0.0
    for _ in range(STEPS):
        observation, reward, _, _, info = env.step(agent.act(observation, info))
        total += reward
    return total


def test_no_rule_comes_near(env):
    rules = [make_agent("hpa"), make_agent("threshold")]
    rules += [make_agent("fixed", replicas=replicas) for replicas in range(2, 11)]
    assert played(make_agent("oracle"), env) > max(played(rule, env) for rule in rules)


def test_planning_changes_nothing(env):
    env.reset(seed=3)
    make_agent("oracle").reset(3, env)
    after_planning = [env.step(1) for _ in range(3)]
    env.reset(seed=3)
    without = [env.step(1) for _ in range(3)]
    assert [step[1] for step in after_planning] == [step[1] for step in without]
    assert [step[0].tolist() for step in after_planning] == [step[0].tolist() for step in without]


def test_the_plan_is_what_happens(env):
    """The sum that the plan promises is the sum that the environment pays."""
    from infra_gym.agents.lever import Lever
    from infra_gym.agents.oracle import plan

    env.reset(seed=3)
    promised = plan(env, env.world, Lever(env, "oracle"), STEPS)
    assert played(make_agent("oracle"), env) == pytest.approx(promised.reward)
    assert len(promised.actions) == STEPS


@pytest.mark.parametrize("identifier", ["own file", "SimpleK8sWebApp-v0"])
def test_no_step_is_planned_that_is_not_played(env, identifier):
    """An episode that is cut off earlier has no later: who boots a replica for it wastes it."""
    if identifier != "own file":
        env = gym.make(identifier, target="sim", workload=CROWD, max_episode_steps=3)
    env.reset(seed=3)
    agent = make_agent("oracle")
    agent.reset(3, gym.wrappers.TimeLimit(env, 3) if identifier == "own file" else env)
    for _ in range(3):
        assert agent.act(None, {}) in (0, 1, 2)
    with pytest.raises(StopIteration):
        agent.act(None, {})


@pytest.mark.parametrize("arguments", [{"target": "local"}, {"target": "sim", "fidelity": "fluid"}])
def test_elsewhere_the_future_is_not_known(arguments):
    env = gym.make("SimpleK8sWebApp-v0", **arguments)
    with pytest.raises(UsageError, match="knows the future"):
        make_agent("oracle").reset(1, env)
