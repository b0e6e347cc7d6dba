"""Batches of simulated environments against single ones in Gymnasium's own vector."""

from __future__ import annotations

import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import infra_gym  # noqa: F401 - registers the environment
from infra_gym.definitions.catalog import find_definition
from infra_gym.environments.calibration import Calibration
from infra_gym.environments.make import make
from infra_gym.environments.simulated import SimulatedVectorEnv
from infra_gym.errors import (
    ActionError,
    DefinitionError,
    EpisodeOverError,
    MetricsError,
    NotReadyError,
    SettingsError,
)
from infra_gym.simulators.webapp_parameters import WebAppParameters
from infra_gym.worlds.webapp_inputs import twin_inputs

# One worker compiles, once, what all of these need.
pytestmark = pytest.mark.xdist_group("webapp")

ID = "SimpleK8sWebApp-v0"
BURSTS = {"profile": "bursty", "mean_rps": 90, "calm_s": 120, "burst_s": 60}
FIDELITIES = ("reference", "fluid")
FAAS = {"definition": "FaaSScaling-v0"}
WAVES = {"profile": "bursty", "mean_rps": 12, "calm_s": 60, "burst_s": 60}


def batch(num_envs, **options):
    options = {"definition": ID, "target": "sim"} | options
    return SimulatedVectorEnv(num_envs, **options)


def singles(num_envs, *, autoreset_mode=AutoresetMode.NEXT_STEP, max_episode_steps, **options):
    options = {"definition": ID, "target": "sim"} | options

    def one():
        return gym.wrappers.TimeLimit(make(**options), max_episode_steps)

    return gym.vector.SyncVectorEnv([one] * num_envs, autoreset_mode=autoreset_mode)


def same(one, other, where="") -> None:
    """Equal, to the last digit, whatever it is made of."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, tuple):
        for place, pair in enumerate(zip(one, other, strict=True)):
            same(*pair, f"{where}[{place}]")
    elif isinstance(one, np.ndarray) and one.dtype == object:
        for mine, theirs in zip(one, other, strict=True):
            if isinstance(mine, np.ndarray):
                same(mine, theirs, where)
            else:
                assert mine == theirs, where
    else:
        assert np.asarray(one).dtype == np.asarray(other).dtype, where
        assert np.array_equal(one, other), (where, one, other)


def compare(ours, theirs, steps, *, seed) -> int:
    """Steps both with the same actions; how many episodes ended."""
    rng = np.random.default_rng(0)
    same(ours.reset(seed=seed), theirs.reset(seed=seed))
    ends = 0
    for _ in range(steps):
        actions = rng.integers(0, ours.single_action_space.n, ours.num_envs)
        mine, their = ours.step(actions), theirs.step(actions)
        same(mine, their)
        ended = mine[2] | mine[3]
        ends += ended.sum()
        if ended.any() and theirs.metadata["autoreset_mode"] == AutoresetMode.DISABLED:
            # Gymnasium takes the mask out of the options that it is given.
            same(
                ours.reset(options={"reset_mask": ended}),
                theirs.reset(options={"reset_mask": ended}),
            )
    return ends


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_a_batch_equals_single_environments(fidelity, mode):
    options = {
        "fidelity": fidelity,
        "workload": BURSTS,
        "max_episode_steps": 7,
        "autoreset_mode": mode,
    }
    ours, theirs = batch(4, info=True, **options), singles(4, **options)
    assert ours.metadata["autoreset_mode"] == mode
    assert compare(ours, theirs, 24, seed=[3, 1, 4, 1]) >= 12


@pytest.mark.parametrize("options", [
    {"action": "absolute"},
    {"interval_s": 0.5, "action": "absolute"},
    {"clock": "local"},
    {"interval_s": 2.5, "workload": {"profile": "constant", "mean_rps": 170}},
    {"workload": {"profile": "flash_crowd", "mean_rps": 60, "period_s": 900, "fall_s": 60}},
], ids=["absolute", "short", "clock", "overload", "crowd"])  # fmt: skip
@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_they_agree_on_other_definitions_of_time_load_and_actions(fidelity, options):
    options = {"fidelity": fidelity, "max_episode_steps": 30, **options}
    compare(batch(2, info=True, **options), singles(2, **options), 33, seed=8)


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_a_batch_of_one_and_of_many_agree(fidelity):
    many = batch(9, fidelity=fidelity, workload=BURSTS)
    alone = [batch(1, fidelity=fidelity, workload=BURSTS) for _ in range(9)]
    rng = np.random.default_rng(2)
    observations, _ = many.reset(seed=100)
    ones = np.concatenate([env.reset(seed=100 + place)[0] for place, env in enumerate(alone)])
    same(observations, ones)
    for _ in range(12):
        actions = rng.integers(0, 3, 9)
        together = many.step(actions)[:4]
        apart = [env.step([action])[:4] for env, action in zip(alone, actions, strict=True)]
        same(together, tuple(np.concatenate(part) for part in zip(*apart, strict=True)))


CUSTOM = """
id: Custom-v0
summary: Another definition.
max_episode_steps: 9
layers: {local: [local/core, local/heater, local/siege-engine, local/prometheus]}
simulator: webapp
interval_s: {local: 5, sim: 5}
inputs:
  heater: {slots: 2, service_time_s: 0.2, queue_limit: 5}
  siege-engine: {target: heater.url, timeout_s: 0.4, max_in_flight: 20}
  local/prometheus:
    targets: {heater: heater.targets, siege-engine: siege-engine.targets}
workload: {profile: sine, mean_rps: 30, period_s: 60, amplitude: 1}
prices: {replica_usd_per_hour: 0.1}
controls:
  pods: {layer: heater, input: replicas, low: 0, high: 5, initial: 1, action: {delta: [-2, 0, 3]}}
slo: {latency_s: 0.3, share: 0.9}
metrics:
  requests: {counter: siege_requests_total}
  gone: {counter: 'siege_requests_total{code=~"timeout|dropped|refused"}', rate: true, empty: -1}
  busy_time: {counter: heater_busy_seconds_total}
  within: {counter: 'siege_request_duration_seconds_bucket{le="0.3"}'}
  p90: {histogram: siege_request_duration_seconds, quantile: 0.9, empty: 7}
  p90_ok: {histogram: 'siege_request_duration_seconds{code="200"}', quantile: 0.9,
           starved: high, empty: 7}
  existing: {gauge: 'sum(up)'}
  backlog: {gauge: siege_in_flight}
  share: {formula: within / requests, empty: 0.5}
  odd: {formula: '(requests % 7 + pods ** 1.5) / ready_or_one if p90 > 0.3 and pods else exp(-p90)'}
  ready_or_one: {formula: 'max(existing, 1) - 0.5'}
  replica_busy: {counter: heater_busy_seconds_total, by: instance}
observations:
  - {metric: odd, low: -5, high: 50}
  - {metric: share, low: -1, high: 1, change: true}
  - {metric: p90_ok, low: 0, high: 6}
  - {metric: gone, low: 0, high: 10}
rewards:
  a: -cost_usd
  b: 'min(share, 0.9) * floor(p90 * 10)'
  c: clip(odd, -1, 1) * (backlog > 3 or gone)
"""


@pytest.fixture
def custom(tmp_path: Path) -> str:
    path = tmp_path / "Custom-v0.yaml"
    path.write_text(CUSTOM)
    return str(path)


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_a_definition_of_ones_own(fidelity, custom):
    options = {
        "definition": custom,
        "fidelity": fidelity,
        "max_episode_steps": 9,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }
    ours = batch(5, info=True, **options)
    assert compare(ours, singles(5, **options), 40, seed=2) == 20


def test_through_gymnasium():
    envs = gym.make_vec(
        ID, num_envs=3, vectorization_mode="vector_entry_point", target="sim", fidelity="fluid"
    )
    assert isinstance(envs, SimulatedVectorEnv)
    theirs = singles(3, max_episode_steps=200)
    assert envs.observation_space == theirs.observation_space
    assert envs.action_space == theirs.action_space
    envs.reset(seed=1)
    for _ in range(200):
        _, _, terminated, truncated, infos = envs.step([1, 1, 1])
        assert infos == {}
    assert truncated.all()
    assert not terminated.any()


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.value)
def test_a_batch_of_functions_equals_single_environments(mode):
    options = {"workload": WAVES, "max_episode_steps": 7, "autoreset_mode": mode, **FAAS}
    ours, theirs = batch(4, info=True, **options), singles(4, **options)
    assert compare(ours, theirs, 24, seed=[3, 1, 4, 1]) >= 12


def test_functions_agree_on_other_actions_and_past_the_end_of_a_schedule():
    options = {"action": "absolute", "interval_s": 5, "max_episode_steps": 30, **FAAS}
    compare(batch(2, info=True, **options), singles(2, **options), 33, seed=8)


def test_one_function_and_many_agree():
    many = batch(9, workload=WAVES, **FAAS)
    alone = [batch(1, workload=WAVES, **FAAS) for _ in range(9)]
    rng = np.random.default_rng(2)
    observations, infos = many.reset(seed=100)
    assert infos == {}
    ones = np.concatenate([env.reset(seed=100 + place)[0] for place, env in enumerate(alone)])
    same(observations, ones)
    for _ in range(9):
        actions = rng.integers(0, 2, 9)
        together = many.step(actions)[:4]
        apart = [env.step([action])[:4] for env, action in zip(alone, actions, strict=True)]
        same(together, tuple(np.concatenate(part) for part in zip(*apart, strict=True)))


def test_functions_through_gymnasium():
    envs = gym.make_vec(
        "FaaSScaling-v0", num_envs=2, vectorization_mode="vector_entry_point", target="sim"
    )
    envs.reset(seed=1)
    for _ in range(10):
        _, _, _, truncated, _ = envs.step([1, 1])
    assert truncated.all()


def test_functions_cost_nothing_before_their_reset(monkeypatch):
    monkeypatch.setitem(sys.modules, "infra_gym.simulators.faas_reading", None)  # no import of it
    for env in (make("FaaSScaling-v0", target="sim"), batch(2, **FAAS)):
        with pytest.raises(ImportError):
            env.reset(seed=1)


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_functions_have_one_form(fidelity):
    for made in (make, batch):
        places = (1,) if made is batch else ()
        options = {"definition": "FaaSScaling-v0", "target": "sim", "fidelity": fidelity}
        if fidelity == "reference":
            made(*places, **options).close()
        else:
            with pytest.raises(SettingsError, match="has no fluid form"):
                made(*places, **options)


def test_every_step_returns_arrays_of_its_own():
    envs = batch(2, fidelity="fluid", info=True)
    taken = [envs.reset(seed=1)] + [envs.step([2, 0]) for _ in range(3)]
    arrays = [each for step in taken for each in step if isinstance(each, np.ndarray)]
    for place, one in enumerate(arrays):
        assert not any(np.shares_memory(one, other) for other in arrays[place + 1 :])
    arrays[-4][:] = 99.0
    observations, _ = envs.reset(options={"reset_mask": np.array([True, False])})
    assert (observations[1] != 99.0).all()


@pytest.mark.parametrize(
    "actions",
    [[0, 1], [0, 1, 3], [0, -1, 1], [0.0, 1.0, 2.0], [[0, 1, 2]], None, 1, ["0", "1", "2"]],
)
def test_wrong_actions_are_refused_and_nothing_moves(actions):
    envs = batch(3, fidelity="fluid", info=True)
    envs.reset(seed=1)
    with pytest.raises(ActionError):
        envs.step(actions)
    infos = envs.step(np.array([0, 1, 2], dtype=np.int8))[4]
    assert infos["tick"].tolist() == [1, 1, 1]
    assert infos["controls"]["replicas"].tolist() == [2, 2, 3]


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_after_an_error_within_a_step_a_reset_comes_first(fidelity, tmp_path):
    path = tmp_path / "Custom-v0.yaml"
    path.write_text(CUSTOM.replace("a: -cost_usd", "a: -cost_usd / (pods - 4)"))
    envs = batch(2, definition=str(path), fidelity=fidelity)
    envs.reset(seed=1)
    with pytest.raises(MetricsError, match="term a has no value"):
        envs.step([1, 2])
    with pytest.raises(NotReadyError, match="reset"):
        envs.step([1, 1])
    envs.reset(seed=1)
    envs.step([1, 1])


def test_a_reset_comes_first_and_after_an_end():
    envs = batch(2, fidelity="fluid", autoreset_mode="Disabled", max_episode_steps=1)
    with pytest.raises(NotReadyError, match="reset"):
        envs.step([1, 1])
    with pytest.raises(NotReadyError, match="first reset"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    envs.reset(seed=1)
    envs.step([1, 1])
    envs.reset(options={"reset_mask": np.array([False, True]), "mode": "full"})
    with pytest.raises(EpisodeOverError, match=r"\[0\] are over"):
        envs.step([1, 1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_envs": 0}, "num_envs"),
        ({"max_episode_steps": 0}, "max_episode_steps"),
        ({"autoreset_mode": "later"}, "NextStep"),
        ({"fidelity": "fluit"}, "fluid"),
        ({"target": "local"}, 'vectorization_mode="async"'),
        ({"interval_s": 0.1}, "at least 0.5"),
    ],
)
def test_what_cannot_be_is_refused(options, words):
    with pytest.raises(SettingsError) as caught:
        batch(**({"num_envs": 2} | options))
    assert words in str(caught.value)


@pytest.mark.parametrize("seed", [-1, 1.5, [1, 1.5], [1], "ab"])
def test_wrong_seeds_are_refused(seed):
    with pytest.raises(SettingsError, match="seed"):
        batch(2, fidelity="fluid").reset(seed=seed)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"speed": 3}, "'speed'"), ({"mode": "fast"}, "'soft'"), ({"reset_mask": [True]}, "mask")],
)
def test_wrong_reset_options_are_refused(options, words):
    envs = batch(1, fidelity="fluid")
    with pytest.raises(SettingsError, match=words):
        envs.reset(options=options)


def test_a_metric_that_the_web_app_does_not_have(custom, tmp_path):
    wrong = tmp_path / "Wrong-v0.yaml"
    wrong.write_text(CUSTOM.replace("Custom-v0", "Wrong-v0").replace("existing:", "exists:", 1))
    with pytest.raises(DefinitionError):
        batch(1, definition=str(wrong))


def test_the_fluid_form_is_of_the_simulator_alone():
    with pytest.raises(SettingsError, match="is of the simulator") as caught:
        make(ID, target="local", fidelity="fluid")
    assert 'target="sim"' in str(caught.value)


@pytest.fixture
def calibration(custom, tmp_path):
    """Of the custom definition; the ends of the spread lie in other buckets of the histogram."""
    path = tmp_path / "calibration.json"
    Calibration(
        id="Custom-v0",
        target="local",
        interval_s=5,
        inputs=twin_inputs(find_definition(custom)),
        parameters=WebAppParameters(overhead_s=0.02, boot_s=3.0),
        level=0.9,
        low=WebAppParameters(0.001, 0.2, 0.5, 0.8, 0.1),
        high=WebAppParameters(0.08, 6.0, 4.0, 1.5, 2.0),
        names=("overhead_s",),
        covariance=((1e-6,),),
        unseen=(),
        fitted_to=(),
    ).write(path)
    return path


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_each_environment_draws_its_own_parameters(custom, calibration, fidelity, mode):
    options = {
        "fidelity": fidelity,
        "definition": custom,
        "calibration": calibration,
        "randomise": True,
        "max_episode_steps": 7,
        "autoreset_mode": mode,
    }
    ours = batch(4, info=True, **options)
    assert compare(ours, singles(4, **options), 24, seed=[3, 1, 4, 1]) >= 12
    _, infos = ours.reset(seed=[3, 1, 4, 1])
    boots_s = infos["parameters"]["boot_s"].tolist()
    assert boots_s[1] == boots_s[3]
    assert len(set(boots_s)) == 3


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_a_calibrated_batch_equals_calibrated_environments(custom, calibration, fidelity):
    options = {"definition": custom, "calibration": calibration, "fidelity": fidelity}
    ours = batch(3, info=True, max_episode_steps=8, **options)
    compare(ours, singles(3, max_episode_steps=8, **options), 12, seed=5)
    assert ours.reset(seed=1)[1]["parameters"]["overhead_s"].tolist() == [0.02] * 3
