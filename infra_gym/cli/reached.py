"""The cluster of a stack that is up, and the stack's namespace in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from infra_gym.errors import StackError, StackMismatchError, UsageError

if TYPE_CHECKING:
    from infra_gym.cli.selection import Selection
    from infra_gym.clouds.kubernetes import Cluster
    from infra_gym.stack.ledger import StackRecord

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
    """The cluster that the stack is in, from any machine that sees its ledger.

    One that the stack made itself: by its id and the account's token. Else by the settings, or by
    the kubeconfig that the stack was made with.

    Raises:
        StackError: It is not up.
        StackMismatchError: The settings lead to another cluster.
        CloudError: The account does not give the cluster's credentials.
        ClusterError: It cannot be reached.
    """
    record = selection.record
    if record is None:
        raise StackError(
            f"{selection.name} is not up.",
            next_command=f"infra-gym layers status {selection.options}",
        )
    cluster = _managed(selection, record) or _given(selection, record)
    if record.cluster and cluster.identity() != record.cluster:
        cluster.close()
        raise StackMismatchError(
            f"Context {cluster.context!r} leads to another cluster than the one that "
            f"{selection.name} is in.",
            next_command="unset INFRA_GYM_KUBECONFIG INFRA_GYM_KUBE_CONTEXT, and look into "
            "infra-gym.toml",
        )
    return cluster


def _managed(selection: Selection, record: StackRecord) -> Cluster | None:
    """The cluster that a layer of the stack made, if one did."""
    from infra_gym.stack.access import CLUSTER_ID, TEARDOWN_S, reach_managed
    from infra_gym.stack.ledger import Ledger, now
    from infra_gym.stack.storage import open_storage

    settings = selection.settings
    ledger = Ledger(open_storage(settings), settings.project, selection.environment)
    made = [
        one.outputs[CLUSTER_ID] for one in ledger.layers().values() if CLUSTER_ID in one.outputs
    ]
    if not made:
        return None
    left_s = max(0.0, (record.expires - now()).total_seconds())
    return reach_managed(str(made[0]), round(left_s + TEARDOWN_S))


def _given(selection: Selection, record: StackRecord) -> Cluster:
    from infra_gym.clouds.kubernetes import Cluster

    settings = selection.settings
    made_by = Path(record.kubeconfig) if record.kubeconfig else None
    return Cluster.connect(settings.kubeconfig or made_by, settings.kube_context or record.context)
