"""``infra-gym doctor --target k8s``, asked of an API server over real HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra_gym.cli.main import app
from infra_gym.clouds.kubernetes_rights import RIGHTS

# Each asks all that a doctor asks, over HTTP.
pytestmark = pytest.mark.slow

runner = CliRunner()


def node(name: str, cpu: str = "4", memory: str = "8Gi", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


@pytest.fixture(autouse=True)
def server(api_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("INFRA_GYM_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("INFRA_GYM_BINARY", "no-such-terraform")
    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig(tmp_path / "config")))
    api_server.answers |= {
        "/api/v1/nodes": {"items": [node("one")]},
        "/api/v1/pods": {"items": []},
        "/apis/storage.k8s.io/v1/storageclasses": {
            "items": [
                {
                    "metadata": {
                        "name": "fast",
                        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                    }
                }
            ]
        },
    }
    return api_server


def checks() -> dict[str, dict[str, Any]]:
    """By name; what must be right in all cases is looked at here."""
    answer = runner.invoke(app, ["doctor", "--target", "k8s", "--json"])
    document = json.loads(answer.stdout)
    assert document["target"] == "k8s"
    assert document["ready"] == all(c["ok"] for c in document["checks"] if c["needed"])
    assert answer.exit_code == (0 if document["ready"] else 1)
    return {one["name"]: one for one in document["checks"]}


def test_a_cluster_that_has_it_all(server: Any) -> None:
    found = checks()
    assert found["cluster"]["found"] == f"context lab, {server.url}"
    assert found["version"]["found"] == "v1.34.4"
    assert "10 of at most 10 heater pods" in found["room"]["found"]
    assert found["storage"]["found"] == "fast, the default"
    assert found["way to Prometheus"]["found"] == (
        "the API server's service proxy, else a port-forward"
    )
    assert {name for name, one in found.items() if not one["ok"]} == {
        "terraform or tofu",
        "provider",
    }


def test_missing_rights_are_named_by_resource(server: Any) -> None:
    server.denied = {"create namespaces", "get pods/log", "patch deployments"}
    found = checks()["rights"]
    assert not found["ok"]
    assert found["found"] == ("missing: namespaces (create), deployments (patch), pods/log (get)")
    assert "ClusterRole" in found["next"]


def test_one_way_to_prometheus_is_enough(server: Any) -> None:
    server.denied = {"get services/proxy", "create services/proxy"}
    found = checks()
    assert found["rights"]["ok"]
    assert found["way to Prometheus"]["found"] == "a port-forward"
    assert not found["more rights"]["needed"]


def test_no_way_to_prometheus_is_a_failure_unless_one_is_given(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.denied = {"get services/proxy", "get pods/portforward"}
    assert not checks()["way to Prometheus"]["ok"]
    monkeypatch.setenv("INFRA_GYM_PROMETHEUS_URL", "http://metrics")
    assert checks()["way to Prometheus"]["found"] == "http://metrics, as set"


def test_a_full_cluster_has_no_room(server: Any) -> None:
    request = {"requests": {"cpu": "3950m", "memory": "1Gi"}}
    running = {"spec": {"nodeName": "one", "containers": [{"resources": request}]}, "status": {}}
    server.answers["/api/v1/pods"] = {"items": [running]}
    found = checks()["room"]
    assert not found["ok"]
    assert "0.05 processors" in found["found"]


def test_pods_that_ended_take_no_room(server: Any) -> None:
    request = {"requests": {"cpu": "4"}}
    ended = {
        "spec": {"nodeName": "one", "containers": [{"resources": request}]},
        "status": {"phase": "Succeeded"},
    }
    server.answers["/api/v1/pods"] = {"items": [ended]}
    assert checks()["room"]["ok"]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"taints": [{"key": "gpu", "effect": "NoSchedule"}]}, "taint gpu"),
        ({"unschedulable": True}, "cordoned"),
    ],
)
def test_nodes_that_take_no_pods_are_not_counted(
    server: Any, spec: dict[str, Any], why: str
) -> None:
    server.answers["/api/v1/nodes"] = {"items": [node("one", **spec)]}
    found = checks()["room"]
    assert not found["ok"]
    assert f"one: {why}" in found["found"]


def test_who_may_not_list_nodes_is_no_failure(server: Any) -> None:
    server.answers["/api/v1/nodes"] = (403, {"message": "forbidden"})
    found = checks()["room"]
    assert not found["ok"]
    assert not found["needed"]


def test_a_policy_that_refuses_the_namespace_is_told(server: Any) -> None:
    server.answers["POST /api/v1/namespaces"] = (403, {"message": "no namespaces on Fridays"})
    assert "no namespaces on Fridays" in checks()["namespace"]["found"]


def test_a_policy_that_refuses_a_pod_is_told(server: Any) -> None:
    server.answers["POST /api/v1/namespaces/default/pods"] = (
        403,
        {"message": "pods must have an owner label"},
    )
    found = checks()["pod security"]
    assert "owner label" in found["found"]
    assert not found["needed"]


def test_an_old_cluster_is_refused(server: Any) -> None:
    server.answers["/version/"] = {"gitVersion": "v1.24.17-eks-1"}
    assert not checks()["version"]["ok"]


def test_no_kubeconfig_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    found = checks()["cluster"]
    assert "does not exist" in found["found"]
    assert "export KUBECONFIG=" in found["next"]
    text = runner.invoke(app, ["doctor", "--target", "k8s"]).stdout
    assert "--target sim" in text


def test_the_context_can_be_named(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFRA_GYM_KUBE_CONTEXT", "labb")
    assert "Did you mean 'lab'?" in checks()["cluster"]["found"]


def test_a_right_is_asked_for_once(server: Any) -> None:
    assert len(RIGHTS) == len(set(RIGHTS))
    checks()
    reviews = [path for method, path, _ in server.requests if "selfsubjectaccess" in path]
    assert len(reviews) == len(RIGHTS)
