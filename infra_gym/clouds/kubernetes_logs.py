"""The logs of a namespace's pods: their last lines, and new ones as they come."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import urllib3

from infra_gym.clouds.kubernetes_calls import (
    CONNECT_DEADLINE_S,
    Calls,
    Json,
    NotFoundError,
)
from infra_gym.errors import ClusterError, ClusterUnreachableError

_LINES_KEPT = 10_000


class PodLogs:
    """The logs of pods.

    Args:
        calls: Whom to ask.
        namespace: Where.
        names: Values of the label ``app.kubernetes.io/name``; all pods when left out.
        look_s: How often new pods are looked for, in seconds.
    """

    def __init__(
        self,
        calls: Calls,
        namespace: str,
        names: Sequence[str] | None = None,
        *,
        look_s: float = 2.0,
    ) -> None:
        self._calls = calls
        self._look_s = look_s
        self._namespace = namespace
        self._selector = "" if names is None else f"app.kubernetes.io/name in ({', '.join(names)})"

    def last(self, lines: int) -> dict[str, list[str]]:
        """At most so many last lines of each container, by ``POD`` or ``POD/CONTAINER``.

        Of a container that waits to be started again, those of its last run.

        Raises:
            ClusterError: The pods or their logs cannot be read.
        """
        found = {}
        for pod in self._pods():
            for container, source in _containers(pod):
                with suppress(NotFoundError):
                    found[source] = self._last_of(pod, container, lines)
        return found

    def follow(self, lines: int) -> Iterator[tuple[str, str]]:
        """The last lines, then new ones as they come, each with its source; pods that come as well.

        Never ends by itself. A cluster that cannot be reached is asked again; what was said in
        between is left out.

        Raises:
            ClusterError: The pods cannot be listed.
        """
        coming: queue.Queue[tuple[str, str]] = queue.Queue(_LINES_KEPT)
        readers: dict[str, threading.Thread] = {}
        while True:
            with suppress(ClusterUnreachableError):
                for pod in self._pods():
                    self._read(pod, readers, lines, coming)
            yield from _until(coming, time.monotonic() + self._look_s)

    def _read(
        self,
        pod: Json,
        readers: dict[str, threading.Thread],
        lines: int,
        to: queue.Queue[tuple[str, str]],
    ) -> None:
        """Have a thread read each container that runs and is not read."""
        for container, source in _containers(pod):
            run = f"{source} {_run_of(pod, container)}"
            before = readers.get(run)
            if not _runs(pod, container) or (before and before.is_alive()):
                continue
            old = 0 if before else lines
            readers[run] = threading.Thread(
                target=self._pass_on, args=(pod, container, source, old, to), daemon=True
            )
            readers[run].start()

    def _pods(self) -> list[Json]:
        found = self._calls.ask(
            self._calls.core.list_namespaced_pod, self._namespace, label_selector=self._selector
        )
        return sorted(found["items"], key=lambda pod: str(pod["metadata"]["name"]))

    def _last_of(self, pod: Json, container: str, lines: int) -> list[str]:
        status = _status_of(pod, container)
        waits = "waiting" in status.get("state", {})
        if (waits and not status.get("restartCount")) or not status:
            return []  # it never ran
        text = self._calls.text(
            self._calls.core.read_namespaced_pod_log,
            pod["metadata"]["name"],
            self._namespace,
            container=container,
            previous=waits,
            tail_lines=lines,
        )
        return text.splitlines()[-lines:]

    def _pass_on(
        self, pod: Json, container: str, source: str, lines: int, to: queue.Queue[tuple[str, str]]
    ) -> None:
        """Read one container's log until it ends."""
        with suppress(ClusterError, urllib3.exceptions.HTTPError, OSError):
            answer = self._calls.open(
                self._calls.core.read_namespaced_pod_log,
                pod["metadata"]["name"],
                self._namespace,
                container=container,
                follow=True,
                tail_lines=lines,
                _request_timeout=(CONNECT_DEADLINE_S, 86_400.0),
            )
            rest = ""
            for piece in answer.stream():
                *whole, rest = (rest + piece.decode(errors="replace")).split("\n")
                for line in whole:
                    to.put((source, line))
            if rest:
                to.put((source, rest))


def _until(coming: queue.Queue[tuple[str, str]], ends: float) -> Iterator[tuple[str, str]]:
    """What comes before ``ends`` (monotonic)."""
    while (left := ends - time.monotonic()) > 0:
        try:
            yield coming.get(timeout=left)
        except queue.Empty:
            return


def _containers(pod: Json) -> list[tuple[str, str]]:
    """A pod's containers, each with how it is shown."""
    name, containers = pod["metadata"]["name"], pod["spec"]["containers"]
    return [
        (one["name"], name if len(containers) == 1 else f"{name}/{one['name']}")
        for one in containers
    ]


def _status_of(pod: Json, container: str) -> dict[str, Any]:
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return next((one for one in statuses if one["name"] == container), {})


def _runs(pod: Json, container: str) -> bool:
    return "running" in _status_of(pod, container).get("state", {})


def _run_of(pod: Json, container: str) -> int:
    """How often it was started again: each run has a log of its own."""
    return int(_status_of(pod, container).get("restartCount", 0))
