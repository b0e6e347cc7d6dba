"""The doctor's checks of a cluster, for target ``k8s``: each says what to type where it fails."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra_gym.cli.doctor_check import Check, attempt
from infra_gym.definitions.catalog import find_definition, find_layer
from infra_gym.definitions.models import Definition, short_name
from infra_gym.errors import ClusterError, ClusterRefusedError, InfraGymError
from infra_gym.settings import Target

if TYPE_CHECKING:
    from infra_gym.clouds.kubernetes import Cluster
    from infra_gym.clouds.kubernetes_rights import Right
    from infra_gym.clouds.kubernetes_room import Wish
    from infra_gym.settings import Settings

MINIMUM_VERSION = (1, 25)
"""The first whose pod-security levels are not a trial."""

_ID = "SimpleK8sWebApp-v0"
_TARGET: Target = "k8s"
_INIT_DEADLINE_S = 180
_HOW_TO = "docs/how-to/run-on-kubernetes.md"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def examine_cluster(settings: Settings) -> list[Check]:
    """All of them; those that need an answer of the cluster only where it answers."""
    from infra_gym.clouds.kubernetes import Cluster

    provider = _provider(settings)
    try:
        cluster = Cluster.connect(settings.kubeconfig, settings.kube_context)
    except InfraGymError as error:
        return [
            Check("cluster", ok=False, found=error.message, next=error.next_command or ""),
            provider,
        ]
    with cluster:
        lacking = _lacking(cluster)
        return [
            Check("cluster", ok=True, found=f"context {cluster.context}, {cluster.server}"),
            _version(cluster),
            *_rights(lacking),
            _namespaces(cluster),
            _prometheus_path(settings, lacking),
            _room(cluster),
            _pod_security(cluster),
            _storage(cluster),
            provider,
        ]


def _version(cluster: Cluster) -> Check:
    found = cluster.version()
    numbers = found.removeprefix("v").split(".")[:2]
    old = all(n.isdigit() for n in numbers) and tuple(map(int, numbers)) < MINIMUM_VERSION
    wanted = ".".join(map(str, MINIMUM_VERSION))
    return Check(
        "version", not old, found, next=f"upgrade the cluster to Kubernetes {wanted} or later"
    )


def _lacking(cluster: Cluster) -> list[Right] | str:
    """The rights that are missing; why they cannot be told, if so."""
    from infra_gym.clouds.kubernetes_rights import missing_rights

    try:
        return missing_rights(cluster.calls)
    except ClusterRefusedError as error:
        return error.message


def _rights(lacking: list[Right] | str) -> list[Check]:
    to_do = f"have a cluster administrator bind the ClusterRole of {_HOW_TO} to you"
    if isinstance(lacking, str):
        return [Check("rights", ok=False, found=lacking, next=to_do)]
    needed = [right for right in lacking if not right.optional]
    checks = [
        Check(
            "rights",
            not needed,
            f"missing: {_listed(needed)}" if needed else "all that a run needs",
            next=to_do,
        )
    ]
    optional = [right for right in lacking if right.optional]
    for without in dict.fromkeys(right.optional for right in optional):
        found = _listed([right for right in optional if right.optional == without])
        checks.append(
            Check("more rights", ok=False, found=f"missing: {found}: {without}", needed=False)
        )
    return checks


def _listed(rights: list[Right]) -> str:
    """By resource: ``configmaps (get, create), pods (list)``."""
    verbs: dict[str, list[str]] = {}
    for right in rights:
        verbs.setdefault(right.resource, []).append(right.verb)
    return ", ".join(f"{resource} ({', '.join(its)})" for resource, its in verbs.items())


def _namespaces(cluster: Cluster) -> Check:
    """Whether the server would take a run's namespace: policies may refuse its name or labels."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"metadata": {"name": "infra-gym-doctor", "labels": labels}}

    def attempted() -> str:
        cluster.dry_run(cluster.calls.core.create_namespace, body=body)
        return "one could be made (tried without making it)"

    return attempt(
        "namespace", attempted, "ask the cluster's administrator which namespaces you may make"
    )


def _prometheus_path(settings: Settings, lacking: list[Right] | str) -> Check:
    if settings.prometheus_url is not None:
        return Check("way to Prometheus", ok=True, found=f"{settings.prometheus_url}, as set")
    missing = {right.resource for right in lacking} if isinstance(lacking, list) else set()
    ways = [
        words
        for resource, words in (
            ("services/proxy", "the API server's service proxy"),
            ("pods/portforward", "a port-forward"),
        )
        if resource not in missing
    ]
    return Check(
        "way to Prometheus",
        bool(ways),
        ", else ".join(ways) or "neither the service proxy nor a port-forward is allowed",
        next="ask for services/proxy (get, create), or give a URL: "
        "export INFRA_GYM_PROMETHEUS_URL=http://...",
    )


def _room(cluster: Cluster) -> Check:
    from infra_gym.clouds.kubernetes_room import nodes, placed

    definition = find_definition(_ID)
    once, (lowest, highest) = stack_wishes(definition)
    try:
        free = nodes(cluster.calls)
    except ClusterRefusedError:
        found = "cannot be told without the right to list nodes and pods"
        return Check("room", ok=False, found=found, needed=False)
    places = placed(free, [*once, highest])
    homeless = [wish.name for wish in once if not places[wish.name]]
    enough = not homeless and places[highest.name] >= lowest.count
    open_ = [node for node in free if not node.closed]
    closed = "; ".join(f"{node.name}: {node.closed}" for node in free if node.closed)
    cpu, memory = sum(node.cpu for node in open_), sum(node.memory for node in open_)
    text = (
        f"{cpu:.3g} processors and {memory / 2**30:.3g} GiB free; "
        + (f"none for {', '.join(homeless)}; " if homeless else "")
        + f"for {places[highest.name]} of at most {highest.count} {highest.name} pods"
        + (f" (not used: {closed})" if closed else "")
    )
    return Check("room", enough, text, next="add a node, or remove other pods")


def stack_wishes(definition: Definition) -> tuple[list[Wish], tuple[Wish, Wish]]:
    """What the pods of a stack ask for: those that run once, and the replicas at first and at most.

    A layer's variables ``cpu_request`` and ``memory`` say it, as they do for Terraform.
    """
    from infra_gym.clouds.kubernetes_room import Wish, quantity
    from infra_gym.terraform.hcl import read_module

    scaled = {c.layer: c for c in definition.controls.values() if c.input == "replicas"}
    once: list[Wish] = []
    replicas: list[Wish] = []
    for layer in definition.layers[_TARGET]:
        name = short_name(layer)
        defaults = {v.name: v.default for v in read_module(find_layer(layer)).variables.values()}
        given: dict[str, Any] = {**defaults, **definition.inputs.get(name, {})}
        if "cpu_request" not in given:
            continue
        cpu, memory = quantity(given["cpu_request"]), quantity(given["memory"])
        if name in scaled:
            control = scaled[name]
            replicas = [Wish(name, cpu, memory, n) for n in (control.initial, control.high)]
        else:
            once.append(Wish(name, cpu, memory))
    return once, (replicas[0], replicas[1])


def _pod_security(cluster: Cluster) -> Check:
    """Whether a pod such as a layer's would be taken: a cluster may have policies of its own."""

    def attempted() -> str:
        cluster.dry_run(cluster.calls.core.create_namespaced_pod, "default", body=_POD)
        return "a pod of the restricted level would be taken (tried without making it)"

    check = attempt("pod security", attempted, "")
    if check.ok:
        return check
    return Check(check.name, ok=False, found=check.found, needed=False, next=_POLICY)


_POLICY = "allow pods of the restricted level in new namespaces, if a policy is what refused it"

_POD: dict[str, Any] = {
    "metadata": {"name": "infra-gym-doctor"},
    "spec": {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "doctor",
                "image": "python:3.12-slim",
                "resources": {
                    "requests": {"cpu": "50m", "memory": "64Mi"},
                    "limits": {"cpu": "500m", "memory": "64Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    },
}


def _storage(cluster: Cluster) -> Check:
    def find() -> str:
        classes = cluster.calls.ask(cluster.calls.storage.list_storage_class)["items"]
        for one in classes:
            if (one["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true":
                return f"{one['metadata']['name']}, the default"
        raise ClusterError("no default storage class")

    check = attempt("storage", find, "only for a database that keeps its data: set storage_class")
    return Check(check.name, check.ok, check.found, needed=False, next=check.next)


def _provider(settings: Settings) -> Check:
    """Whether ``terraform init`` gets the kubernetes provider here."""
    from infra_gym.terraform.command import Deadlines, Terraform

    def find() -> str:
        terraform = Terraform(settings.binary, deadlines=Deadlines(init_s=_INIT_DEADLINE_S))
        with tempfile.TemporaryDirectory(prefix="infra-gym-") as folder:
            shutil.copy(find_layer("k8s/core") / "versions.tf", folder)
            terraform.init(Path(folder))
            return f"hashicorp/kubernetes {_installed(Path(folder))}"

    return attempt(
        "provider",
        find,
        "check the way to registry.terraform.io, or put the provider in a folder on this machine: "
        "https://developer.hashicorp.com/terraform/cli/config/config-file#provider-installation",
    )


def _installed(folder: Path) -> str:
    versions = sorted(folder.glob(".terraform/providers/*/hashicorp/kubernetes/*"))
    return versions[-1].name if versions else "of unknown version"
