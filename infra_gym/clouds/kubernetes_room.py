"""Whether a cluster has room for more pods: what nodes offer, less what pods have asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infra_gym.clouds.kubernetes_calls import Calls, Json

_QUANTITY = re.compile(r"(?P<number>[0-9.]+(?:[eE][+-]?[0-9]+)?)(?P<unit>[numkKMGT]?i?)")
_DECIMAL = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_UNITS = _DECIMAL | _BINARY
_OVER = ("Succeeded", "Failed")
_KEEPS_AWAY = ("NoSchedule", "NoExecute")


@dataclass(frozen=True)
class Wish:
    """Pods that are all alike.

    Attributes:
        name: What they are.
        cpu: Processors that each asks for.
        memory: Bytes that each asks for.
        count: How many.
    """

    name: str
    cpu: float
    memory: float
    count: int = 1


@dataclass(frozen=True)
class Node:
    """What a node still has.

    Attributes:
        name: Its name.
        cpu: Processors that nobody has asked for.
        memory: Bytes that nobody has asked for.
        pods: Pods that may still come.
        closed: Why no pod of ours can come; empty where one can.
    """

    name: str
    cpu: float
    memory: float
    pods: int
    closed: str = ""


def quantity(text: str | float) -> float:
    """A Kubernetes quantity such as ``50m``, ``1.5``, ``64Mi``.

    Raises:
        ValueError: It is none.
    """
    match = _QUANTITY.fullmatch(str(text))
    if match is None or match["unit"] not in _UNITS:
        raise ValueError(f"{text!r} is no quantity")
    return float(match["number"]) * _UNITS[match["unit"]]


def nodes(calls: Calls) -> list[Node]:
    """All nodes.

    Raises:
        ClusterError: They, or the pods of all namespaces, may not be listed.
    """
    found = {node["metadata"]["name"]: _empty(node) for node in _all(calls.core.list_node, calls)}
    for pod in _all(calls.core.list_pod_for_all_namespaces, calls):
        name = pod["spec"].get("nodeName")
        if name in found and pod.get("status", {}).get("phase") not in _OVER:
            cpu, memory = _requests(pod["spec"])
            node = found[name]
            found[name] = replace(
                node, cpu=node.cpu - cpu, memory=node.memory - memory, pods=node.pods - 1
            )
    return list(found.values())


def placed(free: Iterable[Node], wishes: Sequence[Wish]) -> dict[str, int]:
    """How many pods of each wish find a place, the earlier wishes first, each where most is free.

    The real scheduler weighs more than this; it finds no place where this finds none.
    """
    open_ = [node for node in free if not node.closed]
    found = {wish.name: 0 for wish in wishes}
    for wish in wishes:
        for _ in range(wish.count):
            fits = [n for n in open_ if n.cpu >= wish.cpu and n.memory >= wish.memory and n.pods]
            if not fits:
                break
            node = max(fits, key=lambda node: (node.cpu, node.memory))
            open_.remove(node)
            open_.append(
                replace(
                    node,
                    cpu=node.cpu - wish.cpu,
                    memory=node.memory - wish.memory,
                    pods=node.pods - 1,
                )
            )
            found[wish.name] += 1
    return found


def _empty(node: Json) -> Node:
    offered = node.get("status", {}).get("allocatable", {})
    return Node(
        name=node["metadata"]["name"],
        cpu=quantity(offered.get("cpu", 0)),
        memory=quantity(offered.get("memory", 0)),
        pods=int(quantity(offered.get("pods", 0))),
        closed=_closed(node),
    )


def _closed(node: Json) -> str:
    conditions = node.get("status", {}).get("conditions") or ()
    if not any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
        return "not ready"
    if node["spec"].get("unschedulable"):
        return "cordoned"
    taints = [t["key"] for t in node["spec"].get("taints") or () if t["effect"] in _KEEPS_AWAY]
    return f"taint {', '.join(taints)}" if taints else ""


def _requests(spec: Json) -> tuple[float, float]:
    """Processors and bytes: of all containers together, or of one that runs before them."""
    together = [_request(container) for container in spec.get("containers") or ()]
    before = [_request(container) for container in spec.get("initContainers") or ()]
    overhead = spec.get("overhead") or {}
    cpu, memory = (
        max([sum(one[i] for one in together), *(one[i] for one in before)])
        + quantity(overhead.get(kind, 0))
        for i, kind in enumerate(("cpu", "memory"))
    )
    return cpu, memory


def _request(container: Json) -> tuple[float, float]:
    asked = container.get("resources", {}).get("requests") or {}
    return quantity(asked.get("cpu", 0)), quantity(asked.get("memory", 0))


def _all(function: Callable[..., Any], calls: Calls) -> list[Json]:
    """Every item of a list, page by page."""
    items: list[Json] = []
    more = ""
    while True:
        page = calls.ask(function, limit=500, **({"_continue": more} if more else {}))
        items += page["items"]
        more = page.get("metadata", {}).get("continue", "")
        if not more:
            return items
