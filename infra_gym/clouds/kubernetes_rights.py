"""The rights that a run needs in a cluster, and those of them that a user lacks.

All are asked for in every namespace, because a run makes a namespace of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import yaml

from infra_gym.clouds.kubernetes_calls import Calls

# What Terraform's provider does with each resource of a layer.
_TERRAFORM = ("get", "create", "patch", "delete")
_LAYERS = {
    "": (
        *("namespaces", "configmaps", "secrets", "services", "serviceaccounts"),
        "persistentvolumeclaims",
    ),
    "apps": ("deployments",),
    "rbac.authorization.k8s.io": ("roles", "rolebindings"),
}


@dataclass(frozen=True)
class Right:
    """To do something with a kind of object.

    Attributes:
        verb: ``get``, ``list``, ``watch``, ``create``, ``patch`` or ``delete``.
        resource: Such as ``pods`` or ``pods/log``.
        group: The API group; empty for the core one.
        optional: What goes without it; empty where nothing does.
    """

    verb: str
    resource: str
    group: str = ""
    optional: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


def _needed() -> Iterator[Right]:
    for group, resources in _LAYERS.items():
        for resource in resources:
            yield from (Right(verb, resource, group) for verb in _TERRAFORM)
    # What Prometheus may, whoever installs it must.
    yield from (Right(verb, "pods") for verb in ("get", "list", "watch"))
    yield Right("list", "deployments", "apps")
    yield Right("list", "events")
    yield Right("get", "pods/log")
    for verb in ("get", "create"):
        yield Right(verb, "services/proxy", optional="Prometheus is reached by a port-forward")
        yield Right(verb, "pods/portforward", optional="Prometheus is reached by the service proxy")
    yield Right("list", "nodes", optional="doctor cannot tell whether there is room")
    yield Right(
        "list", "storageclasses", "storage.k8s.io", optional="doctor cannot tell the default one"
    )


RIGHTS: tuple[Right, ...] = tuple(_needed())
"""All that a run, its logs and ``infra-gym doctor`` may ask for."""


def missing_rights(calls: Calls) -> list[Right]:
    """Those of :data:`RIGHTS` that the server would refuse.

    Raises:
        ClusterError: The server does not say.
    """
    return [right for right in RIGHTS if not _allowed(calls, right)]


def cluster_role(name: str) -> str:
    """A ClusterRole with all the rights, YAML."""
    rules = []
    by_resource = sorted(RIGHTS, key=lambda right: (right.group, right.resource))
    verbs = {
        place: tuple(right.verb for right in rights)
        for place, rights in groupby(by_resource, key=lambda right: (right.group, right.resource))
    }
    same = sorted(verbs.items(), key=lambda item: (item[0][0], item[1]))
    for (group, its), items in groupby(same, key=lambda item: (item[0][0], item[1])):
        resources = [resource for (_, resource), _ in items]
        rules.append({"apiGroups": [group], "resources": resources, "verbs": list(its)})
    document = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": rules,
    }
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=100)


def _allowed(calls: Calls, right: Right) -> bool:
    resource, _, subresource = right.resource.partition("/")
    attributes = {"verb": right.verb, "group": right.group, "resource": resource}
    if subresource:
        attributes["subresource"] = subresource
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = calls.ask(calls.authorization.create_self_subject_access_review, body=review)
    return bool(answer.get("status", {}).get("allowed"))
