"""What a world asks of the cluster, against a cluster that is only said."""

from __future__ import annotations

import pytest

from infra_gym.clouds.kubernetes import DeploymentCount, PodTrouble
from infra_gym.errors import WorldError
from infra_gym.worlds.pods import Pods


class Said:
    """A cluster with one namespace."""

    def __init__(self) -> None:
        self.counts = {
            "heater": DeploymentCount(wanted=3, existing=3, ready=3, updated=3),
            "prometheus": DeploymentCount(wanted=1, existing=1, ready=1, updated=1),
        }
        self.found: list[PodTrouble] = []
        self.gone = False

    def replicas(self, namespace: str, deployment: str) -> DeploymentCount | None:
        assert namespace == "ns"
        return None if self.gone else self.counts.get(deployment)

    def troubles(self, namespace: str, selector: str = "") -> list[PodTrouble]:
        return self.found

    def report(self, namespace: str) -> str:
        return f"events of {namespace}"

    def namespace_gone(self, namespace: str) -> bool:
        return self.gone


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def pods(said) -> Pods:
    return Pods(said, {"heater": "ns/heater", "prometheus": "ns/prometheus"})


def test_what_is_wanted_is_what_the_cluster_was_told(said, pods):
    said.counts["heater"] = DeploymentCount(wanted=5, existing=3, ready=2, updated=3)
    assert pods.wanted("heater") == 5
    assert pods.wanted("siege-engine") is None


def test_a_deployment_that_somebody_deleted_wants_none(said, pods):
    del said.counts["heater"]
    assert pods.wanted("heater") == 0
    assert "there is no Deployment heater in the namespace ns" in pods.not_ready()


@pytest.mark.parametrize(
    "count",
    [
        DeploymentCount(wanted=3, existing=3, ready=2, updated=3),
        DeploymentCount(wanted=3, existing=4, ready=3, updated=3),
        DeploymentCount(wanted=3, existing=3, ready=3, updated=2),
        DeploymentCount(wanted=3, existing=0, ready=0, updated=0),
    ],
    ids=["booting", "leaving", "rolling", "refused"],
)
def test_ready_is_when_all_pods_are_there_new_and_ready(said, pods, count):
    assert pods.not_ready() == ""
    said.counts["heater"] = count
    assert pods.not_ready().startswith("heater wants 3 pods")


def test_troubles_are_told_as_plain_data(said, pods):
    said.found = [PodTrouble("heater-1", "Unschedulable", "Insufficient cpu")]
    assert pods.troubles() == [
        {"pod": "heater-1", "reason": "Unschedulable", "message": "Insufficient cpu"}
    ]


def test_a_namespace_that_is_gone_is_an_error_that_says_so(said, pods):
    pods.look()
    assert not pods.lost
    said.gone = True
    assert pods.lost
    for ask in (pods.look, pods.not_ready, lambda: pods.wanted("heater")):
        with pytest.raises(WorldError, match="namespace ns is gone"):
            ask()
