"""A database in the request: it works, its password is nowhere, and it can be what is too slow."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra_gym.definitions import definitions_folder
from infra_gym.environments.env import InfraEnv
from infra_gym.environments.make import make

ID = "PersistentK8sWebApp-v0"
INTERVAL_S = 5.0
FEW, MANY = 2, 6
SETTLE_STEPS = 5
MEASURED_STEPS = 2

pytestmark = pytest.mark.timeout(600)

# A replica's two slots serve 10 requests a second: two replicas are too few for 24, six are plenty.
LOAD = {"profile": "constant", "mean_rps": 24}
HEATER = {"slots": 2, "service_time_s": 0.16, "queue_limit": 16, "query_connections": 2}
ROOMY = "SELECT pg_sleep(0.04)"
# All want the same row: 16 of them a second get it, whatever the number of replicas.
NARROW = "SELECT pg_advisory_xact_lock(1), pg_sleep(0.06)"


@contextmanager
def standing(folder: Path, project: str, name: str, query: str) -> Iterator[InfraEnv]:
    """The environment whose requests ask that, after its reset."""
    document = yaml.safe_load((definitions_folder() / f"{ID}.yaml").read_text())
    document["workload"] = LOAD
    # The SLO is met by a request that does not queue, on a slow machine as well.
    document["slo"]["latency_s"] = 1.0
    within = document["metrics"]["within_slo"]
    within["counter"] = within["counter"].replace('le="0.25"', 'le="1.0"')
    document["inputs"]["heater"] |= HEATER | {"query": query}
    path = folder / f"{ID}.yaml"
    path.write_text(yaml.safe_dump(document))
    env = make(
        str(path), target="k8s", project=project, environment=name, interval_s=INTERVAL_S,
        action="absolute",
    )  # fmt: skip
    try:
        env.reset(seed=1)
        yield env
    finally:
        env.close()


def measured(env: InfraEnv, replicas: int) -> dict[str, float]:
    """The means of some steps with so many replicas, after those that have to settle."""
    action = replicas - env.definition.controls["replicas"].low
    for _ in range(SETTLE_STEPS):
        env.step(action)
    metrics: list[dict[str, Any]] = [env.step(action)[-1]["metrics"] for _ in range(MEASURED_STEPS)]
    return {
        name: sum(one[name] for one in metrics) / len(metrics)
        for name in (
            "latency_p95",
            "slo_share",
            "database_wait_p95",
            "database_query_p95",
            "ready",
            "ok",
        )
    }


def test_more_replicas_help_where_the_database_has_room(tmp_path, project):
    with standing(tmp_path, project, "roomy", ROOMY) as env:
        few, many = measured(env, FEW), measured(env, MANY)
    print("roomy", few, many)
    assert many["ready"] == MANY
    assert many["latency_p95"] < 0.5 * few["latency_p95"]
    assert many["slo_share"] > 0.9
    assert many["database_wait_p95"] < 0.1


def test_more_replicas_do_not_help_where_the_database_is_full(tmp_path, project):
    with standing(tmp_path, project, "narrow", NARROW) as env:
        few, many = measured(env, FEW), measured(env, MANY)
    print("narrow", few, many)
    assert many["ready"] == MANY
    assert many["latency_p95"] > 0.8 * few["latency_p95"]
    assert many["latency_p95"] > 1
    assert many["slo_share"] < 0.5
    assert many["ok"] < 1.2 * few["ok"]
    assert many["database_query_p95"] > 2 * 0.06, "they wait for each other"


def test_the_password_is_in_the_cluster_and_nowhere_else(tmp_path, project, data_folder, kubectl):
    with standing(tmp_path, project, "secret", ROOMY) as env:
        namespace = env.world.stack.outputs("k8s/core")["namespace"]
        secret = json.loads(kubectl("-n", namespace, "get", "secret", "postgresql", "-o", "json"))
        password = base64.b64decode(secret["data"]["password"])
        assert len(password) >= 32
        holding = [
            file
            for file in (*data_folder.rglob("*"), *tmp_path.rglob("*"))
            if file.is_file() and password in file.read_bytes()
        ]
        assert holding == []
        logs = kubectl("-n", namespace, "logs", "deploy/postgresql")
        assert password.decode() not in logs
