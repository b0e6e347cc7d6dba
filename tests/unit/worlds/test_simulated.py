from __future__ import annotations

import pytest

from infra_gym.definitions.catalog import find_definition
from infra_gym.definitions.models import CounterMetric, HistogramMetric
from infra_gym.errors import DefinitionError, NotReadyError
from infra_gym.worlds.simulated import SimulatedWorld

DEFINITION = find_definition("SimpleK8sWebApp-v0")


def twin(definition=DEFINITION) -> SimulatedWorld:
    return SimulatedWorld(definition, workload=definition.workload, interval_s=15.0, time_scale=4.0)


def test_it_has_every_measured_metric_of_the_definition():
    world = twin()
    reading = world.reset(1, {"replicas": 2}, "soft")
    assert reading.tick == 0
    assert {"latency_p95", "request_rate"} <= reading.empty
    reading = world.step({"replicas": 3})
    assert not reading.empty
    assert reading.time_s == 60
    assert reading.values["existing"] == 3
    assert set(reading.by_label["replica_ready"]) == set(reading.by_label["replica_utilisation"])


def test_more_replicas_are_faster():
    def p95(replicas: int) -> float:
        world = twin()
        world.reset(1, {"replicas": replicas}, "soft")
        world.step({"replicas": replicas})
        return max(world.step({"replicas": replicas}).values["latency_p95"] for _ in range(5))

    assert p95(1) > 2 * p95(6)


def test_another_simulator_or_metric_is_refused():
    with pytest.raises(DefinitionError, match="no simulator 'nothing'"):
        twin(DEFINITION.model_copy(update={"simulator": "nothing"}))
    metrics = {**DEFINITION.metrics, "requets": CounterMetric(counter="siege_requests_total")}
    with pytest.raises(DefinitionError, match="Did you mean 'requests'"):
        twin(DEFINITION.model_copy(update={"metrics": metrics}))


def test_a_control_may_have_any_name_but_the_twin_has_only_one():
    replicas = DEFINITION.controls["replicas"]
    renamed = DEFINITION.model_copy(update={"controls": {"servers": replicas}})
    world = twin(renamed)
    world.reset(1, {"servers": 3}, "soft")
    assert world.step({"servers": 4}).values["existing"] == 4
    slots = replicas.model_copy(update={"input": "slots"})
    both = DEFINITION.model_copy(update={"controls": {"replicas": replicas, "slots": slots}})
    with pytest.raises(DefinitionError, match="cannot act on slots"):
        twin(both)


def test_another_histogram_is_refused_and_not_taken_for_the_latency():
    lateness = HistogramMetric(histogram="siege_lateness_seconds", quantile=0.99)
    metrics = {**DEFINITION.metrics, "lateness": lateness}
    with pytest.raises(DefinitionError, match="siege_lateness_seconds"):
        twin(DEFINITION.model_copy(update={"metrics": metrics}))


def test_a_step_needs_a_reset():
    with pytest.raises(NotReadyError):
        twin().step({"replicas": 2})
