"""Every definition of the catalog keeps the contract, on every target that needs nothing."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import yaml
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import TimeLimit

import infra_gym
from infra_gym.agents import make_agent
from infra_gym.definitions import definitions_folder
from infra_gym.definitions.catalog import definition_ids, find_definition
from infra_gym.definitions.scaffold import new_definition
from infra_gym.environments.make import make
from infra_gym.environments.registration import register_all
from infra_gym.errors import DefinitionError, MissingProgramError, SettingsError, UnknownNameError
from infra_gym.testing import check_environment

SIMULATED = [name for name in definition_ids() if find_definition(name).simulator is not None]


def test_importing_registers_every_definition():
    assert infra_gym.__version__
    assert set(definition_ids()) <= set(gym.registry)


def test_a_broken_definition_speaks_when_it_is_made(tmp_path, monkeypatch):
    (tmp_path / "infra-gym.toml").touch()
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs/Broken-v0.yaml").write_text("id: Broken-v0\nsumary: x\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gymnasium.envs.registration.registry", {})
    monkeypatch.setattr("gymnasium.registry", gym.envs.registration.registry)
    register_all()
    with pytest.raises(DefinitionError, match=r"Broken-v0\.yaml:2: sumary"):
        gym.make("Broken-v0")
    gym.make("SimpleK8sWebApp-v0", target="sim").close()


@pytest.mark.parametrize("name", SIMULATED)
@pytest.mark.parametrize("action", ["delta", "absolute"])
def test_it_conforms(name, action):
    check_environment(name, target="sim", action=action).raise_for_failures()


@pytest.mark.slow
@pytest.mark.xdist_group("webapp")
def test_the_fluid_form_conforms():
    report = check_environment("SimpleK8sWebApp-v0", target="sim", fidelity="fluid")
    report.raise_for_failures()


def test_a_new_environment_conforms_as_it_is_written(tmp_path):
    file = new_definition("Mine-v0", tmp_path)
    check_environment(str(file), target="sim").raise_for_failures()


@pytest.mark.parametrize("agent", ["random", "fixed", "threshold", "hpa", "oracle"])
def test_the_agents_play_a_new_environment_as_it_is_written(tmp_path, agent):
    env = make(str(new_definition("Mine-v0", tmp_path)), target="sim")
    observation, info = env.reset(seed=1)
    player = make_agent(agent)
    player.reset(1, TimeLimit(env, 3))
    for _ in range(3):
        observation, *_, info = env.step(player.act(observation, info))
    env.close()


def test_the_order_of_the_changes_is_free(tmp_path):
    definition = yaml.safe_load((definitions_folder() / "SimpleK8sWebApp-v0.yaml").read_text())
    definition["controls"]["replicas"]["action"] = {"delta": [0, 2, -1]}
    path = tmp_path / "SimpleK8sWebApp-v0.yaml"
    path.write_text(yaml.safe_dump(definition))
    report = check_environment(str(path), target="sim", steps=4)
    report.raise_for_failures()
    assert "a move out of bounds is clipped and told" in {check.name for check in report.checks}


@pytest.mark.parametrize("name", SIMULATED)
def test_gymnasium_agrees(name):
    check_env(gym.make(name, target="sim").unwrapped, skip_render_check=True)


@pytest.mark.parametrize("name", SIMULATED)
def test_stable_baselines_agrees(name):
    checker = pytest.importorskip(
        "stable_baselines3.common.env_checker", reason="the extra `train` is not installed"
    )
    checker.check_env(gym.make(name, target="sim"))


@pytest.mark.parametrize("name", SIMULATED)
def test_it_makes_a_vector(name):
    envs = gym.make_vec(name, num_envs=2, vectorization_mode="sync", target="sim")
    observations, _ = envs.reset(seed=1)
    assert observations.shape == (2, *envs.single_observation_space.shape)
    assert np.isfinite(observations).all()
    envs.close()


def test_an_unknown_target_or_setting_says_what_there_is():
    with pytest.raises(SettingsError, match="'moon' is not allowed"):
        gym.make("SimpleK8sWebApp-v0", target="moon")
    with pytest.raises(SettingsError, match="has no target 'local'"):
        gym.make("SizedK8sWebApp-v0", target="local")
    with pytest.raises(SettingsError, match="interval_s must be at least"):
        gym.make("SimpleK8sWebApp-v0", target="sim", interval_s=0)
    with pytest.raises(SettingsError, match="action cannot be"):
        gym.make("SimpleK8sWebApp-v0", target="sim", action="absolut")
    with pytest.raises(UnknownNameError, match="Did you mean"):
        gym.make("SimpleK8sWebApp-v0", definition="SimpleK8sWebAp-v0", target="sim")
    with pytest.raises(gym.error.NameNotFound, match="SimpleK8sWebApp"):
        gym.make("SimpleK8sWebAp-v0")


def reset_and_close(name: str) -> None:
    with gym.make(name, target="local") as env:
        env.reset()


@pytest.mark.parametrize("missing", ["terraform", "prometheus"])
def test_a_missing_program_says_what_to_install_and_how_to_go_on(missing, monkeypatch, tmp_path):
    monkeypatch.setenv("INFRA_GYM_DATA_FOLDER", str(tmp_path))
    setting = "INFRA_GYM_BINARY" if missing == "terraform" else "INFRA_GYM_PROMETHEUS"
    monkeypatch.setenv(setting, "no-such-program")
    with pytest.raises(MissingProgramError, match="no-such-program") as caught:
        reset_and_close("SimpleK8sWebApp-v0")
    assert 'gym.make("SimpleK8sWebApp-v0", target="sim")' in str(caught.value)
    assert "install" in str(caught.value)
