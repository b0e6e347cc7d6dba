"""The layers of droplets, applied, changed and destroyed by the real provider on a fake account."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra_gym.clouds.digitalocean import DigitalOcean
from infra_gym.clouds.digitalocean_runs import find_runs
from infra_gym.testing.digitalocean import Durations, FakeDigitalOcean, Resource, networks
from tests.digitalocean import cloud_init
from tests.digitalocean.bare import RUN, Bare
from tests.digitalocean.openapi import DESCRIPTION, Description

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.usefixtures("needs_provider")]

APPS = Path(__file__).resolve().parents[2] / "infra_gym/apps"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples/10-own-cluster/own_cluster.py"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl run"
HERE = ["192.0.2.7/32"]
PROGRAM = "/usr/local/sbin/infra-gym-droplet"


@pytest.fixture
def fake() -> Iterator[FakeDigitalOcean]:
    description = Description() if DESCRIPTION.exists() else None
    durations = Durations(droplet_boot_s=1, droplet_delete_s=1)
    with FakeDigitalOcean(durations=durations, on_exchange=description, a_minute=10_000) as server:
        yield server
    assert description is None or description.problems == []


@pytest.fixture
def bare(terraform_program: str, tmp_path: Path, fake: FakeDigitalOcean) -> Bare:
    return Bare(terraform_program, tmp_path, fake.url)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """cloud-init's schema; the reason, where it cannot be had."""
    return cloud_init.find_schema(tmp_path_factory.mktemp("cloud-init"))


class Account:
    """What is looked at in the account while layers come and go."""

    def __init__(self, fake: FakeDigitalOcean) -> None:
        self._fake = fake
        self.given: dict[str, str] = {}
        """By droplet and content, what droplets were given at their first boot."""

    def droplets(self, role: str) -> list[Resource]:
        """Those whose names end so, but for a number; all that they must have is checked."""
        with self._fake.account.lock:
            found = self._fake.account.all_of("droplet")
        prefix = "ig-20261128t1200z-86ffe8ef-p-e"
        for droplet in found:
            self.given[f"{droplet.name} {hash(droplet.body['user_data'])}"] = droplet.body[
                "user_data"
            ]
            assert droplet.name.startswith(f"{prefix}-")
            assert prefix in droplet.body["tags"]
        return [one for one in found if one.name.removeprefix(f"{prefix}-").rstrip("-0123") == role]

    def let_in(self, role: str) -> set[tuple[str, str, str]]:
        """(Protocol, ports, from where) of what firewalls let in to a droplet of a role."""
        (droplet, *_) = self.droplets(role)
        with self._fake.account.lock:
            behind = networks.firewalls_of(self._fake.account, droplet)
        found = set()
        for firewall in behind:
            for rule in firewall.body["inbound_rules"]:
                sources = rule["sources"]
                for source in [*sources.get("addresses", []), *sources.get("tags", [])]:
                    found.add((rule["protocol"], rule["ports"], source.rpartition(":")[2]))
        return found


def kubernetes(bare: Bare, account: Account, inputs: dict[str, Any]) -> None:
    made = bare.apply("k8s-control-plane", **inputs)
    inputs = {**inputs, **made}
    bare.change("k8s-minions", **inputs)
    assert len(account.droplets("minion")) == 1
    assert account.let_in("control-plane") == {
        ("tcp", "22", "bastion"),
        ("tcp", "6443", "bastion"),
        ("tcp", "6443", "minion"),
        ("udp", "8472", "minion"),
    }
    assert account.let_in("minion") == {
        ("tcp", "22", "bastion"),
        ("tcp", "10250", "control-plane"),
        ("udp", "8472", "control-plane"),
        ("udp", "8472", "minion"),
    }
    (before,) = account.droplets("minion")
    grown = bare.apply("k8s-minions", **inputs, minions=2)
    assert len(grown["minion_addresses"]) == 2
    assert before.id in {one.id for one in account.droplets("minion")}
    bare.run("k8s-minions", "destroy", "-auto-approve")
    bare.run("k8s-control-plane", "destroy", "-auto-approve")


def nomad(bare: Bare, account: Account, inputs: dict[str, Any]) -> None:
    bare.change("nomad", **inputs)
    assert account.let_in("nomad-server") == {
        ("tcp", "22", "bastion"),
        ("tcp", "4646", "bastion"),
        ("tcp", "4647", "nomad-client"),
    }
    assert account.let_in("nomad-client") == {("tcp", "22", "bastion")}
    changed = bare.apply("nomad", **inputs, clients=2)
    assert len(changed["client_addresses"]) == 2
    bare.run("nomad", "destroy", "-auto-approve")


def swarm(bare: Bare, account: Account, inputs: dict[str, Any]) -> None:
    made = bare.apply("swarm-manager", **inputs, watch_from=HERE)
    assert made["prometheus_url"].startswith("http://198.1")
    workers = {**inputs, **made}
    bare.change("swarm-worker", **workers, workers=2)
    assert account.let_in("swarm-manager") == {
        ("tcp", "22", "bastion"),
        ("tcp", "2377", "swarm-worker"),
        ("tcp", "7946", "swarm-worker"),
        ("udp", "7946", "swarm-worker"),
        ("udp", "4789", "swarm-worker"),
        ("tcp", "9090", HERE[0]),
        ("tcp", "8081", HERE[0]),
    }
    first = min(account.droplets("swarm-worker"), key=lambda one: one.name)  # made at once
    shrunk = bare.apply("swarm-worker", **workers, workers=1)
    assert len(shrunk["worker_addresses"]) == 1
    assert [one.id for one in account.droplets("swarm-worker")] == [first.id]
    bare.run("swarm-worker", "destroy", "-auto-approve")
    bare.run("swarm-manager", "destroy", "-auto-approve")


CHAINS: list[Callable[[Bare, Account, dict[str, Any]], None]] = [kubernetes, nomad, swarm]


def test_every_layer_of_droplets_from_nothing_to_nothing(bare, fake, schema):
    account = Account(fake)
    core = bare.apply("core", **RUN)
    door = {**core, "ssh_from": HERE, "ssh_public_key": KEY, "apps_folder": str(APPS)}
    support = bare.apply("support", **door)
    assert account.let_in("bastion") == {("tcp", "22", HERE[0])}
    assert account.let_in("consul") == {("tcp", "22", "bastion"), ("tcp", "8500", core["tag"])}
    with ThreadPoolExecutor(len(CHAINS)) as pool:
        inputs = {**core, **support, "apps_folder": str(APPS)}
        for done in [pool.submit(chain, bare, account, inputs) for chain in CHAINS]:
            done.result()
    (run,) = find_runs(DigitalOcean("any", fake.url))
    assert run.title == core["name"]
    assert {thing.kind for thing in run.things} == {
        *("droplets", "firewalls", "projects", "ssh_keys", "tags", "vpcs")
    }
    bare.change("support", **{**door, "ssh_from": ["192.0.2.8/32"]})
    assert account.let_in("bastion") == {("tcp", "22", "192.0.2.8/32")}
    bare.run("support", "destroy", "-auto-approve")
    bare.run("core", "destroy", "-auto-approve")
    assert fake.left() == []
    look_at_what_droplets_were_given(account.given, schema)


def look_at_what_droplets_were_given(given: dict[str, str], schema: Any) -> None:
    roles = set()
    for user_data in given.values():
        config = cloud_init.read(user_data)
        if isinstance(schema, dict):
            cloud_init.check(config, schema)
        written = cloud_init.files(config)
        for command in config.get("runcmd", []):
            assert command[0] == PROGRAM
            assert written[PROGRAM] == (APPS / "droplet.sh").read_text()
            roles.add(command[1])
        for path, content in written.items():
            # Nothing that is given to a droplet is a secret: every program on it can read this.
            assert not any(word in content for word in ("SWMTKN-1-0", "BEGIN", "encrypt ="))
            {".json": json.loads, ".py": ast.parse}.get(Path(path).suffix, yaml_or_text)(content)
    assert roles == {
        *("consul", "control-plane", "minion", "nomad", "swarm-manager", "swarm-worker")
    }
    if not isinstance(schema, dict):
        pytest.skip(f"applied, but not held against cloud-init's schema: {schema}")


def yaml_or_text(content: str) -> Any:
    return content if content.startswith("#!") else yaml.safe_load(content)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"ssh_from": []}, "everybody"),
        ({"ssh_from": ["0.0.0.0/0"]}, "everybody"),
        ({"ssh_from": ["::/0"]}, "everybody"),
        ({"ssh_from": ["home"]}, "everybody"),
        ({"ssh_public_key": "-----BEGIN OPENSSH PRIVATE KEY-----"}, "ecdsa"),
    ],
    ids=["nobody", "everybody", "everybody-6", "no-range", "private-key"],
)
def test_the_door_is_never_left_open(bare, wrong, words):
    names = ("name", "region", "vpc_id", "project_id", "tag")
    given = {**dict.fromkeys(names, "x"), "ssh_from": HERE, "ssh_public_key": KEY}
    with pytest.raises(AssertionError, match=words):
        bare.run("support", "plan", "-input=false", apps_folder=str(APPS), **{**given, **wrong})


@pytest.mark.parametrize("cluster", ["kubernetes", "nomad"])
def test_the_example_tells_what_it_would_make(fake, tmp_path, cluster):
    (tmp_path / "run-key.pub").write_text(KEY)
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("INFRA_GYM_")},
        "DIGITALOCEAN_TOKEN": "any",
        "DIGITALOCEAN_API_URL": fake.url,
        "INFRA_GYM_DATA_FOLDER": str(tmp_path / "data"),
    }
    done = subprocess.run(
        [sys.executable, EXAMPLE, "--ssh-from", HERE[0], "--cluster", cluster, "--nodes", "3"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    node = {"kubernetes": "minion", "nomad": "client"}[cluster]
    assert f"digitalocean_droplet.{node}[2]" in done.stdout
    assert fake.left() == []
