"""What an account does to a run on a bad day: nothing is left of it, and it is told what to do.

The real provider and pydo work on the fake account.
"""

from __future__ import annotations

import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra_gym.errors import CloudRefusedError, LayerFailedError
from infra_gym.settings import Settings
from infra_gym.stack import Stack
from infra_gym.testing.digitalocean import Durations, FakeDigitalOcean
from tests.digitalocean.conftest import LAYERS

pytestmark = [pytest.mark.timeout(400), pytest.mark.usefixtures("needs_provider")]

CORE, CLUSTER = "do/core", "do/managed-k8s"
OpenStack = Callable[..., Stack]


@pytest.fixture
def fake() -> Iterator[FakeDigitalOcean]:
    durations = Durations(cluster_boot_s=1, node_boot_s=1, cluster_delete_s=1)
    with FakeDigitalOcean(
        durations=durations, token="first", a_minute=100_000, an_hour=1_000_000
    ) as server:
        yield server


@pytest.fixture
def impatient(tmp_path: Path) -> Callable[[str], Path]:
    """The layers, with timeouts of seconds."""
    for name, theirs, ours in (("core", '"20m"', '"5s"'), ("managed-k8s", '"30m"', '"1s"')):
        folder = tmp_path / "layers/do" / name
        shutil.copytree(LAYERS / name, folder)
        main = folder / "main.tf"
        text = main.read_text()
        assert theirs in text
        main.write_text(text.replace(theirs, ours))
    return lambda layer: tmp_path / "layers" / layer


@pytest.fixture
def open_stack(
    fake: FakeDigitalOcean,
    tmp_path: Path,
    terraform_program: str,
    impatient: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> OpenStack:
    """A function that opens the stack of some layers, each time as another process would."""
    monkeypatch.setenv("DIGITALOCEAN_TOKEN", "first")
    monkeypatch.setenv("DIGITALOCEAN_API_URL", fake.url)

    def make(*layers: str) -> Stack:
        settings = Settings(
            data_folder=tmp_path / "data", binary=terraform_program, spend_money=True
        )
        return Stack(
            layers=layers,
            target="do",
            settings=settings,
            project="p",
            environment="e",
            layer_folder=impatient,
        )

    return make


def left(fake: FakeDigitalOcean, tmp_path: Path) -> list[str]:
    files = [str(path) for path in (tmp_path / "data").rglob("*") if not path.is_dir()]
    return [one.urn for one in fake.left()] + files


def test_errors_of_the_server_and_a_storm_of_refusals_pass(fake, open_stack, tmp_path):
    stack = open_stack(CORE)
    fake.fault("status", 500, method="POST", path="projects", times=2)
    fake.fault("status", 429, method="POST", path="vpcs", times=2, retry_after_s=2)
    stack.apply()
    fake.fault("status", 503, method="DELETE", path="vpcs", times=1)
    fake.fault("status", 429, path="volumes", times=2, retry_after_s=2)  # pydo looks there
    stack.destroy()
    assert left(fake, tmp_path) == []
    told_to_wait = [(place, one) for place, one in enumerate(fake.answers) if one.status == 429]
    assert len(told_to_wait) == 4
    assert len({one.agent.split("/")[0] for _, one in told_to_wait}) == 2
    for place, one in told_to_wait:
        again = next(
            later
            for later in fake.answers[place + 1 :]
            if (later.method, later.path, later.agent) == (one.method, one.path, one.agent)
        )
        assert again.at - one.at >= 1.9


def test_an_account_that_stays_broken_is_told_and_then_goes(fake, open_stack, tmp_path):
    stack = open_stack(CORE)
    fake.fault("status", 500, method="POST", path="firewalls")
    with pytest.raises(LayerFailedError, match="500") as caught:
        stack.apply()
    assert "infra-gym layers apply" in str(caught.value.next_command)
    fake.heal()
    assert len(fake.left()) == 3
    stack.destroy()
    assert left(fake, tmp_path) == []


@pytest.mark.parametrize("path", ["projects$", "firewalls$"])
def test_an_answer_that_was_lost_leaves_nothing_behind(fake, open_stack, tmp_path, path):
    # It was made, nobody learned of it, and the next try finds the name taken.
    fake.fault("drop", method="POST", path=path, times=1)
    with pytest.raises(LayerFailedError, match=r"already in use|duplicate name"):
        open_stack(CORE).apply()
    open_stack(CORE).destroy()
    assert left(fake, tmp_path) == []


def test_after_an_answer_that_was_lost_the_same_command_goes_on(fake, open_stack, tmp_path):
    fake.fault("drop", method="POST", path="vpcs$", times=1)
    with pytest.raises(LayerFailedError):
        open_stack(CORE).apply()
    stack = open_stack(CORE)
    stack.apply()
    assert [one.name for one in fake.account.all_of("vpc")][-1] == stack.outputs(CORE)["name"]
    stack.destroy()
    assert left(fake, tmp_path) == []


def test_a_cluster_that_never_gets_ready_is_given_up_and_goes(fake, open_stack, tmp_path):
    fake.account.durations.cluster_boot_s = math.inf
    stack = open_stack(CORE, CLUSTER)
    with pytest.raises(LayerFailedError, match="Timeout waiting to create cluster") as caught:
        stack.apply()
    assert caught.value.layer == CLUSTER
    assert fake.account.all_of("kubernetes") != []
    stack.destroy()
    assert left(fake, tmp_path) == []


def test_a_network_that_will_not_go_tells_what_holds_it(fake, open_stack, tmp_path):
    stack = open_stack(CORE)
    stack.apply()
    network = stack.outputs(CORE)["vpc_id"]
    holder = fake.account.add("dbaas", {"name": "by-hand"}, vpc=network)
    with pytest.raises(LayerFailedError, match=r"held by dbaas by-hand") as caught:
        stack.destroy()
    assert "infra-gym sweep p/e" in str(caught.value.next_command)
    fake.account.remove(holder)
    stack.destroy()
    assert left(fake, tmp_path) == []


def test_a_run_whose_token_expires_goes_on_with_another(fake, open_stack, tmp_path, monkeypatch):
    stack = open_stack(CORE, CLUSTER)
    failure: list[Exception] = []

    def apply() -> None:
        try:
            stack.apply()
        except LayerFailedError as error:
            failure.append(error)

    run = threading.Thread(target=apply)
    run.start()
    wait_for(lambda: "POST /v2/kubernetes/clusters" in fake.requests)
    fake.token = "second"
    run.join()
    assert "Unable to authenticate you" in str(failure[0])
    assert "export DIGITALOCEAN_TOKEN" in str(failure[0])
    with pytest.raises(CloudRefusedError, match="Unable to authenticate you"):
        open_stack(CORE, CLUSTER).destroy()

    monkeypatch.setenv("DIGITALOCEAN_TOKEN", "second")
    again = open_stack(CORE, CLUSTER)
    again.apply()  # makes the cluster anew whose making nobody saw the end of
    assert len(fake.account.all_of("kubernetes")) == 1
    again.destroy()
    assert left(fake, tmp_path) == []


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
