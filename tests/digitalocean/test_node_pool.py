"""An agent that sets a pool's size: real Terraform, a real cluster, a fake account."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import pytest

import infra_gym  # noqa: F401  # registers the environments
from infra_gym.testing.digitalocean import Durations, FakeDigitalOcean

KUBECONFIG = os.environ.get("INFRA_GYM_TEST_KUBECONFIG")
POOL = "do/managed-k8s"
KEEP, MORE, LESS = 1, 2, 0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(500),
    pytest.mark.usefixtures("needs_provider"),
    pytest.mark.skipif(not KUBECONFIG, reason="INFRA_GYM_TEST_KUBECONFIG names no kubeconfig"),
]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDigitalOcean]:
    """An account whose nodes take longer than a step to boot."""
    for name in [*os.environ]:
        if name.startswith(("INFRA_GYM_", "DIGITALOCEAN_", "KUBE", "TF_VAR_")):
            monkeypatch.delenv(name)
    durations = Durations(cluster_boot_s=1, node_boot_s=15, cluster_delete_s=1)
    with FakeDigitalOcean(kubeconfig=Path(str(KUBECONFIG)), durations=durations) as server:
        for name, value in {
            "DIGITALOCEAN_API_URL": server.url,
            "DIGITALOCEAN_TOKEN": "any",
            "INFRA_GYM_DATA_FOLDER": str(tmp_path / "data"),
            "INFRA_GYM_SPEND_MONEY": "true",
            # The cluster behind has no nodes that are kept for the app.
            "TF_VAR_pool": "",
        }.items():
            monkeypatch.setenv(name, value)
        yield server


def sizes(fake: FakeDigitalOcean) -> list[int]:
    """How many nodes the pools have."""
    with fake.account.lock:
        (cluster,) = fake.account.all_of("kubernetes")
        return sorted(pool["count"] for pool in cluster.body["node_pools"])


def test_a_pool_grows_over_several_steps_and_holds_up_nobody(fake):
    env = gym.make("NodePoolK8sWebApp-v0", target="do", interval_s=10)
    try:
        env.reset(seed=1)
        assert sizes(fake) == [1, 1]
        _, _, _, _, info = env.step([KEEP, MORE])
        assert POOL in info["pending"]
        assert info["metrics"]["pending"] >= 1
        # Two wishes while the first goes on: the newest is what counts, and the app is not held up.
        _, _, _, _, info = env.step([MORE, MORE])
        assert info["controls"] == {"replicas": 4, "nodes": 3}
        _, _, _, _, info = env.step([KEEP, MORE])
        while POOL in info["pending"]:
            _, _, _, _, info = env.step([KEEP, KEEP])
        assert info["controls"] == {"replicas": 4, "nodes": 4}
        assert sizes(fake) == [1, 4]
    finally:
        env.close()
    assert fake.left() == []
