"""The calibration file, and environments that use it."""

from __future__ import annotations

import json

import pytest

from infra_gym.definitions.catalog import find_definition
from infra_gym.environments.calibration import Calibration, read_calibration
from infra_gym.environments.make import make
from infra_gym.errors import SettingsError
from infra_gym.simulators.webapp_parameters import WebAppParameters
from infra_gym.worlds.webapp_inputs import twin_inputs

ID = "SimpleK8sWebApp-v0"
DEFINITION = find_definition(ID)
LOW = WebAppParameters(0.002, 0.5, 1, 1, 0.25)
HIGH = WebAppParameters(0.006, 0.75, 1, 1, 0.5)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "folder" / "calibration.json"
    Calibration(
        id=ID,
        target="local",
        interval_s=5,
        inputs=twin_inputs(DEFINITION),
        parameters=WebAppParameters(0.004, 0.6, 1, 1, 0.3),
        level=0.9,
        low=LOW,
        high=HIGH,
        names=("overhead_s",),
        covariance=((1e-6,),),
        unseen=(),
        fitted_to=(),
    ).write(path)
    return path


def changed(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return path


def test_a_calibration_is_read_as_it_was_written(path):
    found = read_calibration(path, DEFINITION)
    assert found.parameters == WebAppParameters(0.004, 0.6, 1, 1, 0.3)
    assert (found.spread.low, found.spread.high) == (LOW, HIGH)
    assert [one.name for one in path.parent.iterdir()] == ["calibration.json"]


def test_the_twin_takes_the_fitted_point(path):
    env = make(ID, target="sim", calibration=path)
    _, info = env.reset(seed=1)
    assert info["parameters"]["boot_s"] == 0.6
    _, again = env.reset(seed=2)
    assert again["parameters"] == info["parameters"]


def test_a_plain_twin_tells_no_parameters():
    _, info = make(ID, target="sim").reset(seed=1)
    assert "parameters" not in info


def test_randomised_episodes_draw_from_the_spread_by_their_seed(path):
    env = make(ID, target="sim", calibration=path, randomise=True)
    drawn = [env.reset(seed=seed)[1]["parameters"] for seed in (1, 2, 1)]
    assert drawn[0] == drawn[2] != drawn[1]
    for one in drawn:
        assert 0.5 <= one["boot_s"] <= 0.75
        assert one["drain_s"] == 1


def test_parameters_change_what_is_measured(path):
    slow = changed(path, parameters={**json.loads(path.read_text())["parameters"], "boot_s": 20})
    actions = [2, 2, 2, 2]
    ready = []
    for calibration in (None, slow):
        env = make(ID, target="sim", calibration=calibration)
        env.reset(seed=1)
        ready.append([env.step(action)[4]["metrics"]["ready"] for action in actions])
    assert ready[1] != ready[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"version": 99}, "version 99 of a calibration; this infra-gym reads up to 1"),
        ({"id": "Other-v0"}, "is a calibration of Other-v0, not of SimpleK8sWebApp-v0"),
        ({"inputs": {"heater": {"slots": 8}}}, "was made for other inputs"),
        ({"level": "much"}, "is no calibration: level:"),
        ({"more": 1}, "is no calibration: more:"),
        ({"low": {"overhead_s": 1}}, "overhead_s: its low is above its high"),
    ],
    ids=["version", "id", "inputs", "type", "key", "order"],
)
def test_a_calibration_that_does_not_fit_is_refused(path, fields, message):
    changed(path, **fields)
    with pytest.raises(SettingsError, match=message):
        make(ID, target="sim", calibration=path)


def test_a_file_that_is_none_is_refused(tmp_path):
    broken = tmp_path / "calibration.json"
    with pytest.raises(SettingsError, match="cannot be read") as caught:
        make(ID, target="sim", calibration=broken)
    assert caught.value.next_command == f"infra-gym calibrate LOG --out {broken}"
    broken.write_text("{")
    with pytest.raises(SettingsError, match="is no calibration"):
        make(ID, target="sim", calibration=broken)
    broken.write_text("[]")
    with pytest.raises(SettingsError, match="is no calibration"):
        make(ID, target="sim", calibration=broken)


def test_a_live_target_takes_no_calibration(path):
    with pytest.raises(SettingsError, match="A calibration is the twin's") as caught:
        make(ID, target="local", calibration=path)
    assert "--target sim" in caught.value.next_command


def test_nothing_is_randomised_without_a_calibration():
    with pytest.raises(SettingsError, match="randomise needs a calibration"):
        make(ID, target="sim", randomise=True)
