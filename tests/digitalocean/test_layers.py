"""Every do layer with the real provider against the fake account: applied, changed, destroyed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra_gym.testing.digitalocean import Durations, FakeDigitalOcean
from tests.digitalocean.bare import RUN, Bare
from tests.digitalocean.openapi import DESCRIPTION, Description

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_provider")]


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
    later = bare.apply("core", **{**RUN, "expires": "2026-12-31T00:00:00Z"})
    assert later == first
    (firewall,) = fake.account.all_of("firewall")
    assert firewall.body["inbound_rules"] == []
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
