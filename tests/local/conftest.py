"""What the local tests share: the program, and object stores on this machine."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from infra_gym.definitions.catalog import find_layer
from infra_gym.environments.env import InfraEnv
from infra_gym.settings import StateSettings
from infra_gym.terraform.backends import backend_environment
from infra_gym.terraform.command import Deadlines, Terraform

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAINFRAGYMTESTS",
    "AWS_SECRET_ACCESS_KEY": "the-secret-key-of-the-tests",
}


@pytest.fixture(scope="session")
def binary() -> str:
    """The program under test: INFRA_GYM_BINARY, else terraform, else tofu."""
    named = os.environ.get("INFRA_GYM_BINARY")
    found = named or shutil.which("terraform") or shutil.which("tofu")
    if found is None:
        pytest.skip("neither terraform nor tofu is here, and INFRA_GYM_BINARY names none")
    return found


@pytest.fixture
def panel_values() -> Callable[[InfraEnv], dict[str, list[float]]]:
    """Asks a run's own Prometheus what the panels of its dashboard show, as Grafana would."""

    def ask(env: InfraEnv) -> dict[str, list[float]]:
        layer = "local/prometheus"
        file = find_layer(layer) / "dashboards" / f"{env.definition.id}.json"
        now = time.time()
        found = {}
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", ()):
                query = {
                    # Grafana's for a data source with the default scrape interval of 15 s
                    "query": target["expr"].replace("$__rate_interval", "1m"),
                    "start": now - 15 * 60,
                    "end": now,
                    "step": 1,  # Grafana's is 15 s, and a test has no time for that
                }
                url = f"{env.world.stack.outputs(layer)['url']}/api/v1/query_range"
                answer = requests.get(url, params=query, timeout=10)
                answer.raise_for_status()
                series = answer.json()["data"]["result"]
                values = [float(value) for one in series for _, value in one["values"]]
                found[panel["title"]] = [value for value in values if math.isfinite(value)]
        return found

    return ask


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The URL of an S3 that can do all."""
    from infra_gym.testing.object_store import ObjectStore

    with ObjectStore() as store:
        yield store.url


@pytest.fixture(scope="session")
def spaces_server() -> Iterator[str]:
    """The URL of an S3 that lacks what DigitalOcean Spaces lacks."""
    from infra_gym.testing.object_store import SPACES_LACKS, ObjectStore

    with ObjectStore(lacks=SPACES_LACKS) as store:
        yield store.url


def _bucket(backend: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> StateSettings:
    for name, value in CREDENTIALS.items():
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name.replace("AWS", "SPACES" if backend == "spaces" else "AWS"), value)
    return StateSettings(
        backend=backend,
        bucket=f"{backend}-{uuid.uuid4().hex[:12]}",
        region="nyc3" if backend == "spaces" else "us-east-1",
        endpoint=endpoint,
    )


@pytest.fixture
def s3_state(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> StateSettings:
    """State settings for a bucket of S3's that is not made yet, and its credentials."""
    return _bucket("s3", moto_server, monkeypatch)


@pytest.fixture
def spaces_state(spaces_server: str, monkeypatch: pytest.MonkeyPatch) -> StateSettings:
    """The same for a Space."""
    return _bucket("spaces", spaces_server, monkeypatch)


@pytest.fixture(params=["s3", "spaces"])
def bucket_state(request: pytest.FixtureRequest) -> StateSettings:
    """Both, one after the other."""
    return request.getfixturevalue(f"{request.param}_state")


@pytest.fixture
def terraform(binary: str) -> Terraform:
    """The program, with short patience."""
    return Terraform(binary, deadlines=Deadlines(apply_s=60, grace_s=20))


@pytest.fixture
def terraform_for(binary: str):
    """A function that makes the program for a state backend."""

    def make(state: StateSettings) -> Terraform:
        return Terraform(
            binary,
            deadlines=Deadlines(apply_s=60, grace_s=20),
            environ={**os.environ, **backend_environment(state)},
        )

    return make


@pytest.fixture
def module(tmp_path: Path):
    """A function that writes a module with built-in resources only, and returns its folder."""

    def make(text: str, name: str = "layer with 'odd' name") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "main.tf").write_text(text)
        return folder

    return make


SLOW_LAYER = """
variable "seconds" {
  type    = string
  default = "30"
}
resource "terraform_data" "quick" {}
resource "terraform_data" "slow" {
  depends_on = [terraform_data.quick]
  provisioner "local-exec" {
    command     = "echo $$ > pid; exec sleep $SECONDS_LONG"
    environment = { SECONDS_LONG = var.seconds }
  }
}
output "done" { value = terraform_data.slow.id }
"""
"""A layer whose apply takes as long as one likes; the file ``pid`` says that it has begun."""


@pytest.fixture
def slow_layer(module) -> Path:
    """A run directory whose apply takes 30 seconds."""
    return module(SLOW_LAYER)
