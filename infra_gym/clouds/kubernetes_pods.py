"""What keeps a pod from working, in Kubernetes's own words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# A container waits for these as a matter of course.
_ORDINARY = ("ContainerCreating", "PodInitializing")
_WORDS = 300


@dataclass(frozen=True)
class PodTrouble:
    """Why a pod does not work.

    Attributes:
        pod: Its name, or ``deployment/NAME`` where not even a pod could be made.
        reason: Kubernetes's word: ``Unschedulable``, ``ImagePullBackOff``, ``CrashLoopBackOff``,
            ``OOMKilled``, ``Evicted``, ``NodeLost``, ``FailedCreate`` and the like.
        message: Kubernetes's explanation, at most 300 characters, perhaps empty.
    """

    pod: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.pod}: {self.reason}" + (f": {self.message}" if self.message else "")


def troubles_of(pod: dict[str, Any]) -> list[PodTrouble]:
    """What is wrong with a pod, as the API server describes it; nothing for one that only boots."""
    name = pod["metadata"]["name"]
    found = dict(_found(pod.get("status", {})))
    return [PodTrouble(name, reason, text[:_WORDS]) for reason, text in found.items()]


def deployment_troubles_of(deployment: dict[str, Any]) -> list[PodTrouble]:
    """Why a deployment's pods cannot be made: a quota, or a policy that refuses them."""
    conditions = deployment.get("status", {}).get("conditions") or ()
    return [
        PodTrouble(
            f"deployment/{deployment['metadata']['name']}",
            condition.get("reason", "FailedCreate"),
            condition.get("message", "")[:_WORDS],
        )
        for condition in conditions
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True"
    ]


def works(pod: dict[str, Any]) -> bool:
    """Whether a pod is ready and stays."""
    return "deletionTimestamp" not in pod["metadata"] and any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in pod.get("status", {}).get("conditions") or ()
    )


def _found(status: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Reasons and messages."""
    if status.get("phase") == "Failed" or status.get("reason"):
        yield status.get("reason") or "Failed", status.get("message", "")
    for condition in status.get("conditions") or ():
        kind, on = condition["type"], condition["status"]
        if (kind == "PodScheduled" and on == "False") or (
            kind == "DisruptionTarget" and on == "True"
        ):
            yield condition.get("reason") or kind, condition.get("message", "")
    containers = (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    )
    for container in containers:
        yield from _of_container(container)


def _of_container(container: dict[str, Any]) -> Iterator[tuple[str, str]]:
    waiting = container.get("state", {}).get("waiting")
    if waiting and waiting.get("reason", _ORDINARY[0]) not in _ORDINARY:
        yield waiting["reason"], waiting.get("message", "")
    ends = [container.get(key, {}).get("terminated") for key in ("state", "lastState")]
    for end in filter(None, ends):
        if end.get("reason") == "OOMKilled":
            limits = container.get("resources", {}).get("limits", {})
            limit = f", its limit is {limits['memory']}" if "memory" in limits else ""
            restarts = container.get("restartCount", 0)
            yield "OOMKilled", f"container {container['name']}{limit}; restarts: {restarts}"
