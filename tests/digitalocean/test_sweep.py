"""``infra-gym sweep`` with the fake account."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from infra_gym.clouds.digitalocean_runs import digest_of, title_of
from infra_gym.stack.ledger import LayerRecord, Ledger, StackRecord, now
from infra_gym.stack.lock import Owner, StackLock
from infra_gym.stack.storage import FolderStorage
from infra_gym.testing.digitalocean import (
    Durations,
    FakeDigitalOcean,
    droplets,
    networks,
    projects,
)
from infra_gym.testing.digitalocean import kubernetes as clusters
from tests.digitalocean.openapi import DESCRIPTION, Description

pytestmark = pytest.mark.timeout(400)  # each sweep is a process that loads pydo


@pytest.fixture
def fake():
    with FakeDigitalOcean(durations=Durations(cluster_delete_s=0)) as server:
        yield server


def name_of(hours: float, digest: str) -> str:
    moment = time.gmtime(time.time() + hours * 3600)
    return f"ig-{time.strftime('%Y%m%dt%H%M', moment)}z-{digest}"


def leave(fake: FakeDigitalOcean, name: str) -> str:
    projects.create(fake.account, {"name": f"{name}-p-e", "purpose": "p"})
    networks.create_vpc(fake.account, {"name": f"{name}-p-e", "region": "nyc3"})
    return name


def sweep(fake: FakeDigitalOcean, tmp_path: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("INFRA_GYM_")},
        "DIGITALOCEAN_TOKEN": "any",
        "DIGITALOCEAN_API_URL": fake.url,
        "INFRA_GYM_DATA_FOLDER": str(tmp_path / "data"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "infra_gym", "sweep", "--json", *arguments],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_expired_go_and_the_unknown_stay_until_named(fake, tmp_path):
    late, fresh = leave(fake, name_of(-1, "0" * 8)), leave(fake, name_of(5, "1" * 8))
    code, told = sweep(fake, tmp_path, "--dry-run")
    assert code == 0
    assert {one["name"]: one["verdict"] for one in told["leftovers"]} == {
        late: "expired",
        fresh: "unknown",
    }
    assert len(fake.left()) == 4

    code, told = sweep(fake, tmp_path)
    assert (code, told["swept"], told["failed"]) == (0, [late], {})
    assert len(fake.left()) == 2

    code, told = sweep(fake, tmp_path, fresh)
    assert (code, told["swept"]) == (0, [fresh])
    assert fake.left() == []


def test_a_wrong_name_is_told(fake, tmp_path):
    leave(fake, name_of(5, "1" * 8))
    code, told = sweep(fake, tmp_path, "nobody/none")
    assert code == 2
    assert "There is no stack 'nobody/none'" in told["error"]["message"]


def test_a_wrong_token_is_told(fake, tmp_path):
    fake.token = "another"
    code, told = sweep(fake, tmp_path)
    assert code == 1
    assert "Unable to authenticate you" in told["error"]["message"]


def test_what_cannot_be_listed_is_told_and_keeps_nobody_from_the_rest(fake, tmp_path):
    late = leave(fake, name_of(-1, "0" * 8))
    fake.fault("status", 403, path="volumes")
    code, told = sweep(fake, tmp_path)
    assert code == 1
    assert [*told["not_listed"]] == ["volumes"]
    assert late in told["failed"]
    assert "volumes is not known" in told["failed"][late]
    assert fake.left() == []


def test_a_live_stack_goes_only_when_its_run_is_to_lose_it(fake, tmp_path):
    storage = FolderStorage(tmp_path / "data/state")
    lock = StackLock(storage, "p", "e")
    lock.acquire()
    assert lock.owner is not None
    expires = now() + timedelta(hours=5)
    Ledger(storage, "p", "e").write_stack(
        StackRecord(
            id=None,
            target="do",
            cluster=None,
            layers=("do/core",),
            created=now(),
            expires=expires,
            owner=lock.owner,
        )
    )
    code, told = sweep(fake, tmp_path)
    assert (code, told["swept"]) == (0, [])
    assert [one["verdict"] for one in told["leftovers"]] == ["live"]

    code, told = sweep(fake, tmp_path, "p/e")
    assert code == 1
    assert "p/e is alive" in told["error"]["message"]
    assert "infra-gym sweep --live p/e" in told["error"]["next"]

    code, told = sweep(fake, tmp_path, "--live", "p/e")
    assert (code, told["swept"]) == (0, ["p/e"])
    assert storage.keys("infrastructure/") == []
    lock.release()


def test_live_needs_a_name(fake, tmp_path):
    code, told = sweep(fake, tmp_path, "--live")
    assert code == 2
    assert "--live needs names" in told["error"]["message"]


def test_expired_destroys_nothing_by_name(fake, tmp_path):
    fresh = leave(fake, name_of(5, "1" * 8))
    code, told = sweep(fake, tmp_path, "--expired", fresh)
    assert code == 2
    assert "--expired is for a sweep of all" in told["error"]["message"]
    assert len(fake.left()) == 2


def test_a_ledger_that_cannot_destroy_is_no_reason_to_be_billed(fake, tmp_path):
    storage = FolderStorage(tmp_path / "data/state")
    expires = now() - timedelta(hours=1)
    title = title_of("p", "e", expires)
    leave(fake, title.removesuffix("-p-e"))
    owner = Owner.of_this_process(1).model_copy(update={"process_start": 1.0})
    ledger = Ledger(storage, "p", "e")
    ledger.write_stack(
        StackRecord(
            id=None,
            target="do",
            cluster=None,
            layers=("do/core", "do/no-such-layer"),
            created=expires,
            expires=expires,
            owner=owner,
        )
    )
    for layer in ("do/core", "do/no-such-layer"):
        ledger.write(
            LayerRecord(
                layer=layer,
                status="applied",
                inputs={"expires": expires.isoformat()},
                owner=owner,
                started=expires,
                updated=expires,
                source_hash="",
                terraform="terraform 1.11.4",
            )
        )
    code, told = sweep(fake, tmp_path)
    assert code == 1  # the ledger stays, and says why
    assert "no-such-layer" in told["failed"]["p/e"]
    assert fake.left() == []


@pytest.mark.skipif(not DESCRIPTION.exists(), reason="DigitalOcean's description is not there")
def test_the_scopes_in_the_manual_are_enough(tmp_path):
    seen, name = Description(), name_of(-1, digest_of("p", "e"))
    with FakeDigitalOcean(durations=Durations(cluster_delete_s=0), on_exchange=seen) as fake:
        leave(fake, name)
        leave_members(fake, f"{name}-p-e")
        code, _ = sweep(fake, tmp_path)
        assert (code, fake.left()) == (0, [])
    page = (Path(__file__).parents[2] / "docs/how-to/sweep-on-a-schedule.md").read_text()
    listed = {*re.findall(r"`([a-z_]+:[a-z_]+)`", page)}
    needed = [seen.scopes(operation) for operation in seen.seen]
    assert len(needed) >= 15
    assert [scopes for scopes in needed if not scopes & listed] == []
    assert not any(scope.endswith(":create") for scope in listed)


def leave_members(fake: FakeDigitalOcean, title: str) -> None:
    """What lies in the network of a run."""
    account = fake.account
    (vpc,) = (one for one in account.all_of("vpc") if one.name == title)
    cluster = clusters.create(
        account,
        {
            "name": title,
            "region": "nyc3",
            "version": "1.34.4-do.0",
            "vpc_uuid": vpc.id,
            "node_pools": [{"name": "system", "size": "s-2vcpu-4gb", "count": 1}],
        },
    )
    tags = [f"k8s:{cluster['id']}"]
    rule = {
        "entry_protocol": "tcp",
        "entry_port": 80,
        "target_protocol": "tcp",
        "target_port": 30080,
    }
    balancer = {"name": "a0b1", "region": "nyc3", "forwarding_rules": [rule], "tags": tags}
    networks.create_load_balancer(account, {**balancer, "vpc_uuid": vpc.id})
    droplets.create_volume(
        account, {"name": "pvc-1", "region": "nyc3", "size_gigabytes": 1, "tags": tags}
    )
    projects.ensure_tag(account, title)
    networks.create_firewall(account, {"name": title, "inbound_rules": [rule], "tags": [title]})
    droplets.add(
        account,
        {
            "name": f"{title}-bastion",
            "region": "nyc3",
            "size": "s-1vcpu-1gb",
            "image": "debian-12-x64",
            "vpc_uuid": vpc.id,
            "tags": [title],
        },
        boot_s=0,
    )
