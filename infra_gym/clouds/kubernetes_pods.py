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
    if container.get("ready"):
        return  # whatever killed it before is over
    waiting = container.get("state", {}).get("waiting") or {}
    end = _last_end(container)
    if waiting.get("reason", _ORDINARY[0]) not in _ORDINARY:
        words = f"{waiting.get('message', '')}{f'; {_told(container, end)}' if end else ''}"
        yield waiting["reason"], words
    if end and (end.get("reason") == "OOMKilled" or not waiting):
        yield end.get("reason") or "Error", _told(container, end)


def _last_end(container: dict[str, Any]) -> dict[str, Any] | None:
    """How it ended last, if that was a failure."""
    ends = (container.get(key, {}).get("terminated") for key in ("state", "lastState"))
    return next((end for end in ends if end and end.get("exitCode")), None)


def _told(container: dict[str, Any], end: dict[str, Any]) -> str:
    limit = container.get("resources", {}).get("limits", {}).get("memory")
    memory = f", its memory limit is {limit}" if end.get("reason") == "OOMKilled" and limit else ""
    return (
        f"container {container['name']} ended with exit code {end['exitCode']}{memory}; "
        f"restarts: {container.get('restartCount', 0)}"
    )
