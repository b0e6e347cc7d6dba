"""The same cells in two places: by one clock, with the same arrivals."""

from __future__ import annotations

import pytest

from infra_gym.environments.make import make
from infra_gym.errors import SettingsError, UnknownNameError, UsageError
from infra_gym.evaluation.results import Entrant, Episodes, Load, Member, Results
from infra_gym.evaluation.scores import score
from infra_gym.evaluation.transfer import transfer

ID = "SimpleK8sWebApp-v0"


def results(rewards, *, steps=3, again=False):
    """A benchmark on two seeds; ``rewards`` of each agent."""
    agents = {name: Entrant(members=(Member(name=name),)) for name in rewards}
    if again:
        agents["hpa again"] = Entrant(members=(Member(name="hpa"),), repeats="hpa")
        rewards = rewards | {"hpa again": rewards["hpa"]}
    episodes = [
        Episodes(
            workload="daily",
            agent=name,
            member=0,
            steps=(steps, steps),
            reward=values,
            cost_usd=(1.0, 2.0),
            requests=(10.0, 10.0),
            slo_share=(1.0, 1.0),
        )
        for name, values in rewards.items()
    ]
    return Results(
        id=ID,
        target="sim",
        action=None,
        steps=steps,
        definition_sha256="",
        reward_unit="USD",
        split="held_out",
        seeds=(1, 2),
        workloads={"daily": Load(parameters={}, schedules=("a", "b"))},
        agents=agents,
        episodes=tuple(episodes),
        **dict(score(episodes, agents, ["daily"])),
        versions={},
        machine={},
        began_at="",
        seconds=0.0,
    )


def test_cells_are_ranked_in_both_places_and_repeats_left_out():
    live = results({"hpa": (-1.0, -2.0), "random": (-5.0, -6.0)}, again=True)
    simulated = results({"random": (-50.0, -70.0), "hpa": (-10.0, -20.0)})
    found = transfer(live, simulated, "daily")
    assert (found.agents, found.cells) == (("hpa", "random"), 4)
    assert found.correlations["reward"].value == pytest.approx(1)
    assert found.correlations["slo_share"] is None
    assert found.means == {"hpa": (-1.5, -15.0), "random": (-5.5, -60.0)}


def test_the_noise_of_a_repeated_agent_is_told():
    ((noise),) = results({"hpa": (-1.0, -2.0), "random": (-5.0, -6.0)}, again=True).noise
    assert (noise.agent, noise.pairs, noise.reward) == ("hpa", 2, 0.0)


def test_cells_that_cannot_be_compared_are_refused():
    one = results({"hpa": (-1.0, -2.0), "random": (-5.0, -6.0)})
    with pytest.raises(UsageError, match="different steps"):
        transfer(one, results({"hpa": (-1.0, -2.0), "random": (-5.0, -6.0)}, steps=4), "daily")
    with pytest.raises(UsageError, match="fewer than two agents"):
        transfer(one, results({"hpa": (-1.0, -2.0)}), "daily")
    with pytest.raises(UnknownNameError, match="trace"):
        transfer(one, one, "trace")


def test_the_simulator_can_go_by_another_target_s_clock():
    env = make(ID, target="sim", clock="local")
    assert (env.place.interval_s, env.place.time_scale) == (5.0, 12.0)
    env.reset(seed=1)
    *_, info = env.step(1)
    assert info["time_s"] == 60.0


@pytest.mark.parametrize(("target", "clock"), [("local", "k8s"), ("sim", "mars")])
def test_other_clocks_are_refused(target, clock):
    with pytest.raises(SettingsError, match="only the target sim can go by"):
        make(ID, target=target, clock=clock)
