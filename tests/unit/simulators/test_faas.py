"""The simulated function: cases by hand, queueing theory, and batches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infra_gym.errors import UsageError
from infra_gym.simulators.faas_reading import Functions
from infra_gym.simulators.faas_rules import MIB, Rules

# One worker compiles, once, what all of these need.
pytestmark = pytest.mark.xdist_group("faas")


QUIET = {"overhead_s": 0.01, "boot_s": 1.4, "drain_s": 1.0, "timeout_s": 60.0}


@pytest.fixture
def function(function_class):
    def make(arrivals, *, replicas=1, most=10, seed=0, **rules):
        return function_class(
            Rules(**{**QUIET, **rules}), arrivals, replicas=replicas, max_replicas=most, seed=seed
        )

    return make


def test_a_call_after_zero_waits_for_the_boot_and_is_measured(function):
    cold = function([1.0, 2.0], replicas=0)
    counts = cold.advance(5.0, 0)
    assert (counts.in_flight, counts.held, counts.cold_starts) == (2, 2, 0)
    assert counts.ready == {}
    assert math.isnan(counts.memory_bytes)
    assert counts.inflight_seconds == pytest.approx(4 + 3)
    counts = cold.advance(10.0, 1)
    assert counts.ended == {"200": 2, "429": 0, "504": 0}
    assert counts.cold_starts == 2
    # Ready at 5 + 1.4.
    assert counts.cold_start_seconds == pytest.approx(5.4 + 4.4)
    assert counts.seconds["200"] == pytest.approx(5.4 + 4.4 + 2 * 0.51)
    assert counts.started_s == {"replica-0": 5.0}


def test_what_is_held_too_long_gets_504(function):
    counts = function([1.0, 2.0, 9.0], replicas=0, timeout_s=6.0).advance(10.0, 0)
    assert counts.ended["504"] == 2
    assert counts.seconds["504"] == pytest.approx(12.0)
    assert counts.held == 1


def test_scaling_to_zero_finishes_what_is_under_way(function):
    counts = function([1.0]).advance(1.2, 1)
    assert counts.in_flight == 1
    leaving = function([1.0])
    leaving.advance(1.2, 1)
    counts = leaving.advance(1.4, 0)
    assert counts.ready == {"replica-0": False}
    counts = leaving.advance(4.0, 0)
    assert counts.ended["200"] == 1
    assert counts.ready == {}
    assert counts.busy_s == {"replica-0": pytest.approx(0.05)}  # 0.1 s of one of two slots


def test_a_full_replica_refuses_with_429(function):
    counts = function([0.0] * 15, slots=2, queue_limit=8).advance(10.0, 1)
    assert counts.ended == {"200": 10, "429": 5, "504": 0}
    assert counts.seconds["200"] == pytest.approx(sum(2 * k * 0.5 for k in range(1, 6)) + 10 * 0.01)


def test_processor_and_memory_are_what_services_boots_and_being_there_cost(function):
    used = function(
        [0.0, 0.0, 0.0],
        cpu_s=0.1,
        overhead_cpu_s=0.05,
        boot_cpu_s=0.3,
        idle_cores=0.01,
        memory_base_mib=20.0,
        memory_mib=6.0,
    )
    counts = used.advance(0.25, 1)  # two begin, the third waits
    assert counts.cpu_seconds == pytest.approx(2 * 0.15 + 0.25 * 0.01)
    assert counts.memory_bytes == pytest.approx(32 * MIB)
    counts = used.advance(1.25, 2)
    assert counts.cpu_seconds == pytest.approx(0.15 + 0.3 + 2 * 0.01)
    assert counts.memory_bytes == pytest.approx(20 * MIB)


def test_one_server_waits_as_queueing_theory_says(function):
    rate, service = 1.4, 0.5
    rng = np.random.default_rng(4)
    arrivals = np.cumsum(rng.exponential(1 / rate, 200_000))
    counts = function(
        arrivals, slots=1, service_time_s=service, queue_limit=500, timeout_s=1e6, overhead_s=0.0
    ).advance(float(arrivals[-1]) + 1e3, 1)
    load = rate * service
    waits = counts.seconds["200"] / counts.ended["200"] - service
    assert waits == pytest.approx(load * service / (2 * (1 - load)), rel=0.05)  # M/D/1
    assert counts.inflight_seconds == pytest.approx(counts.seconds["200"])  # Little


def test_a_batch_is_its_single_functions(function_class):
    rules = Rules(boot_s=1.3, queue_limit=3)
    rng = np.random.default_rng(1)
    calls = [np.sort(rng.uniform(0, 16, number)) for number in (400, 300, 0, 399, 120)]
    batch = Functions(rules, functions=5, max_replicas=4, schedule_s=16.0)
    alone = []
    for place, arrivals in enumerate(calls):
        batch.begin(place, arrivals, replicas=1, seed=place)
        alone.append(
            function_class(
                rules, arrivals, replicas=1, max_replicas=4, schedule_s=16.0, seed=place
            ).batch
        )
    ticks = np.zeros(5)
    for _ in range(9):
        wanted, idle = rng.integers(0, 5, 5), rng.random(5) < 0.3
        ticks += ~idle
        batch.advance(5.0 * ticks, wanted, idle)
        together = batch.counts()
        for place, single in enumerate(alone):
            if not idle[place]:
                single.advance(5.0 * ticks[[place]], wanted[[place]], np.array([False]))
            apart = single.counts()
            for name in apart.__slots__:
                assert np.array_equal(
                    getattr(apart, name)[0], getattr(together, name)[place], equal_nan=True
                ), name
            assert single.replicas(0) == batch.replicas(place)


def test_a_schedule_repeats(function_class):
    repeated = function_class(Rules(), [1.0], replicas=1, max_replicas=1, schedule_s=10.0)
    assert [repeated.advance(10.0 * lap, 1).started for lap in (1, 2, 3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("rules", "name"),
    [
        ({"slots": 0}, "slots at least 1"),
        ({"service_time_s": 0}, "service_time_s above 0"),
        ({"boot_s": -1}, "boot_s at least 0"),
        ({"timeout_s": math.inf}, "timeout_s above 0"),
        ({"cpu_s": math.nan}, "cpu_s at least 0"),
    ],
)
def test_what_cannot_be_is_refused(rules, name):
    with pytest.raises(UsageError, match=name):
        Rules(**rules)
