"""The batch of Scaling-v0 against single environments in Gymnasium's own vector environment."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

import infra_gym  # noqa: F401 - registers the environment
from infra_gym.environments.scaling import ScalingVectorEnv
from infra_gym.errors import ActionError, EpisodeOverError, NotReadyError, SettingsError

FULL = {"influx": [9000], "change_rate": 1}  # 50 instances end after about ten steps
DRAWN = {"change_rate": 1}
MODES = list(AutoresetMode)


def batch(num_envs, **options):
    return gym.make_vec(
        "Scaling-v0", num_envs=num_envs, vectorization_mode="vector_entry_point", **options
    )


def singles(num_envs, *, autoreset_mode=AutoresetMode.NEXT_STEP, **options):
    return gym.make_vec(
        "Scaling-v0",
        num_envs=num_envs,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": autoreset_mode},
        **options,
    )


def same(one, other) -> None:
    """Equal, to the last digit, whatever it is made of."""
    if one is None or other is None:
        assert one is other
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, tuple) or one.dtype == object:
        for pair in zip(one, other, strict=True):
            same(*pair)
    else:
        assert np.array_equal(one, other), (one, other)
        assert np.asarray(one).dtype == np.asarray(other).dtype


def compare(ours, theirs, steps, *, seed) -> int:
    """Steps both with the same actions; how many episodes ended."""
    rng = np.random.default_rng(0)
    same(ours.reset(seed=seed), theirs.reset(seed=seed))
    ends = 0
    for _ in range(steps):
        actions = rng.integers(0, ours.single_action_space.n, ours.num_envs)
        ours_now = ours.step(actions)
        same(ours_now, theirs.step(actions))
        ended = ours_now[2] | ours_now[3]
        ends += ended.sum()
        if ended.any() and theirs.autoreset_mode == AutoresetMode.DISABLED:
            # Gymnasium takes the mask out of the options that it is given.
            same(
                ours.reset(options={"reset_mask": ended}),
                theirs.reset(options={"reset_mask": ended}),
            )
    return ends


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "options",
    [
        FULL,
        DRAWN | {"max_episode_steps": 17},
        FULL | {"max_episode_steps": 11, "actions": (-30, 0, 20)},
        {"influx": "sine", "change_rate": 2, "max_episode_steps": 40},
        {"influx": "bursty", "change_rate": 1, "max_episode_steps": 30},
        {"influx": "flash_crowd", "change_rate": 3, "max_episode_steps": 70},
        {"influx": "daily", "change_rate": 1, "max_episode_steps": 60},
    ],
)
def test_a_batch_equals_single_environments(mode, options):
    ours = batch(5, autoreset_mode=mode, info=True, **options)
    theirs = singles(5, autoreset_mode=mode, **options)
    assert ours.metadata["autoreset_mode"] == mode
    assert compare(ours, theirs, 90, seed=[3, 1, 4, 1, 5]) > 0


def test_episodes_of_different_lengths_keep_apart():
    """Some end early, and the series of all must grow while others begin again."""
    options = {
        "influx": "bursty",
        "change_rate": 1,
        "capacity_per_instance": 40,
        "actions": (-9, 8),
    }
    ends = compare(batch(6, info=True, **options), singles(6, **options), 900, seed=8)
    assert ends > 3


def test_a_batch_of_one_and_of_many_agree():
    many, rng = batch(50, **DRAWN), np.random.default_rng(2)
    alone = [batch(1, **DRAWN) for _ in range(50)]
    observations, _ = many.reset(seed=100)
    ones = np.concatenate([env.reset(seed=100 + place)[0] for place, env in enumerate(alone)])
    same(observations, ones)
    for _ in range(30):
        actions = rng.integers(0, 3, 50)
        together = many.step(actions)[:4]
        apart = [env.step([action])[:4] for env, action in zip(alone, actions, strict=True)]
        same(together, tuple(np.concatenate(part) for part in zip(*apart, strict=True)))


@settings(max_examples=25, deadline=None)
@given(
    influx=st.lists(st.floats(0, 20_000), min_size=1, max_size=30),
    changes=st.lists(st.integers(-9, 9), min_size=1, max_size=5),
    num_envs=st.integers(1, 5),
    mode=st.sampled_from([AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]),
)
def test_they_agree_on_anything(influx, changes, num_envs, mode):
    options = {"influx": influx, "actions": changes, "change_rate": 1, "max_episode_steps": 23}
    ours = batch(num_envs, autoreset_mode=mode, info=True, **options)
    compare(ours, singles(num_envs, autoreset_mode=mode, **options), 40, seed=1)


def test_infos_come_only_when_asked_for():
    quiet = batch(3, influx=[0])
    assert quiet.reset()[1] == {}
    assert quiet.step([1, 1, 1])[4] == {}
    told = batch(3, influx=[0], info=True)
    same(told.reset()[1], {"cost_usd": np.zeros(3), "_cost_usd": np.ones(3, dtype=bool)})
    assert told.step([1, 1, 1])[4]["cost_usd"].tolist() == [0.8, 0.8, 0.8]
    ending = batch(2, influx=[0], autoreset_mode="SameStep", max_episode_steps=1)
    ending.reset()
    observations, *_, infos = ending.step([2, 2])
    assert infos["final_info"] == {}
    assert [each[2] for each in infos["final_obs"]] == [4350, 4350]
    assert observations[:, 1].tolist() == [0, 0]


def test_every_step_returns_arrays_of_its_own():
    envs = batch(2, influx="sine", change_rate=1, info=True)
    taken = [envs.reset(seed=1)] + [envs.step([2, 0]) for _ in range(3)]
    arrays = [each for step in taken for each in step if isinstance(each, np.ndarray)]
    arrays += [each for step in taken for each in step[-1].values()]
    for place, one in enumerate(arrays):
        assert not any(np.shares_memory(one, other) for other in arrays[place + 1 :])


def test_seeds():
    envs = batch(3, **DRAWN)
    first, _ = envs.reset(seed=5)
    second, _ = envs.reset()
    assert not np.array_equal(first, second)
    same(envs.reset(seed=[5, 6, 7])[0], first)
    same(envs.reset(seed=np.int64(5))[0], first)
    partly, _ = envs.reset(seed=[None, 6, None])
    assert partly[1, 3] == first[1, 3]
    assert partly[0, 3] != first[0, 3]
    with pytest.raises(SettingsError, match="3 environments, but 2 seeds"):
        envs.reset(seed=[1, 2])


@pytest.mark.parametrize(
    "actions",
    [[0, 1], [0, 1, 3], [0, -1, 1], [0.0, 1.0, 2.0], [[0, 1, 2]], None, 1, ["0", "1", "2"]],
)
def test_wrong_actions_are_refused_and_nothing_moves(actions):
    envs = batch(3, influx=[5, 6, 7], change_rate=1)
    envs.reset()
    with pytest.raises(ActionError):
        envs.step(actions)
    assert envs.step(np.array([0, 1, 2], dtype=np.int8))[0][:, 3].tolist() == [6, 6, 6]


def test_a_reset_comes_first():
    envs = batch(2)
    with pytest.raises(NotReadyError, match="reset"):
        envs.step([1, 1])
    with pytest.raises(NotReadyError, match="first reset"):
        envs.reset(options={"reset_mask": np.array([True, False])})


def test_without_autoreset_a_step_after_the_end_is_an_error():
    envs = batch(2, **FULL, autoreset_mode="Disabled", max_episode_steps=1)
    envs.reset()
    envs.step([1, 1])
    envs.reset(options={"reset_mask": np.array([False, True])})
    with pytest.raises(EpisodeOverError, match=r"\[0\] are over") as caught:
        envs.step([1, 1])
    assert "reset_mask" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_envs": 0}, "num_envs"),
        ({"num_envs": 2.0}, "num_envs"),
        ({"max_episode_steps": 0}, "max_episode_steps"),
        ({"autoreset_mode": "later"}, "NextStep"),
        ({"influx": []}, "at least one number"),
    ],
)
def test_what_cannot_be_is_refused(options, words):
    with pytest.raises(SettingsError, match=words):
        ScalingVectorEnv(**options)


@pytest.mark.parametrize(
    "mask", [[True, False], np.array([1, 0]), np.array([True]), np.array([False, False])]
)
def test_a_wrong_mask_is_refused(mask):
    envs = batch(2)
    envs.reset()
    with pytest.raises(SettingsError, match="reset_mask"):
        envs.reset(options={"reset_mask": mask})


def test_the_spaces_are_those_of_gymnasiums_own():
    ours, theirs = batch(3, influx="sine"), singles(3, influx="sine")
    assert isinstance(theirs.unwrapped, SyncVectorEnv)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.single_observation_space == theirs.single_observation_space
