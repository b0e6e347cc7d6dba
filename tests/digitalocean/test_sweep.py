"""``infra-gym sweep`` with the fake account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from infra_gym.testing.digitalocean import Durations, FakeDigitalOcean, networks, projects


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
        timeout=100,
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
