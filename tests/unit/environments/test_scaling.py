"""Scaling-v0 against a model written from the description of gym-scaling alone."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
import random

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import infra_gym  # noqa: F401 - registers the environment
from infra_gym.environments.scaling import ScalingEnv
from infra_gym.errors import (
    ActionError,
    InfraGymError,
    NotReadyError,
    SettingsError,
    UnknownNameError,
    UsageError,
)


def model(influx, actions, *, changes=(-1, 0, 1), rate=1, most=100.0, least=2.0, each=87):
    """Observation, reward and end of the reset (reward 0) and of each step, in plain Python.

    ``influx`` is f(k). Integers stay integers, as in the original.
    """
    n, queue, load, pending = int(most / 2), 0.0, 0, 0
    capacity, now = n * each, influx(0)
    yield [n / most, load / 100, capacity, now, queue], 0.0, False
    for k, action in enumerate(actions, start=1):
        if k % rate == 0:
            now = influx(k)
        total, capacity = now + queue, n * each
        processed = min(total, capacity)
        load = math.ceil(float(processed) / float(capacity) * 100)
        queue = total - processed
        penalty = 0.0
        if most >= n + pending >= least:
            n += pending
        else:
            penalty = -0.1
        pending = changes[action]
        reward = -1 * (1 - load / 100) * (n / most)
        reward += penalty
        reward -= queue / (1 + queue)
        done = queue > 10 * (most / 2 * each)
        yield [n / most, load / 100, capacity, now, queue], reward, done


def run(taken, **options):
    env = gym.make("Scaling-v0", **options)
    observation, _ = env.reset(seed=1)
    yield observation.tolist(), 0.0, False
    for action in taken:
        observation, reward, terminated, truncated, _ = env.step(action)
        assert observation.dtype == np.float64
        assert not truncated
        yield observation.tolist(), reward, terminated


def holding(values):
    return lambda k: values[min(k, len(values) - 1)]


def sine(k):
    return math.ceil((np.sin(float(k) * 0.01) + 1) * 4350 / 2)


messages = st.one_of(st.integers(0, 20_000), st.floats(0, 20_000))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_it_equals_the_model_to_the_last_digit(data):
    values = data.draw(st.lists(messages, min_size=1, max_size=40))
    changes = tuple(data.draw(st.lists(st.integers(-9, 9), min_size=1, max_size=6)))
    actions = data.draw(st.lists(st.integers(0, len(changes) - 1), max_size=60))
    most = data.draw(st.one_of(st.integers(2, 150), st.floats(2, 150)))
    least = data.draw(st.floats(0.5, min(most, 60)))
    each = data.draw(st.one_of(st.integers(1, 200), st.floats(0.1, 200)))
    rate = data.draw(st.sampled_from([1, 2, 7, 100]))
    options = {"max_instances": most, "min_instances": least, "capacity_per_instance": each}
    expected = model(
        holding(values), actions, changes=changes, rate=rate, most=most, least=least, each=each
    )
    got = run(actions, influx=values, actions=changes, change_rate=rate, **options)
    assert list(got) == list(expected)


@pytest.mark.parametrize("rate", [1, 100, 10_000])
def test_the_sine_equals_the_model(rate):
    actions = np.random.default_rng(rate).integers(0, 3, 3000).tolist()
    expected = model(sine, actions, rate=rate)
    assert list(run(actions, influx="sine", change_rate=rate)) == list(expected)


def levels() -> list[int]:
    """What the original's RANDOM drew with Python's seed 10, each 100 steps long."""
    rng = random.Random(10)
    return np.repeat([rng.randint(500, 4350) for _ in range(11)], 100).tolist()


def track(instances: float, backlog: float) -> int:
    need = backlog / 87
    return 2 if instances < need + 2 else 0 if instances > need + 3 else 1


POLICIES = {
    "no-op": lambda _: 1,
    "threshold": lambda o: 2 if o[1] >= 0.8 else 0 if o[1] < 0.6 else 1,
    "queue": lambda o: 2 if o[1] >= 0.95 or o[4] > 0 else 0 if o[1] < 0.9 else 1,
    "track": lambda o: track(100 * o[0], o[3] + o[4]),
}


@pytest.mark.parametrize(
    ("policy", "on_sine", "on_random"),
    [
        ("no-op", -0.2016, -0.2484),
        ("threshold", -0.1404, -0.1915),
        ("queue", -0.1231, -0.2504),
        ("track", -0.0257, -0.1587),
    ],
)
def test_simple_rules_score_as_on_the_original(policy, on_sine, on_random):
    """Mean rewards of 1000 steps that were measured on gym-scaling itself."""
    for influx, rate, expected in (("sine", 1, on_sine), (levels(), 100, on_random)):
        env = gym.make("Scaling-v0", influx=influx, change_rate=rate, max_episode_steps=1000)
        observation, _ = env.reset()
        rewards, truncated = [], False
        while not truncated:
            observation, reward, _, truncated, _ = env.step(POLICIES[policy](observation))
            rewards.append(reward)
        assert len(rewards) == 1000
        assert np.mean(rewards) == pytest.approx(expected, abs=5e-5)


def influx_of(env, steps, **reset):
    observation, _ = env.reset(**reset)
    return [observation[3], *(env.step(1)[0][3] for _ in range(steps))]


def test_a_random_influx_is_the_seeds():
    env = gym.make("Scaling-v0", change_rate=1)
    first = influx_of(env, 300, seed=4)
    assert influx_of(env, 300) != first
    assert influx_of(env, 300, seed=4) == first
    assert influx_of(env, 300, seed=5) != first
    assert min(first) >= 500
    assert max(first) <= 4350
    assert len(set(first)) > 250
    slow = influx_of(gym.make("Scaling-v0", change_rate=100), 300, seed=4)
    assert slow == [first[k // 100 * 100] for k in range(301)]


def test_the_default_change_rate_all_but_freezes_the_influx():
    values = influx_of(gym.make("Scaling-v0", influx="sine"), 10_000)
    assert values == [2175.0] * 10_000 + [sine(10_000)]


def test_the_last_value_of_a_sequence_holds():
    env = gym.make("Scaling-v0", influx=[1, 2, 3, 4], change_rate=3)
    assert influx_of(env, 8) == [1, 1, 1, 4, 4, 4, 4, 4, 4]
    env = gym.make("Scaling-v0", influx=(5,), change_rate=1)
    assert influx_of(env, 3) == [5, 5, 5, 5]


def test_a_sequence_is_copied():
    values = np.array([1.0, 2.0])
    env = gym.make("Scaling-v0", influx=values, change_rate=1)
    values[:] = 9
    assert influx_of(env, 1) == [1, 2]


@pytest.mark.parametrize("name", ["constant", "daily", "ramp", "bursty", "flash_crowd"])
def test_load_profiles(name):
    """A mean of half of the sine's height, whole messages, as far as an episode goes."""
    env = gym.make("Scaling-v0", influx=name, change_rate=1)
    values = influx_of(env, 4000, seed=2)
    assert np.mean(values[:2880]) == pytest.approx(2175, rel=0.7)
    assert all(value == round(value) >= 0 for value in values)
    again = gym.make("Scaling-v0", influx=name, change_rate=7)
    assert influx_of(again, 4000, seed=2) == [values[k // 7 * 7] for k in range(4001)]
    other = influx_of(env, 4000, seed=3)
    assert (other == values) == (name not in ("bursty", "flash_crowd"))
    if name == "constant":
        assert set(values) == {2175}
    if name == "daily":
        assert values[288:576] == values[:288]


@pytest.mark.parametrize("header", ["timestamp,value", "seconds,rps", "note,timestamp,value"])
def test_a_trace_is_read_row_by_row(tmp_path, header):
    path = tmp_path / "trace.csv"
    first = "x," if header.startswith("note") else ""
    path.write_text(f"{header}\n{first}0,100\n{first}60,250.5\n{first}300,0\n")
    for trace in (path, str(path)):
        env = gym.make("Scaling-v0", influx="trace", trace=trace, change_rate=1)
        assert influx_of(env, 4) == [100, 250.5, 0, 0, 0]


def test_a_bad_trace_names_the_line(tmp_path):
    path = tmp_path / "trace.csv"
    with pytest.raises(UsageError, match=r"trace\.csv"):
        gym.make("Scaling-v0", influx="trace", trace=path)
    path.write_text("timestamp,value\n0,1\n1,-2\n")
    with pytest.raises(UsageError, match=r"trace\.csv:3"):
        gym.make("Scaling-v0", influx="trace", trace=path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"influx": []}, "at least one number"),
        ({"influx": [1, -2]}, r"influx\[1\] must be at least 0, finite.*not -2"),
        ({"influx": [1, 2, math.nan]}, r"influx\[2\].*not nan"),
        ({"influx": [math.inf]}, r"influx\[0\].*not inf"),
        ({"influx": [[1, 2]]}, r"shape \(1, 2\)"),
        ({"influx": 7}, r"shape \(\)"),
        ({"influx": None}, r"shape \(\)"),
        ({"influx": ["a"]}, "could not convert"),
        ({"influx": {1, 2}}, "sequence of numbers"),
        ({"influx": "trace"}, "needs both"),
        ({"influx": "staircase"}, "no levels of its own"),
        ({"trace": "x.csv"}, "needs both"),
        ({"influx": "sine", "trace": "x.csv"}, "needs both"),
        ({"actions": ()}, "at least one change"),
        ({"actions": (0.5,)}, "whole numbers"),
        ({"actions": 3}, "whole numbers"),
        ({"actions": (2**60,)}, "can be counted"),
        ({"max_instances": 10}, "lower offset"),
        ({"change_rate": 0}, "change_rate must be a whole number above 0, not 0"),
        ({"cost_per_instance_per_hour": -1}, "cost_per_instance_per_hour"),
        ({"render_mode": "ansi"}, "rgb_array"),
    ],
)
def test_what_cannot_be_is_refused(options, words):
    with pytest.raises(SettingsError, match=words):
        ScalingEnv(**options)


def test_an_unknown_influx_names_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'flash_crowd'"):
        gym.make("Scaling-v0", influx="flash-crowd")


@pytest.mark.parametrize(
    "action",
    [-1, 3, 10**30, 0.5, 1.0, math.nan, None, "1", [1], [0, 0, 0], np.array([1]), slice(1)],
)
def test_a_wrong_action_is_refused_and_nothing_moves(action):
    env = ScalingEnv(influx=[5, 6, 7], change_rate=1)
    env.reset()
    with pytest.raises(ActionError, match="from 0 to 2"):
        env.step(action)
    assert env.step(1)[0][3] == 6


@pytest.mark.parametrize("action", [2, np.int64(2), np.uint8(2), np.array(2)])
def test_every_kind_of_whole_number_is_an_action(action):
    env = ScalingEnv(influx=[0])
    env.reset()
    env.step(action)
    assert env.step(1)[0][0] == 0.51


def test_a_reset_comes_first():
    env = ScalingEnv(render_mode="rgb_array")
    for call in (lambda: env.step(1), env.render):
        with pytest.raises(NotReadyError) as caught:
            call()
        assert isinstance(caught.value, InfraGymError)
        assert "env.reset()" in str(caught.value)


def test_observations_are_the_callers():
    env = ScalingEnv(influx="sine", change_rate=1)
    first, _ = env.reset()
    kept = first.copy()
    second = env.step(1)[0]
    second[:] = -1
    assert np.array_equal(first, kept)
    assert env.step(1)[0][4] == 0


def test_the_cost_is_that_of_the_instances_that_worked():
    env = ScalingEnv(influx=[0])
    _, info = env.reset()
    assert info == {"cost_usd": 0.0}
    costs = [env.step(action)[4]["cost_usd"] for action in (2, 1, 1)]
    assert costs == pytest.approx([50 * 0.016, 50 * 0.016, 51 * 0.016])
    env = ScalingEnv(influx=[0], cost_per_instance_per_hour=12)
    env.reset()
    assert env.step(1)[4] == {"cost_usd": 50.0}


def test_it_goes_on_after_the_end_as_the_original_does():
    actions = [1] * 30
    got = list(run(actions, influx=[20_000], change_rate=1))
    assert got == list(model(holding([20_000]), actions))
    assert [done for *_, done in got].count(True) > 20


@pytest.mark.parametrize("influx", ["random", "sine", "bursty", [1, 2, 3]])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_its_own_way(influx, copied):
    env = ScalingEnv(influx=influx, change_rate=1)
    env.reset(seed=1)
    env.step(2)
    other = copied(env)
    there = [other.step(0)[0].tolist() for _ in range(300)]
    here = [env.step(0)[0].tolist() for _ in range(300)]
    assert here == there
    assert here[0] != here[-1]


def colours(picture: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in picture.reshape(-1, 3).tolist()}


def test_the_picture_shows_four_curves():
    env = gym.make("Scaling-v0", influx="sine", change_rate=1, render_mode="rgb_array")
    env.reset()
    first = env.render()
    for action in itertools.islice(itertools.cycle((0, 1, 2, 2)), 400):
        env.step(action)
    last = env.render()
    assert first.shape == last.shape == (400, 640, 3)
    assert last.dtype == np.uint8
    curves = {(31, 35, 40), (207, 34, 46), (26, 127, 55), (31, 111, 235)}
    assert curves <= colours(last)
    assert not np.array_equal(first, last)


def test_a_terminal_shows_it_as_it_goes(capsys):
    env = gym.make("Scaling-v0", influx=[0, 100], change_rate=1, render_mode="human")
    env.reset()
    assert "influx 0 (upper edge 1)" in capsys.readouterr().out
    env.step(1)
    shown = capsys.readouterr().out
    assert "influx 100 (upper edge 100)" in shown
    assert "instances 50 (upper edge 50)" in shown
    assert "load 3 %" in shown
    assert shown.count("▀") == 80 * 20
    assert env.render() is None
