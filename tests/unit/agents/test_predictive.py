"""The forecasting agent, and what it says without statsmodels."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from infra_gym.agents import make_agent
from infra_gym.definitions.models import Control
from infra_gym.errors import MissingProgramError, UsageError
from infra_gym.task.controls import Controls
from infra_gym.workloads import parse_workload


class FakeEnv:
    """One control ``replicas`` from 2 to 10, set by its value; one turn is one modelled minute."""

    def __init__(self, **workload):
        control = {"layer": "heater", "input": "replicas", "low": 2, "high": 10, "initial": 2}
        controls = {"replicas": Control.model_validate(control | {"action": {"delta": [-1, 0, 1]}})}
        self.definition = SimpleNamespace(controls=controls)
        self.task = SimpleNamespace(controls=Controls(controls, "absolute"))
        load = {"profile": "constant", "mean_rps": 60} | workload
        self.place = SimpleNamespace(workload=parse_workload(load), interval_s=15.0, time_scale=4.0)
        self.unwrapped = self


def replicas_under(agent, rates, env=None):
    """What it asks for after each turn; a replica bears 40 requests/s."""
    agent.reset(1, env or FakeEnv())
    replicas, asked = 2, []
    for tick, rate in enumerate([0.0, *rates]):
        metrics = {"request_rate": rate, "ready": replicas, "utilisation": rate / 40 / replicas}
        told = {"tick": tick, "controls": {"replicas": replicas}, "metrics": metrics}
        replicas = 2 + int(agent.act(None, told))
        asked.append(replicas)
    return asked[1:]


def test_without_statsmodels_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels.tsa.holtwinters", None)
    with pytest.raises(MissingProgramError) as caught:
        make_agent("predictive")
    assert 'pip install "infra-gym[predict]"' in str(caught.value)


class TestWithStatsmodels:
    @pytest.fixture(autouse=True)
    def _installed(self):
        pytest.importorskip("statsmodels")

    def test_an_even_load_gets_what_it_needs(self):
        assert replicas_under(make_agent("predictive", target=0.5), [80.0] * 12)[-1] == 4

    def test_a_rising_load_is_met_before_it_comes(self):
        rates = [40 + 10 * turn for turn in range(15)]
        asked = replicas_under(make_agent("predictive", target=0.5, horizon=3), rates)
        assert asked[-1] > np.ceil(rates[-1] / 40 / 0.5)

    def test_a_season_is_foreseen(self):
        # Quiet for nine turns of ten, then one with three times the load, seven times over.
        rates = ([40.0] * 9 + [150.0]) * 7
        daily = FakeEnv(profile="daily", period_s=600)
        asked = replicas_under(make_agent("predictive", target=0.5, horizon=1), rates, daily)
        blind = replicas_under(make_agent("predictive", target=0.5, horizon=1, season=0), rates)
        assert asked[-2] > blind[-2]  # the turn before the last peak

    def test_no_request_yet_asks_for_the_fewest(self):
        assert replicas_under(make_agent("predictive"), [0.0, 0.0, 0.0]) == [2, 2, 2]

    @pytest.mark.parametrize("parameters", [{"target": 0}, {"horizon": 0}, {"level": 1}])
    def test_parameters_out_of_range_are_refused(self, parameters):
        with pytest.raises(UsageError, match="needs"):
            make_agent("predictive", **parameters)
