"""The probe: known beforehand, and what it does in an environment."""

from __future__ import annotations

import pytest

from infra_gym.definitions.catalog import find_definition
from infra_gym.environments.make import make
from infra_gym.errors import UsageError
from infra_gym.evaluation.probe import CLIMB, LOADS, STEPS, OpenLoop, plan_probe
from infra_gym.workloads import parse_workload

ID = "SimpleK8sWebApp-v0"
DEFINITION = find_definition(ID)


def plan(steps=STEPS, definition=DEFINITION):
    return plan_probe(definition, interval_s=5, time_scale=12, steps=steps)


def test_each_level_of_load_meets_the_whole_climb_of_replicas():
    probe = plan()
    assert probe.replicas[: len(CLIMB)] == tuple(2 + more for more in CLIMB)
    assert probe.replicas == probe.replicas[: len(CLIMB)] * len(LOADS)
    load = parse_workload(probe.workload)
    assert load.levels_rps == tuple(60 * level for level in LOADS)
    assert load.hold_s == len(CLIMB) * 5 * 12


def test_it_says_how_long_it_takes():
    assert plan().seconds == 60 * 5 + 10


@pytest.mark.parametrize("steps", [10, 37, 120, 200])
def test_the_staircase_is_stretched_over_the_steps(steps):
    probe = plan(steps)
    assert len(probe.replicas) == steps
    assert set(probe.replicas) <= {2, 3, 4, 6}
    assert parse_workload(probe.workload).hold_s * len(LOADS) == pytest.approx(steps * 5 * 12)
    if steps >= STEPS:
        assert set(probe.replicas) == {2, 3, 4, 6}


def test_replicas_stay_within_their_bounds():
    control = DEFINITION.controls["replicas"].model_copy(update={"high": 4})
    narrow = DEFINITION.model_copy(update={"controls": {"replicas": control}})
    assert max(plan(definition=narrow).replicas) == 4


@pytest.mark.parametrize("steps", [9, 201])
def test_too_few_or_many_steps_are_refused(steps):
    with pytest.raises(UsageError, match=f"10 to 200 steps, not {steps}") as caught:
        plan(steps)
    assert caught.value.next_command == "--steps 60"


def test_an_environment_without_a_simulator_cannot_be_probed():
    with pytest.raises(UsageError, match="cannot be probed: only the simulator webapp"):
        plan(definition=DEFINITION.model_copy(update={"simulator": None}))


def test_a_load_without_a_mean_cannot_be_probed():
    load = parse_workload({"profile": "staircase", "levels_rps": [10, 20]})
    with pytest.raises(UsageError, match="does not say its mean_rps"):
        plan(definition=DEFINITION.model_copy(update={"workload": load}))


def test_the_agent_does_what_was_planned_and_then_stays():
    env = make(ID, target="sim", action="absolute")
    agent = OpenLoop((4, 2, 6))
    observation, info = env.reset(seed=1)
    agent.reset(1, env)
    done = []
    for _ in range(5):
        observation, *_, info = env.step(agent.act(observation, info))
        done.append(info["controls"]["replicas"])
    assert done == [4, 2, 6, 6, 6]
    env.close()
