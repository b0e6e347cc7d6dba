from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from infra_gym.definitions.catalog import find_definition
from infra_gym.definitions.models import FormulaMetric
from infra_gym.errors import DefinitionError, MetricsError
from infra_gym.task.formulas import Formulas
from infra_gym.task.task import Task

MEASURED = {
    "requests": 300.0,
    "ok": 290.0,
    "within_slo": 280.0,
    "request_rate": 60.0,
    "latency_p50": 0.1,
    "latency_p95": 7.0,
    "backlog": 3.0,
    "existing": 4.0,
    "ready": 3.0,
    "busy": 1.5,
}


@pytest.fixture
def task() -> Task:
    return Task(find_definition("SimpleK8sWebApp-v0"))


def outcome(task: Task, *, replicas: int = 4, **other):
    return task.outcome({**MEASURED, **other}, {"replicas": replicas}, seconds=5.0, last_action=1)


def test_formulas_follow_from_measurements_and_controls(task):
    metrics = outcome(task).metrics
    assert metrics["starting"] == 1
    assert metrics["error_share"] == pytest.approx(10 / 300)
    assert metrics["slo_share"] == pytest.approx(280 / 300)
    assert metrics["utilisation"] == pytest.approx(0.5)


def test_the_reward_is_the_cost_and_the_late_requests_in_dollars(task):
    result = outcome(task)
    assert result.cost_usd == pytest.approx(4 * 0.018 * 5 / 3600)
    assert result.terms["cost"] == pytest.approx(-result.cost_usd)
    assert result.terms["slo"] == pytest.approx(-0.0002 * 20)
    assert result.reward == pytest.approx(sum(result.terms.values()))


def test_a_price_goes_by_the_input_and_not_by_the_controls_name():
    definition = find_definition("SimpleK8sWebApp-v0")
    renamed = {"servers": definition.controls["replicas"]}
    starting = FormulaMetric(formula="servers - ready")
    changed = definition.model_copy(
        update={
            "controls": renamed,
            "metrics": {**definition.metrics, "starting": starting},
            "observations": definition.observations[1:],
        }
    )
    result = Task(changed).outcome(MEASURED, {"servers": 4}, seconds=5.0)
    assert result.cost_usd == pytest.approx(4 * 0.018 * 5 / 3600)
    slots = {"slots": renamed["servers"].model_copy(update={"input": "slots"})}
    with pytest.raises(DefinitionError, match="which no control sets"):
        Task(definition.model_copy(update={"controls": slots}))


def test_the_observation_is_in_the_definitions_order_and_clipped(task):
    result = outcome(task)
    names = task.observations.names
    assert names[:3] == ("replicas", "starting", "ready")
    assert result.observation.dtype == np.float32
    assert result.observation[names.index("latency_p95")] == 5.0
    assert result.metrics["latency_p95"] == 7.0
    assert result.observation[names.index("last_action")] == 1


def test_a_change_is_against_the_step_before_and_zero_at_first(task):
    index = task.observations.names.index("request_rate_change")
    assert outcome(task).observation[index] == 0
    assert outcome(task, request_rate=75.0).observation[index] == 15
    task.begin()
    assert outcome(task, request_rate=90.0).observation[index] == 0


def test_nothing_to_measure_is_told(task):
    result = outcome(task, requests=0.0, ok=0.0, within_slo=0.0)
    assert result.metrics["error_share"] == 0
    assert result.metrics["slo_share"] == 1
    assert {"error_share", "slo_share"} <= result.empty


def test_a_formula_without_a_number_and_without_a_rule_is_an_error():
    formulas = Formulas({"share": FormulaMetric(formula="ok / requests")})
    with pytest.raises(MetricsError, match="share has no value"):
        formulas.evaluate({"ok": 0.0, "requests": 0.0})


def test_formulas_that_need_each_other_are_refused():
    with pytest.raises(DefinitionError, match="need each other"):
        Formulas({"one": FormulaMetric(formula="two"), "two": FormulaMetric(formula="one")})


def test_outcomes_do_not_change_afterwards(task):
    with pytest.raises(dataclasses.FrozenInstanceError):
        outcome(task).reward = 0  # type: ignore[misc]


def test_applies_that_go_on_are_a_metric_of_their_own(task):
    assert outcome(task).metrics["pending"] == 0
    told = task.outcome(MEASURED, {"replicas": 4}, seconds=5.0, pending=2)
    assert told.metrics["pending"] == 2
