"""A stack that stands on a cluster: which one it is, and how Terraform gets there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from infra_gym.errors import ClusterUnreachableError, StackMismatchError
from infra_gym.settings import Settings
from infra_gym.stack import Stack
from infra_gym.terraform.command import Terraform

LAYER = """
resource "terraform_data" "way" {
  provisioner "local-exec" {
    command = "echo $KUBE_CONFIG_PATH $KUBE_CTX > way"
  }
}
"""


class FakeCluster:
    def __init__(
        self, identity: str, context: str, kubeconfig: str = "/home/me/kubeconfig"
    ) -> None:
        self._identity = identity
        self.context = context
        self.kubeconfig = kubeconfig

    def identity(self) -> str:
        return self._identity

    def close(self) -> None:
        self.closed = True

    def environment(self) -> dict[str, str]:
        return {
            "KUBE_CONFIG_PATH": self.kubeconfig,
            "KUBE_CONFIG_PATHS": "",
            "KUBE_CTX": self.context,
        }


@pytest.fixture
def on(tmp_path: Path, binary: str) -> Callable[..., Stack]:
    """A function that opens the stack on a cluster; ``None``: there is none to be reached."""
    folder = tmp_path / "layer"
    folder.mkdir()
    (folder / "main.tf").write_text(LAYER)

    def make(cluster: FakeCluster | None) -> Stack:
        def connect(kubeconfig: Path | None, context: str | None) -> FakeCluster:
            if cluster is None:
                raise ClusterUnreachableError("nobody answers")
            return cluster

        return Stack(
            layers=["k8s/alpha"],
            target="k8s",
            settings=Settings(data_folder=tmp_path / "data"),
            project="p",
            environment="e",
            terraform=Terraform(binary),
            layer_folder=lambda name: folder,
            connect=connect,
        )

    return make


@pytest.mark.both_programs
def test_terraform_gets_the_way_and_the_ledger_remembers_it(on, tmp_path):
    stack = on(FakeCluster("one", "lab"))
    stack.apply()
    way = (tmp_path / "data/runs/p/e/k8s/alpha/way").read_text()
    assert way == "/home/me/kubeconfig lab\n"
    record = json.loads((tmp_path / "data/state/infrastructure/p/e/ledger/stack.json").read_text())
    assert record["cluster"] == "one"
    assert (record["kubeconfig"], record["context"]) == ("/home/me/kubeconfig", "lab")


def test_a_stack_of_another_cluster_is_refused_and_the_way_to_it_told(on):
    on(FakeCluster("one", "the lab")).apply()
    with pytest.raises(
        StackMismatchError, match="another cluster lies under this name: one"
    ) as told:
        on(FakeCluster("two", "production")).destroy()
    assert (
        "INFRA_GYM_KUBECONFIG=/home/me/kubeconfig INFRA_GYM_KUBE_CONTEXT='the lab' infra-gym layers"
        in told.value.next_command
    )
    assert on(FakeCluster("one", "the lab")).destroy() == ()


def test_a_cluster_that_is_away_is_told_and_the_lock_given_back(on):
    stack = on(None)
    with pytest.raises(ClusterUnreachableError):
        stack.apply()
    assert not stack.status().exists


def test_layers_of_a_cluster_that_is_gone_are_marked_destroyed(on, tmp_path):
    on(FakeCluster("one", "lab")).apply()
    stack = on(None)
    with pytest.raises(ClusterUnreachableError) as told:
        stack.destroy()
    assert "layers destroy k8s/alpha --target k8s -p p -e e --cluster-gone" in str(told.value)
    assert stack.mark_destroyed() == ("k8s/alpha",)
    assert not stack.status().exists
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []
