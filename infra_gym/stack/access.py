"""The cluster that a stack stands on: which one, and how Terraform reaches it.

Credentials stay in the kubeconfig: Terraform's provider gets its path and the context's name by its
own environment variables, and the ledger keeps those two and the cluster's identity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infra_gym.settings import Settings
from infra_gym.terraform.command import Terraform

if TYPE_CHECKING:
    from infra_gym.clouds.kubernetes import Cluster

Connect = Callable[[Path | None, str | None], "Cluster"]

_PROVIDER = "k8s"


class ClusterAccess:
    """Reaches the cluster when it is first needed; afterwards it is always the same one.

    Args:
        settings: Which kubeconfig and context.
        terraform: Gets the way to the cluster as well.
        connect: Reaches a cluster; another one in tests.
    """

    def __init__(
        self, settings: Settings, terraform: Terraform, connect: Connect | None = None
    ) -> None:
        self._settings = settings
        self._terraform = terraform
        self._connect = connect or _connect
        self.cluster: Cluster | None = None
        """The cluster, once it was reached."""
        self.identity: str | None = None
        """What tells it from all others."""

    def open(self) -> None:
        """Reach the cluster, if it was not reached before.

        Raises:
            ClusterError: There is no kubeconfig, or the cluster does not answer or refuses.
        """
        if self.cluster is None:
            cluster = self._connect(self._settings.kubeconfig, self._settings.kube_context)
            self.identity = cluster.identity()
            self._terraform.add_environment(cluster.environment())
            self.cluster = cluster

    @property
    def kubeconfig(self) -> str | None:
        """The paths of the files that it was reached by, as ``KUBECONFIG`` has them."""
        if self.cluster is None:
            return None
        variables = self.cluster.environment()
        return variables["KUBE_CONFIG_PATH"] or variables["KUBE_CONFIG_PATHS"]

    @property
    def context(self) -> str | None:
        """The context that it was reached by."""
        return None if self.cluster is None else self.cluster.context


def on_cluster(layers: Sequence[str]) -> bool:
    """Whether any of the layers needs a cluster that is there already."""
    return any(layer.startswith(f"{_PROVIDER}/") for layer in layers)


def _connect(kubeconfig: Path | None, context: str | None) -> Cluster:
    from infra_gym.clouds.kubernetes import Cluster  # slow to import

    return Cluster.connect(kubeconfig, context)
