"""FaaSScaling-v0's observation and reward on worked examples, through the definition itself.

The reward of FaaSTrainGym: 0.75 throughput^2 + 0.125 cpu% + 0.125 memory% - 0.25 (replicas - 1)^2,
rounded to two places; 1000 less where the replicas observed are not those that the action asked
for.
"""

from __future__ import annotations

import pytest

from infra_gym.definitions import find_definition
from infra_gym.errors import ActionError, ExpressionError, MetricsError
from infra_gym.task.task import Task

DEFINITION = find_definition("FaaSScaling-v0")
SECONDS = 30.0


def measured(**changed):
    """What a world measures in an interval: 120 requests, all answered, in 0.5 s each."""
    values = {
        "requests": 120.0,
        "answered": 120.0,
        "request_rate": 4.0,
        "execution_seconds": 60.0,
        "executions": 120.0,
        "within_slo": 120.0,
        "ready": 1.0,
        "backlog": 0.0,
        "cpu_cores": 0.05,
        "cpu_request": 0.1,
        "memory_bytes": 32.0,
        "memory_request": 64.0,
        "existing": 1.0,
        "held": 0.0,
        "cold_starts": 0.0,
        "cold_start_seconds": 0.0,
        "concurrency": 2.0,
        "busy": 1.0,
        "latency_p95": 0.6,
    }
    return {**values, **changed}


def outcome(wanted, out_of_bounds=False, seconds=SECONDS, **values):
    return Task(DEFINITION).outcome(
        measured(**values), {"replicas": wanted}, seconds=seconds, out_of_bounds=out_of_bounds
    )


@pytest.mark.parametrize(
    ("throughput", "cpu", "memory", "ready", "wanted", "beyond", "reward"),
    [
        (100, 0.0, 0.0, 1, 1, False, 7500.0),
        (100, 0.5, 0.5, 1, 1, False, 7512.5),  # 7500 + 6.25 + 6.25
        (100, 0.5, 0.25, 3, 3, False, 7508.38),  # 7500 + 6.25 + 3.125 - 1 = 7508.375
        (95, 0.8, 0.4, 4, 4, False, 6781.5),  # 6768.75 + 10 + 5 - 2.25
        (50, 0.3, 0.1, 10, 10, False, 1859.75),  # 1875 + 3.75 + 1.25 - 20.25
        (0, 0.0, 0.0, 10, 10, False, -20.25),
        (0, 1.2, 0.9, 1, 1, False, 26.25),  # more than was requested
        (0, 0.01, 0.0, 1, 1, False, 0.12),  # 0.125: half to even, as Python's round
        (0, 0.03, 0.0, 1, 1, False, 0.38),  # 0.375
        (100, 0.5, 0.5, 1, 2, False, 6512.5),  # one is not there yet
        (100, 0.5, 0.5, 3, 2, False, 6511.5),  # one is still there
        (100, 0.5, 0.5, 1, 1, True, 6512.5),  # asked for 0
        (100, 0.0, 0.0, 10, 10, True, 6479.75),  # asked for 11
    ],
)
def test_the_reward(throughput, cpu, memory, ready, wanted, beyond, reward):
    got = outcome(
        wanted,
        beyond,
        requests=100.0,
        answered=float(throughput),
        ready=float(ready),
        existing=float(ready),
        cpu_cores=cpu * 0.1 * ready,
        memory_bytes=memory * 64.0,
    )
    assert got.reward == reward


def test_the_observation():
    got = outcome(
        2, answered=90.0, execution_seconds=63.0, executions=90.0, ready=2.0, existing=2.0
    )
    # Mean time, share of 200s in per cent, requests in 30 s, replicas, and use over request.
    assert got.observation.tolist() == pytest.approx([0.7, 75.0, 120.0, 2.0, 0.25, 0.5])


def test_requests_are_those_of_30_seconds_on_every_target():
    assert outcome(1, seconds=5.0, requests=20.0).observation[2] == 120


def test_no_request_is_a_throughput_of_100_and_told():
    got = outcome(1, requests=0.0, answered=0.0, execution_seconds=0.0, executions=0.0)
    assert got.observation[:3].tolist() == [0, 100, 0]
    assert {"throughput", "execution_time"} <= got.empty


def test_without_replicas_nothing_is_used_and_that_is_told():
    got = outcome(1, ready=0.0, existing=0.0, cpu_cores=0.0, cpu_request=0.0, memory_request=0.0)
    assert got.metrics["cpu"] == got.metrics["memory"] == 0
    assert {"cpu", "memory"} <= got.empty
    assert got.terms["unsuccessful"] == -1000


@pytest.mark.parametrize("name", ["requests", "answered", "ready", "execution_seconds"])
def test_a_number_that_is_missing_is_an_error(name):
    values = measured()
    del values[name]
    with pytest.raises((MetricsError, ExpressionError), match=name):
        Task(DEFINITION).outcome(values, {"replicas": 1}, seconds=SECONDS)


def test_no_metric_of_the_gateway_that_counts_has_a_value_for_nothing():
    for name in ("requests", "answered", "execution_seconds", "executions", "ready", "backlog"):
        assert DEFINITION.metrics[name].empty is None


def test_two_actions_and_one_that_leads_beyond_changes_nothing():
    task = Task(DEFINITION)
    assert task.controls.space.n == 2
    up = task.move(1, {"replicas": 1})
    assert (up.controls, up.clipped) == ({"replicas": 2}, ())
    for action, replicas in ((0, 1), (1, 10)):
        beyond = task.move(action, {"replicas": replicas})
        assert beyond.controls == {"replicas": replicas}
        assert beyond.clipped == ("replicas",)
    with pytest.raises(ActionError):
        task.move(2, {"replicas": 1})
