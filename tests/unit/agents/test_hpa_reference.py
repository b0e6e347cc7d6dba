"""Our autoscaler against Kubernetes' own code: see hpa_reference/README.md."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from infra_gym.agents.replica_calculator import Pod, ReplicaCalculator
from infra_gym.agents.scaling_rules import DOWN, UP, Direction, Policy, ScalingRules

FOLDER = Path(__file__).parent / "hpa_reference"
TABLES = ("replica_calculator.json.gz", "controller.json.gz")


def table(path: Path) -> list[dict]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def pod(phase, ready, started_ago, changed_ago, usage, sampled_ago, window, request) -> Pod:
    return Pod(
        phase="terminating" if phase == "failed" else phase,
        ready=ready,
        started_s=-started_ago,
        changed_s=-changed_ago,
        usage=usage if usage >= 0 else None,
        usage_since_s=-sampled_ago - window,
        request=request,
    )


def our_replicas(case: dict) -> int | None:
    calculator = ReplicaCalculator(
        case["target"], case["tolerance"], case["initialisation_s"], case["readiness_delay_s"]
    )
    return calculator.replicas(case["current"], [pod(*each) for each in case["pods"]], now_s=0.0)


def direction(rules: dict) -> Direction:
    policies = (Policy(each["kind"], each["value"], each["period_s"]) for each in rules["policies"])
    return Direction(rules["window_s"], tuple(policies))


def our_syncs(scenario: dict) -> list[list[int]]:
    calculator = ReplicaCalculator(scenario["target"])
    rules = ScalingRules(
        scenario["low"], scenario["high"], direction(scenario["up"]), direction(scenario["down"])
    )
    syncs = []
    for k, (current, percent, _) in enumerate(scenario["syncs"]):
        now_s = k * scenario["interval_s"]
        pods = [pod("running", True, 3600, 3600, percent * 10, 0, 15, 1000)] * current
        recommended = calculator.replicas(current, pods, 0.0)
        assert recommended is not None
        wanted = rules.limit(recommended, current, now_s)
        if wanted != current:
            rules.record(current, wanted, now_s)
        syncs.append([current, percent, wanted])
    return syncs


def test_the_replica_calculator_is_kubernetes_own():
    cases = table(FOLDER / TABLES[0])
    answered = [case for case in cases if case["replicas"] is not None]
    assert len(answered) >= 10_000
    assert len(answered) < len(cases)
    different = [case for case in cases if our_replicas(case) != case["replicas"]]
    assert different == []


def test_the_table_covers_what_matters():
    cases = table(FOLDER / TABLES[0])
    kept = sum(case["replicas"] == case["current"] for case in cases)
    up = sum((case["replicas"] or 0) > case["current"] for case in cases)
    phases = {each[0] for case in cases for each in case["pods"]}
    assert min(kept, up, len(cases) - kept - up) > 1000
    assert phases == {"running", "pending", "failed", "terminating"}
    on_border = 0
    for case in cases:
        usage = sum(each[4] for each in case["pods"])
        request = sum(each[7] for each in case["pods"])
        on_border += usage * 100 // request in (case["target"] * 0.9, case["target"] * 1.1)
    assert on_border > 100


def test_the_scaling_rules_are_the_controller_s():
    scenarios = table(FOLDER / TABLES[1])
    assert sum(len(scenario["syncs"]) for scenario in scenarios) >= 10_000
    for scenario in scenarios:
        assert our_syncs(scenario) == scenario["syncs"]


def test_the_defaults_are_kubernetes_own():
    scenario = table(FOLDER / TABLES[1])[0]
    assert (direction(scenario["up"]), direction(scenario["down"])) == (UP, DOWN)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("go") is None, reason="needs go")
@pytest.mark.skipif(
    os.environ.get("INFRA_GYM_TEST_GO") != "1",
    reason="builds Kubernetes' controller: set INFRA_GYM_TEST_GO=1",
)
def test_kubernetes_still_answers_as_the_tables_say(tmp_path):
    made = subprocess.run(
        ["go", "test", "-count=1", "."],
        cwd=FOLDER,
        env=os.environ | {"HPA_TABLES": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    for name in TABLES:
        assert table(tmp_path / name) == table(FOLDER / name)
