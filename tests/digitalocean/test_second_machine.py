"""From a machine that has nothing but the ledger and the account's token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra_gym.stack.ledger import LayerRecord, Ledger, StackRecord, now
from infra_gym.stack.lock import Owner
from infra_gym.stack.storage import FolderStorage
from infra_gym.testing.digitalocean import FakeDigitalOcean
from infra_gym.testing.digitalocean import kubernetes as clusters
from tests.unit.conftest import FakeApiServer

pytestmark = pytest.mark.timeout(400)  # each command is a process that loads much

LAYERS = {"do/managed-k8s": {"cluster_id": ""}, "k8s/core": {"namespace": "p-e-12345678"}}


@pytest.fixture
def api_server() -> Iterator[FakeApiServer]:
    server = FakeApiServer()
    server.token = "of-the-cluster"
    server.answers["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "uid-1"}}
    server.answers["/api/v1/namespaces/p-e-12345678/pods"] = {"items": []}
    yield server
    server.close()


@pytest.fixture
def fake(api_server: FakeApiServer, tmp_path: Path) -> Iterator[FakeDigitalOcean]:
    file = api_server.kubeconfig(tmp_path / "behind", {"token": "of-the-cluster"})
    with FakeDigitalOcean(kubeconfig=file) as server:
        yield server


@pytest.fixture
def cluster(fake: FakeDigitalOcean, tmp_path: Path) -> str:
    """The id of the cluster of a stack that another machine made."""
    pool = {"name": "system", "size": "s-2vcpu-4gb", "count": 1}
    made = clusters.create(
        fake.account,
        {"name": "it", "region": "nyc3", "version": "1.34.4-do.0", "node_pools": [pool]},
    )
    owner = Owner.of_this_process(1).model_copy(update={"host": "another", "machine": "another"})
    ledger = Ledger(FolderStorage(tmp_path / "data/state"), "p", "e")
    ledger.write_stack(
        StackRecord(
            id=None,
            target="do",
            cluster="uid-1",
            kubeconfig="/nowhere/on/this/machine",
            context="do-it",
            layers=tuple(LAYERS),
            created=now(),
            expires=now() + timedelta(hours=3),
            owner=owner,
        )
    )
    for layer, outputs in (LAYERS | {"do/managed-k8s": {"cluster_id": made["id"]}}).items():
        ledger.write(
            LayerRecord(
                layer=layer,
                status="applied",
                outputs=outputs,
                owner=owner,
                started=now(),
                updated=now(),
                source_hash="",
                terraform="terraform 1.11.4",
            )
        )
    return str(made["id"])


def tell(fake: FakeDigitalOcean, tmp_path: Path, *arguments: str) -> dict[str, Any]:
    kept = ("INFRA_GYM_", "KUBE", "DIGITALOCEAN_")
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(kept)},
        "DIGITALOCEAN_TOKEN": "any",
        "DIGITALOCEAN_API_URL": fake.url,
        "INFRA_GYM_DATA_FOLDER": str(tmp_path / "data"),
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "infra_gym", *arguments, "-p", "p", "-e", "e", "--json"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_the_way_to_the_cluster_is_got_from_the_account(fake, cluster, tmp_path):
    told = tell(fake, tmp_path, "kubeconfig")
    assert told["namespace"] == "p-e-12345678"
    (user,) = yaml.safe_load(told["kubeconfig"])["users"]
    assert user["user"] == {"token": "of-the-cluster"}
    assert f"GET /v2/kubernetes/clusters/{cluster}/credentials" in fake.requests


def test_logs_are_read_through_it(fake, cluster, tmp_path):
    assert tell(fake, tmp_path, "logs")["logs"] == {}
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["state"]
