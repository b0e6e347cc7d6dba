from __future__ import annotations

import subprocess
import sys

import pytest

from infra_gym.definitions.catalog import find_definition
from infra_gym.definitions.models import CounterMetric, GaugeMetric, HistogramMetric, Metric
from infra_gym.errors import DefinitionError, NotReadyError
from infra_gym.simulators.webapp_parameters import WebAppParameters, WebAppSpread
from infra_gym.worlds.simulated import SimulatedWorld

DEFINITION = find_definition("SimpleK8sWebApp-v0")


def with_metric(name: str, metric: Metric) -> SimulatedWorld:
    return twin(DEFINITION.model_copy(update={"metrics": {**DEFINITION.metrics, name: metric}}))


def twin(definition=DEFINITION, **rest) -> SimulatedWorld:
    return SimulatedWorld(
        definition, workload=definition.workload, interval_s=15.0, time_scale=4.0, **rest
    )


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


@pytest.mark.parametrize(
    ("name", "metric", "told"),
    [
        ("exists", GaugeMetric(gauge="sum(up)"), "Did you mean 'existing'"),
        ("lost", CounterMetric(counter="siege_requests_lost_total"), "siege_requests_lost_total"),
        ("ok", CounterMetric(counter='siege_requests_total{code!="503"}'), "code!="),
        ("late", HistogramMetric(histogram="siege_lateness_seconds", quantile=0.5), "lateness"),
    ],
)
def test_a_metric_that_it_does_not_have_is_refused(name, metric, told):
    with pytest.raises(DefinitionError, match=told):
        with_metric(name, metric)


def test_a_selector_means_what_prometheus_would_take_it_for():
    def measured(metric: Metric, replicas: int = 1) -> float:
        world = with_metric("asked", metric)
        world.reset(1, {"replicas": replicas}, "soft")
        for _ in range(4):
            values = world.step({"replicas": replicas}).values
        return values["asked"]

    def of_codes(matcher: str) -> float:
        return measured(CounterMetric(counter=f"siege_requests_total{{{matcher}}}"))

    every = measured(CounterMetric(counter="siege_requests_total"))
    assert 0 < of_codes('code="200"') < every
    assert of_codes('code=~"200|503"') == of_codes('code="200"') + of_codes('code="503"')
    bucket = 'siege_request_duration_seconds_bucket{code="200", le="%s"}'
    within = [measured(CounterMetric(counter=bucket % le), 2) for le in ("0.25", "0.5", "+Inf")]
    assert within == sorted(within)
    assert within[0] < within[-1]


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


def test_parameters_reach_the_twin():
    world = twin(parameters=WebAppParameters(overhead_s=0.3))
    world.reset(1, {"replicas": 8}, "soft")
    assert world.step({"replicas": 8}).values["within_slo"] == 0
    slow = twin(parameters=WebAppParameters(boot_s=100.0, apply_s=2.0))
    slow.reset(1, {"replicas": 2}, "soft")
    reading = slow.step({"replicas": 3})
    assert reading.by_label["replica_ready"] == {
        "replica-0": 1.0,
        "replica-1": 1.0,
        "replica-2": 0.0,
    }
    assert reading.by_label["replica_started"]["replica-2"] == 2.0


def test_each_episode_draws_from_a_spread_by_its_seed():
    spread = WebAppSpread(WebAppParameters(overhead_s=0.0), WebAppParameters(overhead_s=0.2))
    world = twin(parameters=spread)

    def median(seed: int) -> float:
        world.reset(seed, {"replicas": 8}, "soft")
        return world.step({"replicas": 8}).values["latency_p50"]

    medians = [median(seed) for seed in (1, 2, 3, 1)]
    assert medians[0] == medians[3]
    assert len(set(medians)) == 3
    drawn = [spread.draw(seed).overhead_s for seed in range(200)]
    assert 0 <= min(drawn) < 0.02
    assert 0.18 < max(drawn) <= 0.2


def test_services_of_the_definition_may_be_exponential():
    def p95(service: str) -> float:
        inputs = {
            **DEFINITION.inputs,
            "heater": {**DEFINITION.inputs["heater"], "service": service},
        }
        world = twin(DEFINITION.model_copy(update={"inputs": inputs}))
        world.reset(1, {"replicas": 8}, "soft")
        return world.step({"replicas": 8}).values["latency_p95"]

    assert p95("exponential") > 1.5 * p95("constant")


@pytest.mark.parametrize("le", ["0.26", "fast"])
def test_a_bound_that_is_no_bucket_s_is_refused(le):
    asked = CounterMetric(counter=f'siege_request_duration_seconds_bucket{{le="{le}"}}')
    with pytest.raises(DefinitionError, match=r"Its bounds are 0\.005, 0\.01"):
        with_metric("asked", asked)


def test_numba_is_imported_when_a_simulator_begins():
    program = "import sys, infra_gym.environments.make; sys.exit('numba' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_step_needs_a_reset():
    with pytest.raises(NotReadyError):
        twin().step({"replicas": 2})
