"""``infra-gym logs`` and ``infra-gym kubeconfig``, by a ledger and an API server over real HTTP."""

from __future__ import annotations

import itertools
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from infra_gym.cli.main import app
from infra_gym.clouds.kubernetes import Cluster
from infra_gym.clouds.kubernetes_logs import PodLogs
from infra_gym.settings import load_settings
from infra_gym.stack.ledger import LayerRecord, Ledger, StackRecord
from infra_gym.stack.lock import Owner
from infra_gym.stack.process_logs import ProcessLogs
from infra_gym.stack.storage import open_storage

runner = CliRunner()
PODS = "/api/v1/namespaces/run-1/pods"
STACK = ("-p", "shop", "-e", "web")


def run(*arguments: str) -> Any:
    return runner.invoke(app, list(arguments))


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INFRA_GYM_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def recorded(target: str, layers: tuple[str, ...], **cluster: Any) -> None:
    """A stack that the ledger knows, with its namespace."""
    now, owner = datetime.now(UTC), Owner.of_this_process(0)
    ledger = Ledger(open_storage(load_settings()), "shop", "web")
    ledger.write_stack(
        StackRecord(
            id="SimpleK8sWebApp-v0", target=target, layers=layers, created=now, expires=now,
            owner=owner, **{"cluster": None, **cluster},
        )
    )  # fmt: skip
    for layer in layers:
        ledger.write(
            LayerRecord(
                layer=layer, status="applied", outputs={"namespace": "run-1"}, owner=owner,
                started=now, updated=now, source_hash="0", terraform="terraform 1.11.4",
            )
        )  # fmt: skip


@pytest.fixture
def on_cluster(api_server: Any, tmp_path: Path) -> Any:
    """A stack in a cluster whose kubeconfig only the ledger knows."""
    api_server.answers["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "its-own"}}
    api_server.answers[PODS] = {"items": []}
    config = api_server.kubeconfig(tmp_path / "config")
    recorded(
        "k8s",
        ("k8s/core", "k8s/heater"),
        kubeconfig=str(config),
        context="lab",
        cluster="its-own",
    )
    return api_server


def pod(name: str, *containers: str, state: str = "running", restarts: int = 0) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": one} for one in containers]},
        "status": {
            "containerStatuses": [
                {"name": one, "state": {state: {}}, "restartCount": restarts} for one in containers
            ]
        },
    }


def log(folder: Path, program: str, text: str) -> Path:
    file = folder / "programs" / program / "log"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_local_processes_are_shown(tmp_path: Path) -> None:
    recorded("local", ("local/core", "local/heater"))
    folder = tmp_path / "data" / "runs" / "shop" / "web" / "processes"
    log(folder, "heater-0", "one\ntwo\nthree\n")
    log(folder, "prometheus", "ready\n")
    document = json.loads(run("logs", *STACK, "-n", "2", "--json").stdout)
    assert document["logs"] == {"heater-0": ["two", "three"], "prometheus": ["ready"]}
    answer = run("logs", "local/heater", *STACK, "-n", "1")
    assert answer.stdout == "heater-0 | three\n"


def test_silence_is_told() -> None:
    recorded("local", ("local/core",))
    answer = run("logs", *STACK)
    assert answer.exit_code == 0
    assert "no program said anything" in answer.stderr


def test_pods_are_shown(on_cluster: Any) -> None:
    on_cluster.answers |= {
        PODS: {
            "items": [
                pod("heater-a", "heater"),
                pod("prometheus-a", "prometheus", "discovery"),
                pod("crashed", "heater", state="waiting", restarts=3),
                pod("pending", "heater", state="waiting"),
            ]
        },
        f"{PODS}/heater-a/log": "warm\n",
        f"{PODS}/prometheus-a/log": lambda query: f"I am {query['container'][0]}\n",
        f"{PODS}/crashed/log": lambda query: f"previous: {query['previous'][0].lower()}\n",
    }
    document = json.loads(run("logs", *STACK, "--json").stdout)
    assert document["logs"] == {
        "heater-a": ["warm"],
        "prometheus-a/prometheus": ["I am prometheus"],
        "prometheus-a/discovery": ["I am discovery"],
        "crashed": ["previous: true"],
        "pending": [],
    }


def test_a_layers_pods_are_asked_for_by_its_name(on_cluster: Any) -> None:
    assert run("logs", "k8s/heater", *STACK).exit_code == 0
    assert {"labelSelector": ["app.kubernetes.io/name in (heater)"]} in on_cluster.queries


def test_another_cluster_is_refused(on_cluster: Any) -> None:
    on_cluster.answers["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "another"}}
    answer = run("logs", *STACK)
    assert answer.exit_code == 1
    assert "leads to another cluster" in answer.stderr


def test_a_stream_is_no_document() -> None:
    recorded("local", ("local/core",))
    answer = run("logs", *STACK, "--follow", "--json")
    assert answer.exit_code == 2


def test_new_lines_and_programs_are_followed(tmp_path: Path) -> None:
    file = log(tmp_path, "heater-0", "old\nlast\n")
    lines = ProcessLogs(tmp_path).follow(1)
    assert next(lines) == ("heater-0", "last")
    with file.open("a") as opened:
        opened.write("new\nhalf")
    assert next(lines) == ("heater-0", "new")
    with file.open("a") as opened:
        opened.write(" of it\n")
    assert next(lines) == ("heater-0", "half of it")
    log(tmp_path, "heater-1", "hello\n")
    assert next(lines) == ("heater-1", "hello")
    file.write_text("anew\n")  # as a log that grew too long
    assert next(lines) == ("heater-0", "anew")


def test_a_program_that_is_taken_away_is_no_error(tmp_path: Path) -> None:
    file = log(tmp_path, "heater-0", "last\n")
    lines = ProcessLogs(tmp_path).follow(1)
    assert next(lines) == ("heater-0", "last")
    file.unlink()
    log(tmp_path, "heater-1", "hello\n")
    assert next(lines) == ("heater-1", "hello")


def test_pods_that_come_are_followed_and_their_next_run_as_well(
    api_server: Any, tmp_path: Path
) -> None:
    api_server.answers |= {
        PODS: {"items": [pod("a", "heater")]},
        f"{PODS}/a/log": "first\n",
        f"{PODS}/b/log": "second\n",
    }
    with Cluster.connect(api_server.kubeconfig(tmp_path / "config")) as cluster:
        lines = PodLogs(cluster.calls, "run-1", look_s=0.1).follow(5)
        assert next(lines) == ("a", "first")
        # Its stream ended though it runs: what comes is what is new since.
        api_server.answers[f"{PODS}/a/log"] = lambda query: (
            "again\n" if query["tailLines"] == ["0"] else "wrong\n"
        )
        assert next(lines) == ("a", "again")
        api_server.answers[PODS] = {"items": [pod("b", "heater")]}
        # What was read of the first before it went may still come.
        assert ("b", "second") in itertools.islice(lines, 20)


def test_a_kubeconfig_for_the_stack(on_cluster: Any, tmp_path: Path) -> None:
    printed = yaml.safe_load(run("kubeconfig", *STACK).stdout)
    assert printed["contexts"][0]["context"]["namespace"] == "run-1"
    assert printed["clusters"][0]["cluster"]["server"] == on_cluster.url

    file = tmp_path / "mine"
    file.write_text("others read this")
    file.chmod(0o644)
    umask = os.umask(0o000)
    try:
        answer = run("kubeconfig", *STACK, "-o", str(file))
    finally:
        os.umask(umask)
    assert answer.stdout == f"export KUBECONFIG={file}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert yaml.safe_load(file.read_text()) == printed
    assert "a-token" not in answer.stdout + answer.stderr


def test_a_local_stack_has_no_kubeconfig() -> None:
    recorded("local", ("local/core",))
    answer = run("kubeconfig", *STACK)
    assert answer.exit_code == 2
    assert "has no cluster" in answer.stderr
