"""Why pods do not start, or stopped: troubles, warnings, last log lines, for an error's message."""

from __future__ import annotations

from typing import Any

from infra_gym.clouds.kubernetes_calls import Calls
from infra_gym.clouds.kubernetes_pods import deployment_troubles_of, troubles_of, works
from infra_gym.errors import ClusterError

LIMIT = 4000
_EVENTS = 12
_PODS = 3
_LOG_LINES = 10
_LINE = 240


def report(calls: Calls, namespace: str) -> str:
    """At most :data:`LIMIT` characters; what cannot be read is said in its place."""
    parts = [_pods(calls, namespace), _events(calls, namespace)]
    text = "\n".join(line for lines in parts for line in lines)
    return text if len(text) <= LIMIT else f"{text[: LIMIT - 4]}\n..."


def _pods(calls: Calls, namespace: str) -> list[str]:
    """Troubles, and the last words of the pods that do not work."""
    try:
        deployments = calls.ask(calls.apps.list_namespaced_deployment, namespace)["items"]
        pods = calls.ask(calls.core.list_namespaced_pod, namespace)["items"]
    except ClusterError as error:
        return [f"The pods of namespace {namespace} cannot be listed: {_first_line(error)}"]
    ill = [pod for pod in pods if troubles_of(pod)] or [pod for pod in pods if not works(pod)]
    lines = [
        str(trouble)
        for found in (*map(deployment_troubles_of, deployments), *map(troubles_of, pods))
        for trouble in found
    ]
    if not pods:
        lines.append(f"There are no pods in namespace {namespace}.")
    for pod in ill[:_PODS]:
        lines += _last_words(calls, namespace, pod)
    return _short(lines)


def _last_words(calls: Calls, namespace: str, pod: dict[str, Any]) -> list[str]:
    """The last log lines of a pod's containers; of the run before where one waits to restart."""
    name = pod["metadata"]["name"]
    lines: list[str] = []
    for status in pod.get("status", {}).get("containerStatuses") or ():
        waits = "waiting" in status.get("state", {})
        if waits and not status.get("restartCount"):
            continue  # it never ran
        try:
            text = calls.text(
                calls.core.read_namespaced_pod_log, name, namespace,
                container=status["name"], previous=waits, tail_lines=_LOG_LINES,
            )  # fmt: skip
        except ClusterError as error:
            text = f"(no log: {_first_line(error)})"
        lines += [f"last lines of {name}/{status['name']}:"]
        lines += [f"  {line}" for line in text.splitlines()[-_LOG_LINES:]] or ["  (empty)"]
    return lines


def _events(calls: Calls, namespace: str) -> list[str]:
    try:
        found = calls.ask(
            calls.core.list_namespaced_event, namespace, field_selector="type=Warning", limit=500
        )["items"]
    except ClusterError as error:
        return [f"The events of namespace {namespace} cannot be read: {_first_line(error)}"]
    newest = sorted(found, key=_time)[-_EVENTS:]
    lines = [
        f"  {_time(event)} {event['involvedObject'].get('name', '')} {event.get('reason', '')}: "
        f"{event.get('message', '')}"
        for event in newest
    ]
    return _short(["last warnings:", *lines]) if lines else []


def _time(event: dict[str, Any]) -> str:
    """When it was last seen, ISO 8601; older and newer servers tell it in different places."""
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp", "")
    )


def _short(lines: list[str]) -> list[str]:
    return [line.replace("\n", " ")[:_LINE] for line in lines]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or "there is no such object"
