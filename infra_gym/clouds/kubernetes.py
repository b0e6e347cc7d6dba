"""The one door to a Kubernetes cluster: whatever is asked of it beside Terraform.

A :class:`Cluster` is one context of a kubeconfig. It tells counts, troubles, events and logs of
pods, reaches services through the API server, and says what Terraform's providers need to reach
the same cluster. It changes nothing in it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import requests
import urllib3

from infra_gym.clouds.kubernetes_calls import (
    Calls,
    NotFoundError,
    said_by,
    unreachable_because,
)
from infra_gym.clouds.kubernetes_config import Access, Kubeconfig
from infra_gym.clouds.kubernetes_credentials import Credentials
from infra_gym.clouds.kubernetes_forward import Forward
from infra_gym.clouds.kubernetes_pods import PodTrouble, deployment_troubles_of, troubles_of
from infra_gym.clouds.kubernetes_report import report
from infra_gym.clouds.kubernetes_services import Service, session_for
from infra_gym.errors import ClusterRefusedError, ClusterUnreachableError

__all__ = ["Cluster", "DeploymentCount", "PodTrouble", "Route"]

_WHO_AM_I = "kube-system"
_PROBE_DEADLINE_S = (5, 10)
_PROBE_BYTES = 4096
# Each of these would lead the providers to another cluster than the kubeconfig does.
_OTHER_WAYS = (
    *("KUBE_HOST", "KUBE_TOKEN", "KUBE_USER", "KUBE_PASSWORD", "KUBE_INSECURE"),
    *("KUBE_CLIENT_CERT_DATA", "KUBE_CLIENT_KEY_DATA", "KUBE_CLUSTER_CA_CERT_DATA"),
    *("KUBE_CTX_AUTH_INFO", "KUBE_CTX_CLUSTER", "KUBE_PROXY_URL", "KUBE_TLS_SERVER_NAME"),
)


@dataclass(frozen=True)
class DeploymentCount:
    """The replicas of a deployment.

    Attributes:
        wanted: How many its specification asks for.
        existing: Pods that there are, whatever their state.
        ready: Pods that take work.
        updated: Pods of the newest revision.
    """

    wanted: int
    existing: int
    ready: int
    updated: int


@dataclass(frozen=True)
class Route:
    """A way to a service.

    Attributes:
        url: What to ask.
        session: Carries certificates and token.
        kind: ``"service proxy"`` or ``"port-forward"``.
    """

    url: str
    session: requests.Session
    kind: str


class Cluster:
    """One context of a kubeconfig; use :meth:`connect`. Close it, or use it in ``with``.

    Every method that asks the server may raise :class:`ClusterUnreachableError` (it may come back),
    :class:`ClusterRefusedError` (credentials, rights) or another :class:`ClusterError`, within
    about half a minute.
    """

    def __init__(self, source: Kubeconfig, access: Access) -> None:
        self._source = source
        self._access = access
        self._credentials = Credentials(access)
        self._calls = Calls(access, self._credentials)
        self._forwards: dict[Service, Forward] = {}

    @classmethod
    def connect(cls, kubeconfig: Path | None = None, context: str | None = None) -> Self:
        """Reach the cluster of ``context`` (the current one when left out).

        Args:
            kubeconfig: A file, or several joined as in ``KUBECONFIG``; when left out those that
                ``KUBECONFIG`` names, else ``~/.kube/config``.
            context: The context's name.

        Raises:
            UnknownNameError: There is no such context.
            ClusterError: There is no kubeconfig, it is broken, or its credential plugin is missing.
            ClusterUnreachableError: The server does not answer.
            ClusterRefusedError: The server does not accept the credentials.
        """
        source = Kubeconfig.find(kubeconfig)
        cluster = cls(source, source.access(context))
        try:
            cluster.version()
        except BaseException:
            cluster.close()
            raise
        return cluster

    @property
    def context(self) -> str:
        """The name of the context."""
        return self._access.context

    @property
    def server(self) -> str:
        """The API server's URL."""
        return self._access.server

    @property
    def calls(self) -> Calls:
        """The official client's interfaces, for what this class does not have."""
        return self._calls

    def version(self) -> str:
        """The server's version, such as ``v1.34.4``."""
        return str(self._calls.ask(self._calls.version.get_code).get("gitVersion", "unknown"))

    def identity(self) -> str:
        """What tells this cluster from all others, whichever context or address leads to it.

        The uid of its namespace kube-system; a hash of its certificate authority, or of its address
        where it has none of its own, if we may not look at that namespace.
        """
        try:
            found = self._calls.ask(self._calls.core.read_namespace, _WHO_AM_I)
            return str(found["metadata"]["uid"])
        except (ClusterRefusedError, NotFoundError):
            known = self._access.ca or self._access.server.encode()
            return f"ca-{hashlib.sha256(known.strip()).hexdigest()[:32]}"

    def environment(self) -> dict[str, str]:
        """Variables that lead Terraform's kubernetes and helm providers to this context.

        Those that would lead them elsewhere are set empty, which the providers take for unset.
        """
        files = [str(file) for file in self._access.files]
        path, paths = (files[0], "") if len(files) == 1 else ("", os.pathsep.join(files))
        return {
            **dict.fromkeys(_OTHER_WAYS, ""),
            "KUBE_CONFIG_PATH": path,
            "KUBE_CONFIG_PATHS": paths,
            "KUBE_CTX": self._access.context,
        }

    def kubeconfig(self, namespace: str) -> str:
        """A kubeconfig for this context alone, with ``namespace`` as its default. Holds secrets."""
        return self._source.only(self._access, namespace)

    def replicas(self, namespace: str, deployment: str) -> DeploymentCount | None:
        """How many replicas a deployment has; ``None`` when there is no such deployment."""
        try:
            found = self._calls.ask(
                self._calls.apps.read_namespaced_deployment, deployment, namespace
            )
        except NotFoundError:
            return None
        status = found.get("status", {})
        return DeploymentCount(
            wanted=found["spec"].get("replicas", 1),
            existing=status.get("replicas", 0),
            ready=status.get("readyReplicas", 0),
            updated=status.get("updatedReplicas", 0),
        )

    def troubles(self, namespace: str, selector: str = "") -> list[PodTrouble]:
        """What keeps pods from working, the oldest pod first.

        Args:
            namespace: Where.
            selector: A label selector such as ``app=heater``; all pods when left out.
        """
        found = self._calls.ask(
            self._calls.core.list_namespaced_pod, namespace, label_selector=selector
        )
        deployments = self._calls.ask(
            self._calls.apps.list_namespaced_deployment, namespace, label_selector=selector
        )
        pods = sorted(found["items"], key=lambda pod: pod["metadata"]["creationTimestamp"])
        return [
            *(
                one
                for deployment in deployments["items"]
                for one in deployment_troubles_of(deployment)
            ),
            *(one for pod in pods for one in troubles_of(pod)),
        ]

    def report(self, namespace: str) -> str:
        """Warnings and the last log lines of pods in trouble, for people; at most 4,000 characters.

        Never raises for want of a right: it says so in its place.
        """
        return report(self._calls, namespace)

    def namespace_gone(self, namespace: str) -> bool:
        """Whether there is no such namespace, or it is being deleted."""
        try:
            found = self._calls.ask(self._calls.core.read_namespace, namespace)
        except NotFoundError:
            return True
        return bool(found.get("status", {}).get("phase") == "Terminating")

    def namespaces(self, project: str, environment: str) -> list[str]:
        """The namespaces that stacks of this project and environment made, and that are there."""
        labels = f"infra-gym/project={project},infra-gym/environment={environment}"
        found = self._calls.ask(self._calls.core.list_namespace, label_selector=labels)
        return sorted(str(one["metadata"]["name"]) for one in found["items"])

    def dry_run(self, function: Callable[..., Any], *arguments: Any, body: dict[str, Any]) -> None:
        """Have the server check an object, policies included, and not make it.

        Args:
            function: One of the client's methods that create.
            arguments: Its own, such as a namespace.
            body: The object.
        """
        self._calls.ask(function, *arguments, body=body, dry_run="All")

    def session(self) -> requests.Session:
        """A session for :meth:`proxied` URLs. The tokens of plugins and files are kept fresh."""
        return session_for(self._access, self._credentials)

    def proxied(self, url: str) -> str:
        """The URL through the API server's service proxy for one in the cluster.

        Args:
            url: ``http://NAME.NAMESPACE.svc[.cluster.local][:PORT]/path``.

        Raises:
            ValueError: The URL is not of that form.
        """
        service, path = Service.of(url)
        return service.proxied(self._access.server) + path

    def forwarded(self, url: str) -> str:
        """The URL on this machine that is forwarded to a pod of the service, until :meth:`close`.

        Each connection goes to a pod that is ready when it is made, so that a pod which is replaced
        costs the connections to it and no more.

        Raises:
            ValueError: The URL is not of the form that :meth:`proxied` takes.
        """
        service, path = Service.of(url)
        if service not in self._forwards:
            self._forwards[service] = Forward(self._access, self._credentials, self._calls, service)
        return self._forwards[service].url + path

    def route(self, url: str, probe: str = "") -> Route:
        """The way to a service that works: the service proxy, else a port-forward.

        Args:
            url: As :meth:`proxied` takes it.
            probe: A path below ``url`` that answers 200, such as ``/-/ready``.

        Raises:
            ClusterError: Neither works; says why.
        """
        proxied = Route(self.proxied(url), self.session(), "service proxy")
        refusal = _refusal(proxied, probe)
        if refusal is None:
            return proxied
        proxied.session.close()
        session = requests.Session()
        session.trust_env = False  # it is a port of this machine
        forwarded = Route(self.forwarded(url), session, "port-forward")
        failure = _refusal(forwarded, probe)
        if failure is None:
            return forwarded
        session.close()
        service, _ = Service.of(url)
        raise ClusterUnreachableError(
            f"The service {service.namespace}/{service.name} cannot be reached. By the API "
            f"server's service proxy: {refusal}. By a port-forward: "
            f"{self._forwards[service].failure or failure}.",
            next_command="infra-gym doctor --target k8s shows which ways are open",
        )

    def renew(self, kubeconfig: Path) -> None:
        """Go on with newer credentials; ways to services stay as they are.

        Args:
            kubeconfig: A file for the same cluster, whose current context is taken.

        Raises:
            ClusterError: It is broken.
        """
        source = Kubeconfig.find(kubeconfig)
        access = source.access(None)
        self._credentials.replace(access)
        self._source, self._access = source, access

    def close(self) -> None:
        """End port-forwards, give connections back, remove the certificates' files."""
        for forward in self._forwards.values():
            forward.close()
        self._forwards.clear()
        self._calls.close()
        self._credentials.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _refusal(route: Route, probe: str) -> str | None:
    """Why a route does not work; ``None`` when it does."""
    try:
        with route.session.get(route.url + probe, timeout=_PROBE_DEADLINE_S, stream=True) as answer:
            if answer.ok:
                return None
            words = said_by(answer.raw.read(_PROBE_BYTES, decode_content=True))
            return f"{answer.status_code} {words or answer.reason}"
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        return unreachable_because(error)
