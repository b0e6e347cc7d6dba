"""Pods that cannot work, and runs that end badly: observed, reported, and cleaned up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from kubernetes.utils.quantity import parse_quantity

from infra_gym.environments.make import make
from infra_gym.errors import NotReadyError

ID = "SimpleK8sWebApp-v0"
INTERVAL_S = 5.0

pytestmark = pytest.mark.timeout(240)


# What Prometheus, its discovery and the siege engine ask for, in thousandths of a processor.
BESIDE = 220


def thousandths(text: str) -> int:
    return int(parse_quantity(text) * 1000)


def cpu_of_the_node(kubectl) -> int:
    """The processor time, in thousandths, that our pods may share.

    Pods of other environments count as if they were not there: they come and go meanwhile.
    """
    nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    if len(nodes) != 1:
        pytest.skip(f"the cluster has {len(nodes)} nodes, not one")
    ours = kubectl("get", "ns", "-o", "name", "-l", "app.kubernetes.io/managed-by=infra-gym")
    left = thousandths(nodes[0]["status"]["allocatable"]["cpu"])
    for pod in json.loads(kubectl("get", "pods", "-A", "-o", "json"))["items"]:
        # A pod that has no node, or has ended, takes no room.
        away = "nodeName" not in pod["spec"] or pod["status"]["phase"] in ("Succeeded", "Failed")
        if f"namespace/{pod['metadata']['namespace']}" in ours.split() or away:
            continue
        for container in pod["spec"]["containers"]:
            asked = container.get("resources", {}).get("requests", {}).get("cpu", "0")
            left -= thousandths(asked)
    return left


def test_no_room_for_one_more_pod_is_observed(definition, project, kubectl):
    # Two fit beside Prometheus and the siege engine, and a third does not, whoever else goes.
    request = (cpu_of_the_node(kubectl) - BESIDE) // 3 + 10
    env = make(
        definition(cpu_request=f"{request}m", cpu_limit="2"),
        target="k8s", project=project, environment="full", interval_s=INTERVAL_S,
    )  # fmt: skip
    try:
        env.reset(seed=1)
        *_, info = env.step(2)
        *_, info = env.step(1)
        assert info["controls"] == {"replicas": 3}
        assert info["metrics"]["ready"] == 2
        assert info["metrics"]["starting"] == 1
        assert info["mismatch"] == {}, "three are wanted, though two run"
        (trouble,) = info["pods"]
        assert trouble["reason"] == "Unschedulable"
        assert "cpu" in trouble["message"]
        for _ in range(3):
            *_, info = env.step(0)
        assert info["pods"] == []
        assert info["metrics"]["ready"] == 2
    finally:
        env.close()


def test_an_image_that_cannot_be_pulled_in_mid_episode_is_observed(project, kubectl, until):
    env = make(ID, target="k8s", project=project, environment="image", interval_s=INTERVAL_S)
    try:
        env.reset(seed=1)
        namespace = env.world.stack.outputs("k8s/core")["namespace"]
        kubectl("-n", namespace, "set", "image", "deployment/heater",
                "heater=localhost/nobody-has:this")  # fmt: skip
        reasons: set[str] = set()
        for _ in range(4):
            *_, info = env.step(1)
            reasons |= {one["reason"] for one in info["pods"]}
            assert info["metrics"]["requests"] > 0
            assert info["mismatch"] == {}
        assert reasons & {"ErrImagePull", "ImagePullBackOff"}
        # The next change of ours brings our own image back.
        env.step(2)
        for _ in range(5):
            *_, info = env.step(1)
            if info["metrics"]["ready"] == 3:
                break
        assert info["metrics"]["ready"] == 3
        assert info["pods"] == []
    finally:
        env.close()


def test_a_reset_that_cannot_get_ready_reports_why(definition, project, monkeypatch, kubectl):
    monkeypatch.setenv("INFRA_GYM_READY_SECONDS", "15")
    env = make(
        definition(slots=0),  # its own program refuses that, and ends
        target="k8s", project=project, environment="crash", interval_s=INTERVAL_S,
    )  # fmt: skip
    try:
        with pytest.raises(NotReadyError, match="heater wants 2 pods") as told:
            env.reset(seed=1)
        assert "must be at least 1" in str(told.value), "the last words of its log"
        assert "heater" in str(told.value)
    finally:
        env.close()
    assert kubectl.namespaces(project) == []


RUN = f"""
from infra_gym.environments.make import make
env = make("{ID}", target="k8s", project="%s", environment="killed", interval_s={INTERVAL_S})
env.reset(seed=1)
print("ready", flush=True)
for _ in range(100):
    env.step(2)
"""


def test_what_a_killed_run_leaves_can_be_destroyed(project, kubectl, until):
    process = subprocess.Popen(
        [sys.executable, "-c", RUN % project], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(INTERVAL_S / 2)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert len(kubectl.namespaces(project)) == 1
    done = subprocess.run(
        [sys.executable, "-m", "infra_gym", "layers", "destroy", "-p", project, "-e", "killed"],
        capture_output=True, text=True, timeout=200, check=False, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert kubectl.namespaces(project) == []
