"""Replicas whose size the agent sets."""

from __future__ import annotations

import json

import pytest

from infra_gym.environments.make import make

ID = "SizedK8sWebApp-v0"
KEEP, MORE = 1, 2

pytestmark = pytest.mark.timeout(400)


def limits(kubectl, namespace: str) -> list[str]:
    """The processor limits of the heater's pods that are ready and stay."""
    found = json.loads(
        kubectl("-n", namespace, "get", "pods", "-o", "json",
                "-l", "app.kubernetes.io/name=heater")
    )  # fmt: skip
    return [
        pod["spec"]["containers"][0]["resources"]["limits"]["cpu"]
        for pod in found["items"]
        if "deletionTimestamp" not in pod["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])
    ]


def test_the_agent_sets_size_and_number(project, kubectl, until):
    env = make(
        ID, target="k8s", project=project, environment="sized", interval_s=5,
        workload={"profile": "constant", "mean_rps": 8},
    )  # fmt: skip
    try:
        _, info = env.reset(seed=1)
        assert list(env.action_space.nvec) == [3, 3]
        namespace = env.world.stack.outputs("k8s/core")["namespace"]
        assert limits(kubectl, namespace) == ["200m"] * 2
        *_, info = env.step([KEEP, MORE])
        assert info["controls"] == {"replicas": 2, "millicores": 300}
        until(lambda: limits(kubectl, namespace) == ["300m"] * 2, "both have the new size")
        *_, info = env.step([MORE, KEEP])
        assert info["controls"] == {"replicas": 3, "millicores": 300}
        until(lambda: limits(kubectl, namespace) == ["300m"] * 3, "there are three")
        *_, info = env.step([KEEP, KEEP])
        # Processor time is what costs, whatever the number of pods that share it. A step may last
        # more than one interval here: nobody stepped while the pods were waited for.
        assert info["metrics"]["processors"] == pytest.approx(0.9)
        assert info["rewards"]["cost"] <= -0.999 * 0.9 * 0.09 * 5 / 3600
    finally:
        env.close()
    assert kubectl.namespaces(project) == []
