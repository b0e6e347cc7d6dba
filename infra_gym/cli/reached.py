"""The cluster of a stack that is up, and the stack's namespace in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from infra_gym.errors import StackError, StackMismatchError, UsageError

if TYPE_CHECKING:
    from infra_gym.cli.selection import Selection
    from infra_gym.clouds.kubernetes import Cluster

CORE = "k8s/core"


def namespace_of(selection: Selection) -> str:
    """The namespace of a stack.

    Raises:
        UsageError: It is not on a cluster.
        StackError: It is not up.
    """
    if CORE not in selection.layers:
        raise UsageError(
            f"{selection.name} is on target {selection.target}: it has no cluster",
            next_command=f"infra-gym layers status {selection.options}",
        )
    return str(selection.stack().outputs(CORE)["namespace"])


def cluster_of(selection: Selection) -> Cluster:
    """The cluster that the stack is in: by the settings, else by the kubeconfig that made it.

    Raises:
        StackError: It is not up.
        StackMismatchError: The settings lead to another cluster.
        ClusterError: It cannot be reached.
    """
    from infra_gym.clouds.kubernetes import Cluster

    record, settings = selection.record, selection.settings
    if record is None:
        raise StackError(
            f"{selection.name} is not up.",
            next_command=f"infra-gym layers status {selection.options}",
        )
    made_by = Path(record.kubeconfig) if record.kubeconfig else None
    cluster = Cluster.connect(
        settings.kubeconfig or made_by, settings.kube_context or record.context
    )
    if record.cluster and cluster.identity() != record.cluster:
        cluster.close()
        raise StackMismatchError(
            f"Context {cluster.context!r} leads to another cluster than the one that "
            f"{selection.name} is in.",
            next_command="unset INFRA_GYM_KUBECONFIG INFRA_GYM_KUBE_CONTEXT, and look into "
            "infra-gym.toml",
        )
    return cluster
