"""The agents in a small fake environment."""

from __future__ import annotations

from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest

from infra_gym.agents import agent_names, make_agent
from infra_gym.definitions.models import Control
from infra_gym.errors import UnknownNameError, UsageError
from infra_gym.simulators.webapp import WebApp
from infra_gym.task.controls import Controls

PER_REPLICA = ("replica_utilisation", "replica_ready", "replica_started")


class FakeEnv(gym.Env):
    """One control ``replicas`` from 2 to 10, and whatever infos a test wants."""

    def __init__(self, mode="absolute", metrics=PER_REPLICA, names=("replicas",)):
        control = {"layer": "heater", "input": "replicas", "low": 2, "high": 10, "initial": 2}
        action = {"delta": [-1, 0, 1]}
        controls = {name: Control.model_validate(control | {"action": action}) for name in names}
        self.definition = SimpleNamespace(controls=controls, metrics=dict.fromkeys(metrics))
        self.task = SimpleNamespace(controls=Controls(controls, mode))
        self.action_space = self.task.controls.space

    def after(self, action, replicas):
        return self.task.controls.move(action, {"replicas": replicas}).controls["replicas"]


def begun(name, mode="absolute", **parameters):
    env = FakeEnv(mode)
    if name == "hpa":
        parameters = {"target": 0.6} | parameters
    agent = make_agent(name, **parameters)
    agent.reset(1, env)

    def act(info):
        return env.after(agent.act(np.zeros(1), info), info["controls"]["replicas"])

    return act


def info(time_s, replicas, utilisation, *, ready=None, started=None, measured=None):
    """``utilisation``: one number for all, or a number per replica; ``None``: no metric."""
    names = [f"r{number}" for number in range(replicas if started is None else len(started))]
    values = utilisation if isinstance(utilisation, list) else [utilisation] * len(names)
    return {
        "time_s": time_s,
        "controls": {"replicas": replicas},
        "metrics": {"utilisation": utilisation},
        "by_label": {
            "replica_utilisation": {
                name: value for name, value in zip(names, values, strict=False) if value is not None
            },
            "replica_ready": dict(zip(names, ready or [1.0] * len(names), strict=True)),
            "replica_started": dict(zip(names, started or [100.0] * len(names), strict=True)),
        },
    }


def warmed_up(act, replicas, utilisation=0.6):
    """Ten turns at the target: old pods, and windows full of one recommendation."""
    for turn in range(10):
        assert act(info(turn * 60.0, replicas, utilisation)) == replicas
    return 600.0


def test_names_are_known_and_others_get_a_suggestion():
    assert {"batch", "fixed", "hpa", "oracle", "predictive", "threshold"} < {*agent_names()}
    for name in ("fixed", "hpa", "random", "threshold"):
        make_agent(name).reset(0, FakeEnv())
    with pytest.raises(UnknownNameError, match="Did you mean 'threshold'"):
        make_agent("treshold")


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("hpa", {"traget": 0.5}, "no parameter 'traget'.*Did you mean 'target'"),
        ("random", {"target": 0.5}, "no parameter 'target'. It takes none"),
        ("hpa", {"target": "much"}, "target='much'.*valid number"),
        ("hpa", {"target": 0.0}, "target from 0.01 to 10"),
        ("hpa", {"target": float("nan")}, "target from 0.01 to 10"),
        ("hpa", {"down_window_s": -1}, "from 0"),
        ("hpa", {"tolerance": float("inf")}, "from 0"),
        ("threshold", {"low": 0.7, "high": 0.7}, "low < high"),
        ("fixed", {"replicas": 2.5}, "replicas=2.5.*integer"),
    ],
)
def test_wrong_parameters_are_refused(name, parameters, message):
    with pytest.raises(UsageError, match=message):
        make_agent(name, **parameters)


def test_parameters_may_be_text():
    act = begun("fixed", replicas="7")
    assert act(info(0.0, 2, 0.5)) == 7


@pytest.mark.parametrize("name", ["fixed", "hpa", "threshold"])
def test_agents_of_one_control_refuse_other_environments(name):
    for env in (gym.make("CartPole-v1"), FakeEnv(names=("replicas", "nodes"))):
        with pytest.raises(UsageError, match=f"agent '{name}' needs .* exactly one control"):
            make_agent(name).reset(0, env)


def test_random_takes_any_environment_and_its_own_seed():
    env = gym.make("CartPole-v1")
    env.action_space.seed(5)
    agent = make_agent("random")
    runs = []
    for seed in (1, 1, 2):
        agent.reset(seed, env)
        runs.append([int(agent.act(None, {})) for _ in range(20)])
    assert runs[0] == runs[1] != runs[2]
    untouched = gym.make("CartPole-v1").action_space
    untouched.seed(5)
    assert env.action_space.sample() == untouched.sample()


def test_fixed_goes_there_and_stays():
    act = begun("fixed", mode="delta", replicas=4)
    assert [act(info(0.0, replicas, 0.5)) for replicas in (2, 3, 4, 5)] == [3, 4, 4, 4]
    assert begun("fixed")(info(0.0, 5, 0.5)) == 2  # what the environment starts with
    with pytest.raises(UsageError, match="2 to 10"):
        make_agent("fixed", replicas=11).reset(0, FakeEnv())


@pytest.mark.parametrize("mode", ["delta", "absolute"])
def test_threshold_goes_one_at_a_time(mode):
    act = begun("threshold", mode=mode)
    assert [act(info(0.0, 5, use)) for use in (0.9, 0.65, 0.5, 0.4, 0.1)] == [6, 5, 5, 5, 4]
    assert act(info(0.0, 10, 0.9)) == 10
    assert act(info(0.0, 2, 0.1)) == 2


def test_threshold_names_a_metric_that_is_not_there():
    with pytest.raises(UnknownNameError, match="Did you mean 'utilisation'"):
        begun("threshold", metric="utilization")(info(0.0, 2, 0.5))


def test_hpa_sets_what_it_wants_or_moves_one_towards_it():
    for mode, expected in (("absolute", 6), ("delta", 4)):
        act = begun("hpa", mode=mode)
        now_s = warmed_up(act, 3)
        assert act(info(now_s, 3, 1.1)) == expected  # ceil(110/60 * 3) = 6


def test_hpa_keeps_within_the_tolerance():
    act = begun("hpa")
    now_s = warmed_up(act, 5)
    assert act(info(now_s, 5, 0.66)) == 5
    assert act(info(now_s + 60, 5, 0.67)) == 6


def test_hpa_adds_at_most_four_or_twice_as_many():
    act = begun("hpa")
    now_s = warmed_up(act, 2)
    assert act(info(now_s, 2, 3.0)) == 6


def test_hpa_remembers_what_it_added_within_a_policy_s_period():
    act = begun("hpa")
    now_s = warmed_up(act, 2)
    assert act(info(now_s, 2, 3.0)) == 6
    assert act(info(now_s + 5, 6, 3.0)) == 6
    assert act(info(now_s + 15, 6, 3.0)) == 10


def test_hpa_waits_five_modelled_minutes_before_it_removes():
    act = begun("hpa")
    now_s = warmed_up(act, 6)
    turns = [act(info(now_s + turn * 60, 6, 0.2)) for turn in range(5)]
    assert turns == [6, 6, 6, 6, 2]  # the last turn at 6 was 60 s before these


def test_hpa_windows_can_be_set():
    act = begun("hpa", down_window_s=0)
    now_s = warmed_up(act, 6)
    assert act(info(now_s, 6, 0.2)) == 2


def test_hpa_cannot_tell_without_metrics_and_keeps():
    act = begun("hpa")
    bare = {"time_s": 0.0, "controls": {"replicas": 4}, "by_label": {}, "metrics": {}}
    assert act(bare) == 4
    assert act(info(60.0, 4, None)) == 4


def test_hpa_counts_starting_replicas_as_idle_on_the_way_up():
    act = begun("hpa")
    now_s = warmed_up(act, 3)
    # Three hot replicas want seven; with three on their way (one started, two pending): 65 %.
    hot = info(now_s, 6, [1.3, 1.3, 1.3, 0.0], ready=[1, 1, 1, 0], started=[100.0] * 3 + [700.0])
    assert act(hot) == 6


def test_hpa_trusts_a_new_replica_after_a_whole_window():
    act = begun("hpa")
    now_s = warmed_up(act, 3)
    started = [100.0, 100.0, 100.0, 700.0]
    act(info(now_s, 4, [0.6, 0.6, 0.6, 0.1], ready=[1, 1, 1, 0], started=started))
    # Ready since this turn: it counts as idle on the way up, 53 % of four.
    assert act(info(now_s + 60, 4, 0.7, started=started)) == 4
    # One turn later its own use counts, 70 % of four.
    assert act(info(now_s + 120, 4, 0.7, started=started)) == 5


def test_hpa_sees_a_restart_as_a_new_replica():
    act = begun("hpa")
    now_s = warmed_up(act, 3)
    # The third crashed and is back: ignored at first, and idle on the way up: 1.8 / 3 = 60 %.
    assert act(info(now_s, 3, [0.9, 0.9, 0.9], started=[100.0, 100.0, 700.0])) == 3


def test_hpa_takes_a_missing_metric_cautiously():
    act = begun("hpa", down_window_s=0)
    now_s = warmed_up(act, 4)
    # Down: 20 % of 3 would want 1, but the missing one counts 100 %: 40 % of 4 -> ceil(2.67) = 3.
    assert act(info(now_s, 4, [0.2, 0.2, 0.2, None])) == 3


def test_hpa_ignores_a_replica_that_drains():
    act = begun("hpa")
    now_s = warmed_up(act, 4)
    draining = info(now_s, 3, [0.8, 0.8, 0.8, 0.0], ready=[1, 1, 1, 0], started=[100.0] * 4)
    assert act(draining) == 4  # 80 % of three; of four it would be 60 %


def test_hpa_names_the_metrics_that_it_misses():
    with pytest.raises(UsageError, match="replica_ready, replica_started is missing"):
        make_agent("hpa").reset(0, FakeEnv(metrics=["replica_utilisation"]))


def test_hpa_forgets_the_episode_before():
    agent = make_agent("hpa")
    env = FakeEnv()
    for _ in range(2):
        agent.reset(0, env)
        for turn in range(3):
            action = agent.act(None, info(turn * 60.0, 2, 0.2))
            assert env.after(action, 2) == 2


def test_hpa_s_default_target_leaves_room_for_the_tolerance_and_a_turn_of_growth():
    """The reasoning of the module: 0.5 x 1.1 x 1.25 busy, and still 99 % within 0.25 s."""
    utilisation = 0.5 * 1.1 * 1.25
    rate = utilisation * 4 / 0.1
    seconds = 60_000 / rate
    arrivals = np.sort(np.random.default_rng(1).uniform(0, seconds, 60_000))
    counts = WebApp(arrivals, replicas=1).advance(seconds, 1)
    assert counts.within(0.25) / sum(counts.requests.values()) >= 0.99


def test_hpa_keeps_the_twin_within_its_objective():
    """A jump of load in the simulator, four times as fast: up at once, down after five minutes."""
    rng = np.random.default_rng(0)
    edges = np.concatenate([rng.uniform(0, 600, 600 * 50), rng.uniform(200, 400, 200 * 110)])
    twin = WebApp(np.sort(edges), replicas=2, seed=1)
    act = begun("hpa", target=0.5)
    replicas, path, within, ended = 2, [], [], []
    for turn in range(1, 41):
        counts = twin.advance(turn * 15.0, replicas)
        names = list(counts.ready)
        replicas = act(
            {
                "time_s": turn * 60.0,
                "controls": {"replicas": replicas},
                "metrics": {},
                "by_label": {
                    "replica_utilisation": {name: counts.busy_s[name] / 15 for name in names},
                    "replica_ready": {name: float(ok) for name, ok in counts.ready.items()},
                    "replica_started": counts.started_s,
                },
            }
        )
        path.append(replicas)
        within.append(counts.within(0.25))
        ended.append(sum(counts.requests.values()))
    assert set(path[8:12]) <= {2, 3}
    assert set(path[18:26]) <= {8, 9, 10}
    assert set(path[36:]) <= {2, 3, 4}
    assert sum(within[18:26]) / sum(ended[18:26]) > 0.99
