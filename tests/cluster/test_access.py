"""A user with the documented rights and no more: what a run, its logs and the doctor need."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from infra_gym.cli.main import app
from infra_gym.clouds.kubernetes import Cluster
from infra_gym.clouds.kubernetes_rights import cluster_role
from infra_gym.environments.make import make

ID = "SimpleK8sWebApp-v0"
INTERVAL_S = 5.0

pytestmark = pytest.mark.timeout(400)
runner = CliRunner()


@pytest.fixture
def user(kubeconfig: Path, project: str, kubectl, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """A function that gives somebody the documented rights, but for some, and a kubeconfig."""
    names: list[str] = []

    def make_one(*without: str) -> Path:
        name = f"{project}-{secrets.token_hex(3)}"
        names.append(name)
        role = yaml.safe_load(cluster_role(name))
        for rule in role["rules"]:
            rule["resources"] = [one for one in rule["resources"] if one not in without]
        role["rules"] = [rule for rule in role["rules"] if rule["resources"]]
        kubectl("create", "namespace", name)
        kubectl("-n", name, "create", "serviceaccount", "user")
        kubectl("apply", "-f", "-", text=yaml.safe_dump(role))
        kubectl("create", "clusterrolebinding", name, f"--clusterrole={name}",
                f"--serviceaccount={name}:user")  # fmt: skip
        token = kubectl("-n", name, "create", "token", "user").strip()
        document = yaml.safe_load(kubeconfig.read_text())
        (context,) = (
            one["context"]
            for one in document["contexts"]
            if one["name"] == document["current-context"]
        )
        document["users"] = [{"name": context["user"], "user": {"token": token}}]
        file = tmp_path / f"{name}.kubeconfig"
        file.write_text(yaml.safe_dump(document))
        return file

    yield make_one
    for name in names:
        kubectl("delete", "--wait=false", "clusterrolebinding,clusterrole,namespace", name)


def test_the_documented_rights_are_enough_and_a_port_forward_does(
    user, project, kubectl, monkeypatch
):
    monkeypatch.setenv("INFRA_GYM_KUBECONFIG", str(user("services/proxy", "nodes")))
    answer = runner.invoke(app, ["doctor", "--target", "k8s", "--json"])
    found = {one["name"]: one for one in json.loads(answer.stdout)["checks"]}
    assert found["rights"]["ok"]
    assert found["namespace"]["ok"]
    assert found["way to Prometheus"]["found"] == "a port-forward"
    assert not found["room"]["ok"]

    env = make(ID, target="k8s", project=project, environment="limited", interval_s=INTERVAL_S)
    try:
        env.reset(seed=1)
        *_, info = env.step(2)
        assert info["metrics"]["requests"] > 0
        namespace = env.world.stack.outputs("k8s/core")["namespace"]
        stack = ("-p", project, "-e", "limited")
        shown = json.loads(runner.invoke(app, ["logs", *stack, "--json"]).stdout)
        assert {one.rsplit("-", 2)[0] for one in shown["logs"]} >= {"heater", "siege-engine"}
        given = yaml.safe_load(runner.invoke(app, ["kubeconfig", *stack]).stdout)
        assert given["contexts"][0]["context"]["namespace"] == namespace
    finally:
        env.close()
    assert kubectl.namespaces(project) == []


def test_a_right_that_is_missing_is_named(user, monkeypatch):
    monkeypatch.setenv("INFRA_GYM_KUBECONFIG", str(user("deployments", "pods/log")))
    answer = runner.invoke(app, ["doctor", "--target", "k8s", "--json"])
    found = {one["name"]: one for one in json.loads(answer.stdout)["checks"]}
    assert answer.exit_code == 1
    assert found["rights"]["found"] == (
        "missing: deployments (get, create, patch, delete, list), pods/log (get)"
    )


def test_the_doctor_finds_all_that_is_needed(kubeconfig):
    answer = runner.invoke(app, ["doctor", "--target", "k8s", "--json"])
    document = json.loads(answer.stdout)
    wrong = [one for one in document["checks"] if not one["ok"] and one["needed"]]
    # Other tests may have taken the room.
    assert [one for one in wrong if one["name"] != "room"] == []


def test_pods_in_trouble_are_told_with_their_last_words(kubeconfig, project, kubectl, until):
    namespace = f"{project}-troubles"
    kubectl("create", "namespace", namespace)
    try:
        for name, container in {
            "crash": {"command": ["sh", "-c", "echo I cannot go on; exit 3"]},
            "big": {"resources": {"requests": {"cpu": "1000"}}},
            "nowhere": {"image": "nowhere.invalid/none:1"},
        }.items():
            spec = {"containers": [{"name": name, "image": "python:3.12-slim", **container}]}
            labels = {"app": name}
            kubectl("-n", namespace, "apply", "-f", "-", text=yaml.safe_dump({
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name},
                "spec": {
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": spec},
                },
            }))  # fmt: skip
        with Cluster.connect(kubeconfig) as cluster:
            wanted = {"big": ["Unschedulable"], "nowhere": ["ErrImagePull", "ImagePullBackOff"]}
            wanted["crash"] = ["CrashLoopBackOff", "Error"]

            def told() -> bool:
                reasons = {one.pod.split("-")[0]: one.reason for one in cluster.troubles(namespace)}
                return all(reasons.get(name) in any_of for name, any_of in wanted.items())

            until(told, "all three are in trouble", 90)
            until(lambda: "I cannot go on" in cluster.report(namespace), "last words", 60)
            assert not cluster.namespace_gone(namespace)
    finally:
        kubectl("delete", "--wait=false", "namespace", namespace)
    with Cluster.connect(kubeconfig) as cluster:
        assert cluster.namespace_gone(namespace)
