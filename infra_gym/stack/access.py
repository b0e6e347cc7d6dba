"""The cluster that a stack stands on: which one, and how Terraform reaches it.

Credentials stay in the kubeconfig: Terraform's provider gets its path and the context's name by its
own environment variables, and the ledger keeps those two and the cluster's identity.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infra_gym.clouds.kubernetes_credentials import FOLDERS, write_secret
from infra_gym.errors import CloudError, CloudMissingError
from infra_gym.settings import Settings
from infra_gym.terraform.command import Terraform

if TYPE_CHECKING:
    from infra_gym.clouds.kubernetes import Cluster

Connect = Callable[[Path | None, str | None], "Cluster"]

CLUSTER_ID = "cluster_id"
"""The output of a layer that makes a managed cluster."""
_PROVIDER = "k8s"

TEARDOWN_S = 2 * 3600.0
"""Seconds that a managed cluster's credentials outlive the stack's expiry: it has to be destroyed
with them."""
_RENEWED_S = 3600.0
"""Age of credentials that are got again: each apply puts the stack's expiry off."""


class ClusterAccess:
    """Reaches the cluster when it is first needed; afterwards it is always the same one.

    Args:
        settings: Which kubeconfig and context.
        terraform: Gets the way to the cluster as well.
        folder: The run's folder, for the credentials of a cluster that the stack makes.
        connect: Reaches a cluster; another one in tests.
        credentials: A managed cluster's kubeconfig, by its id and the seconds that it is good for.
        clock: Seconds; another one in tests.
    """

    def __init__(
        self,
        settings: Settings,
        terraform: Terraform,
        *,
        folder: Path,
        connect: Connect | None = None,
        credentials: Callable[[str, int], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._terraform = terraform
        self._folder = folder
        self._connect = connect or _connect
        self._credentials = credentials or managed_kubeconfig
        self._clock = clock
        self._got_at = 0.0
        self._made: str | None = None
        self.cluster: Cluster | None = None
        """The cluster, once it was reached."""
        self.identity: str | None = None
        """What tells it from all others."""

    def open(self, made: str | None = None) -> None:
        """Reach the cluster, if it was not reached before; renew credentials that we made.

        Args:
            made: The id of the managed cluster that the stack itself made; else the settings say.

        Raises:
            ClusterError: There is no kubeconfig, or the cluster does not answer or refuses.
        """
        if self.cluster is not None and made != self._made:
            self.cluster.close()
            self.cluster = None
        if self.cluster is None:
            if made is None:
                cluster = self._connect(self._settings.kubeconfig, self._settings.kube_context)
            else:
                cluster = self._connect(self._kubeconfig_of(made), None)
            self.identity = cluster.identity()
            self._terraform.add_environment(cluster.environment())
            self.cluster, self._made = cluster, made
        elif made is not None and self._clock() - self._got_at > _RENEWED_S:
            self._renew(self.cluster, made)

    def close(self) -> None:
        """Give connections and certificates' files back; the next :meth:`open` reaches it again."""
        if self.cluster is not None:
            self.cluster.close()
            self.cluster = None

    def named(self) -> str:
        """Which cluster it is to be, in words; nobody is asked.

        Raises:
            ClusterError: There is no kubeconfig, or it cannot be used.
            UsageError: There is no such context.
        """
        from infra_gym.clouds.kubernetes_config import Kubeconfig

        found = Kubeconfig.find(self._settings.kubeconfig).access(self._settings.kube_context)
        files = os.pathsep.join(map(str, found.files))
        return f"context {found.context} of {files}, {found.server}"

    def _renew(self, cluster: Cluster, made: str) -> None:
        """Get newer credentials; while the old ones last, an account that is away does no harm."""
        lasting = self._clock() - self._got_at < self._settings.expiry_hours * 3600
        try:
            cluster.renew(self._kubeconfig_of(made))
        except CloudMissingError:
            raise
        except CloudError:
            if not lasting:
                raise

    def _kubeconfig_of(self, made: str) -> Path:
        """The file with a managed cluster's credentials, which outlive the stack."""
        seconds = self._settings.expiry_hours * 3600 + TEARDOWN_S
        moment = self._clock()
        text = self._credentials(made, round(seconds))
        path = self._folder / "kubeconfig"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(path, text.encode())
        self._got_at = moment
        return path

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


def makes_cluster(outputs: Iterable[str]) -> bool:
    """Whether a layer with these outputs makes a managed cluster for the layers after it."""
    return CLUSTER_ID in outputs


def on_cluster(layers: Sequence[str]) -> bool:
    """Whether any of the layers needs a cluster that is there already."""
    return any(layer.startswith(f"{_PROVIDER}/") for layer in layers)


def _connect(kubeconfig: Path | None, context: str | None) -> Cluster:
    from infra_gym.clouds.kubernetes import Cluster  # slow to import

    return Cluster.connect(kubeconfig, context)


def managed_kubeconfig(cluster: str, seconds: int) -> str:
    """A managed cluster's kubeconfig, from the account that it is in.

    Args:
        cluster: Its id.
        seconds: How long its credentials are good for.

    Raises:
        CloudError: The account does not give it.
    """
    from infra_gym.clouds.digitalocean import DigitalOcean  # slow to import

    return DigitalOcean.from_environment().kubeconfig(cluster, seconds)


def reach_managed(identity: str, seconds: int) -> Cluster:
    """A managed cluster, reached with nothing but its id and the account's token.

    Args:
        identity: The cluster's id.
        seconds: How long the credentials are good for.

    Raises:
        CloudError: The account does not give the credentials.
        ClusterError: The cluster cannot be reached.
    """
    # Named as what a process that is killed leaves, and the next one removes.
    with tempfile.TemporaryDirectory(prefix=FOLDERS) as folder:
        path = Path(folder) / "kubeconfig"
        write_secret(path, managed_kubeconfig(identity, seconds).encode())
        return _connect(path, None)
