"""Vector environments as Stable-Baselines3 takes them."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import infra_gym  # noqa: F401 - its environments exist once it is imported
from infra_gym.errors import SettingsError

pytest.importorskip("stable_baselines3", reason='pip install -e ".[train]"')

from infra_gym.training.sensed import Moments, Sensed
from infra_gym.training.vec_env import VectorEnvs

LEVELS = [2000] * 40


def scaling(number=2, *, mode=AutoresetMode.SAME_STEP, **arguments):
    given = {"influx": LEVELS, "change_rate": 1, "max_episode_steps": 5} | arguments
    return gym.make_vec(
        "Scaling-v0",
        num_envs=number,
        vectorization_mode="vector_entry_point",
        autoreset_mode=mode,
        **given,
    )


def steps(env, number, action=1):
    return [env.step(np.full(env.num_envs, action)) for _ in range(number)]


def test_an_episode_that_is_cut_off_keeps_its_last_observation():
    env, plain = VectorEnvs([scaling()]), scaling(mode=AutoresetMode.DISABLED)
    env.seed(3)
    first, _ = plain.reset(seed=[3, 4])
    assert np.array_equal(env.reset(), first)
    seen = [plain.step(np.ones(2, np.int64)) for _ in range(5)]
    mine = steps(env, 5)
    for (observations, rewards, *_), (wanted, earned, *_) in zip(mine[:4], seen[:4], strict=True):
        assert np.array_equal(observations, wanted)
        assert rewards.tolist() == pytest.approx(earned.tolist())
    observations, _, dones, infos = mine[4]
    assert dones.all()
    assert np.array_equal(observations, first)
    for place, info in enumerate(infos):
        assert np.array_equal(info["terminal_observation"], seen[4][0][place])
        assert info["TimeLimit.truncated"] is True
        assert info["episode"]["l"] == 5
        assert info["episode"]["r"] == pytest.approx(sum(step[1][place] for step in seen))
    assert [info for *_, infos in mine[:4] for info in infos] == [{}] * 8


def test_an_episode_that_ends_is_not_cut_off():
    env = VectorEnvs([scaling(1, influx=[10**6] * 9, max_episode_steps=50)])
    env.reset()
    for _ in range(9):
        _, _, dones, infos = env.step(np.ones(1, np.int64))
        if dones[0]:
            break
    assert dones[0]
    assert infos[0]["TimeLimit.truncated"] is False


def test_several_loads_follow_one_another():
    env = VectorEnvs([scaling(2), scaling(3, influx=[100] * 40)])
    assert env.num_envs == 5
    env.reset()
    observations = steps(env, 1)[0][0]
    assert observations[:, 3].tolist() == [2000, 2000, 100, 100, 100]
    *_, infos = steps(env, 4)[-1]
    assert all("terminal_observation" in info for info in infos)


def test_seeds_decide_and_only_the_first_reset_takes_them():
    def series(seed):
        env = VectorEnvs([scaling(2, influx="random"), scaling(2, influx="random")])
        env.seed(seed)
        return [env.reset()[:, 3].tolist() for _ in range(2)]

    again, other = series(1), series(2)
    assert again == series(1)
    assert again != other
    assert len({value for episode in again for value in episode}) == 8


def test_infos_come_only_when_asked_for():
    env = VectorEnvs([scaling(2, info=True)], infos=True)
    env.reset()
    assert all(info["cost_usd"] > 0 for info in steps(env, 1)[0][3])


@pytest.mark.timeout(400)  # the simulator is compiled on the first call
def test_masks_are_rows_of_the_environments():
    def batch(number):
        return gym.make_vec(
            "BatchScheduling-v0",
            num_envs=number,
            vectorization_mode="vector_entry_point",
            autoreset_mode=AutoresetMode.SAME_STEP,
            jobs=16,
            max_queue=8,
        )

    env = VectorEnvs([batch(1), batch(2)])
    env.seed(1)
    env.reset()
    assert env.has_attr("action_masks")
    assert not env.has_attr("anything_else")
    masks = env.env_method("action_masks")
    assert np.stack(masks).shape == (3, 8)
    assert np.array_equal(env.env_method("action_masks", indices=[2])[0], masks[2])


def test_what_does_not_fit_is_refused():
    with pytest.raises(SettingsError, match="reset in the step that ends"):
        VectorEnvs([scaling(mode=AutoresetMode.NEXT_STEP)])
    with pytest.raises(SettingsError, match="different spaces"):
        VectorEnvs([scaling(), scaling(actions=(-5, 0, 5, 9))])


def test_moments_are_those_of_all_that_was_added():
    data = np.random.default_rng(1).normal(1000, 3, (60, 2))
    moments = Moments((2,))
    for part in np.split(data, [7, 8, 40]):
        moments.add(part)
    assert moments.mean == pytest.approx(data.mean(axis=0))
    assert moments.variance == pytest.approx(data.var(axis=0))


def test_a_policy_sees_frames_of_one_episode_and_the_end_of_the_last():
    env = Sensed(VectorEnvs([scaling(2)]), scale="none", frames=2, gamma=0.9)
    env.seed(1)
    first = env.reset()
    assert np.array_equal(first[:, :5], first[:, 5:])
    before = steps(env, 4, action=2)[-1][0]
    after, _, dones, infos = steps(env, 1, action=2)[0]
    assert dones.all()
    assert np.array_equal(after, first)
    for place in range(2):
        last = infos[place]["terminal_observation"]
        assert np.array_equal(last[:5], before[place, 5:])
        assert not np.array_equal(last[5:], after[place, 5:])


def test_an_episode_that_is_cut_off_earns_the_value_of_its_last_observation():
    def rewards(value):
        env = Sensed(VectorEnvs([scaling(2)]), scale="none", frames=1, gamma=0.5)
        env.value = value
        env.seed(1)
        env.reset()
        made = steps(env, 5)
        return np.array([step[1] for step in made]), made[-1][3]

    plain, infos = rewards(None)
    assert all(info["TimeLimit.truncated"] for info in infos)
    bootstrapped, infos = rewards(lambda seen: np.full(len(seen), 8, np.float32))
    assert not any("TimeLimit.truncated" in info for info in infos)
    assert (bootstrapped - plain).tolist() == [[0, 0]] * 4 + [[pytest.approx(4)] * 2]


def test_an_end_is_no_gain_where_all_rewards_are_negative():
    env = Sensed(
        VectorEnvs([scaling(1, influx=[10**6] * 9, max_episode_steps=50)]),
        scale="none",
        frames=1,
        gamma=0.5,
        endless=True,
    )
    env.reset()
    made = steps(env, 9)
    (at,) = [step[3][0] for step in made if step[2][0]][:1]
    assert at["TimeLimit.truncated"] is True
