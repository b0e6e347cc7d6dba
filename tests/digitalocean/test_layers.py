"""Every do layer with the real provider against the fake account: applied, changed, destroyed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra_gym.testing.digitalocean import Durations, FakeDigitalOcean
from tests.digitalocean.conftest import LAYERS
from tests.digitalocean.openapi import DESCRIPTION, Description

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_provider")]

RUN = {"project": "p", "environment": "e", "expires": "2026-11-28T12:00:00Z"}


class Bare:
    """Layers driven with bare Terraform, as a user would."""

    def __init__(self, program: str, folder: Path, url: str) -> None:
        self._program = program
        self._folder = folder
        self._environ = {
            **os.environ,
            "DIGITALOCEAN_API_URL": url,
            "DIGITALOCEAN_TOKEN": "any",
            "TF_IN_AUTOMATION": "1",
        }

    def run(self, layer: str, *command: str, **variables: Any) -> str:
        """One command, with variables as a file; its output."""
        folder = self._folder / layer
        if not folder.exists():
            shutil.copytree(LAYERS / layer, folder)
            self._call(folder, "init", "-input=false")
        if variables:
            (folder / "inputs.auto.tfvars.json").write_text(json.dumps(variables))
        return self._call(folder, *command)

    def apply(self, layer: str, **variables: Any) -> dict[str, Any]:
        """Apply; the outputs."""
        self.run(layer, "apply", "-auto-approve", "-input=false", **variables)
        told = json.loads(self.run(layer, "output", "-json"))
        return {name: output["value"] for name, output in told.items()}

    def _call(self, folder: Path, *command: str) -> str:
        done = subprocess.run(
            [self._program, f"-chdir={folder}", *command, "-no-color"],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout


@pytest.fixture
def fake() -> Iterator[FakeDigitalOcean]:
    description = Description() if DESCRIPTION.exists() else None
    durations = Durations(cluster_boot_s=1, node_boot_s=1, cluster_delete_s=15)
    with FakeDigitalOcean(durations=durations, on_exchange=description) as server:
        yield server
    assert description is None or description.problems == []


@pytest.fixture
def bare(terraform_program: str, tmp_path: Path, fake: FakeDigitalOcean) -> Bare:
    return Bare(terraform_program, tmp_path, fake.url)


def test_core_keeps_the_name_of_its_first_apply(bare, fake):
    first = bare.apply("core", **RUN)
    assert first["name"] == "ig-20261128t1200z-86ffe8ef-p-e"
    later = bare.apply(
        "core", **{**RUN, "expires": "2026-12-31T00:00:00Z", "ssh_from": ["192.0.2.7/32"]}
    )
    assert later == first
    (firewall,) = fake.account.all_of("firewall")
    ssh = [rule for rule in firewall.body["inbound_rules"] if rule["ports"] == "22"]
    assert [rule["sources"]["addresses"] for rule in ssh] == [["192.0.2.7/32"]]
    bare.run("core", "destroy", "-auto-approve")
    assert fake.left() == []


def test_a_cluster_and_its_pool_from_nothing_to_nothing(bare, fake):
    core = bare.apply("core", **RUN)
    inputs = {name: core[name] for name in ("name", "region", "vpc_id", "project_id")}
    made = bare.apply("managed-k8s", **inputs)
    cluster = fake.account.find("kubernetes", made["cluster_id"])
    assert cluster.body["ha"] is False
    pools = {pool["name"]: pool for pool in cluster.body["node_pools"]}
    assert pools["app"]["taints"] == [
        {"key": "infra-gym/pool", "value": "app", "effect": "NoSchedule"}
    ]
    grown = bare.apply("managed-k8s", **inputs, nodes=3)
    assert grown["nodes"] == 3
    assert grown["cluster_id"] == made["cluster_id"]
    # The cluster is still going when the VPC is to go: core's destroy waits for it.
    bare.run("managed-k8s", "destroy", "-auto-approve")
    assert {one.kind for one in fake.left()} > {"kubernetes", "vpc"}
    bare.run("core", "destroy", "-auto-approve")
    assert fake.left() == []
