"""What the cluster tells of a stack's pods: counts, troubles, and the end of their namespace.

A layer that makes a Deployment says where by its output ``deployment``, ``NAMESPACE/NAME``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from infra_gym.clouds.kubernetes import DeploymentCount, PodTrouble
from infra_gym.definitions.models import short_name
from infra_gym.errors import WorldError
from infra_gym.stack import Stack

OUTPUT = "deployment"


class Cluster(Protocol):
    """What is asked of :class:`infra_gym.clouds.kubernetes.Cluster`."""

    def replicas(self, namespace: str, deployment: str) -> DeploymentCount | None: ...  # noqa: D102

    def troubles(self, namespace: str, selector: str = "") -> list[PodTrouble]: ...  # noqa: D102

    def report(self, namespace: str) -> str: ...  # noqa: D102

    def namespace_gone(self, namespace: str) -> bool: ...  # noqa: D102


class Pods:
    """The pods of one stack.

    Args:
        cluster: Who is asked.
        deployments: By a layer's short name, the output ``deployment``.
    """

    def __init__(self, cluster: Cluster, deployments: Mapping[str, str]) -> None:
        self._cluster = cluster
        self._deployments = {
            layer: (place.partition("/")[0], place.partition("/")[2])
            for layer, place in deployments.items()
        }
        self._namespaces = sorted({namespace for namespace, _ in self._deployments.values()})

    @classmethod
    def of(cls, cluster: Cluster, stack: Stack) -> Pods:
        """Those of a stack that is up."""
        outputs = {layer: stack.outputs(layer) for layer in stack.layers}
        return cls(
            cluster,
            {
                short_name(layer): str(found[OUTPUT])
                for layer, found in outputs.items()
                if OUTPUT in found
            },
        )

    def wanted(self, layer: str) -> int | None:
        """How many pods the cluster was told to run for a layer; ``None`` where it has none.

        A Deployment that somebody deleted runs none.

        Raises:
            WorldError: The whole namespace is gone.
            ClusterError: The cluster does not tell.
        """
        if layer not in self._deployments:
            return None
        count = self._cluster.replicas(*self._deployments[layer])
        if count is None:
            self.look()
            return 0
        return count.wanted

    def troubles(self) -> list[dict[str, Any]]:
        """What keeps pods from working, each as ``{"pod", "reason", "message"}``."""
        return [
            dataclasses.asdict(trouble)
            for namespace in self._namespaces
            for trouble in self._cluster.troubles(namespace)
        ]

    def not_ready(self) -> str:
        """What is missing until every Deployment has all its pods, in words; else empty."""
        for namespace, name in self._deployments.values():
            count = self._cluster.replicas(namespace, name)
            if count is None:
                self.look()
                return f"there is no Deployment {name} in the namespace {namespace}"
            if not count.wanted == count.existing == count.updated == count.ready:
                return (
                    f"{name} wants {count.wanted} pods; {count.existing} exist, "
                    f"{count.updated} of the newest kind, {count.ready} ready"
                )
        return ""

    def report(self) -> str:
        """Events and last log lines, for people."""
        return "\n".join(self._cluster.report(namespace) for namespace in self._namespaces)

    def look(self) -> None:
        """Make sure that the namespace is still there.

        Raises:
            WorldError: It is gone, or being deleted.
        """
        gone = self._gone()
        if gone:
            raise WorldError(
                f"The namespace {gone[0]} is gone, or being deleted, and not by this run.",
                next_command="env.reset(), which makes all of it anew, or env.close()",
            )

    @property
    def lost(self) -> bool:
        """Whether the namespace is gone."""
        return bool(self._gone())

    def _gone(self) -> list[str]:
        return [one for one in self._namespaces if self._cluster.namespace_gone(one)]
