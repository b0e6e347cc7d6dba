"""The siege engine's control endpoints: load, start, pause, and where it stands in its schedule."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import requests

from infra_gym.errors import NotReadyError, WorldError
from infra_gym.metrics import session_for
from infra_gym.workloads import Schedule

_TIMEOUT_S = (5.0, 10.0)  # connect, read
_UPLOAD_TIMEOUT_S = (5.0, 60.0)


class Load:
    """One siege engine.

    Args:
        url: Where its control endpoints are.
        session: Carries what is needed to get there.
    """

    def __init__(self, url: str, session: requests.Session | None = None) -> None:
        self._url = url.rstrip("/")
        self._session = session or session_for(url)

    def load(self, schedule: Schedule) -> None:
        """Give it another schedule, at whose beginning it stops; its counters go on.

        Raises:
            WorldError: It could not be sent, or something else arrived.
        """
        found = self._call("POST", "/schedule", schedule.data, timeout=_UPLOAD_TIMEOUT_S)
        if found.get("sha256") != schedule.sha256:
            raise self._failed("POST", "/schedule", "it has another schedule than was sent")

    def start(self, at: float, *, offset: float | None = None) -> None:
        """Send from ``at`` (epoch seconds) on, from ``offset`` seconds into the schedule.

        Without ``offset`` it goes on where it paused.
        """
        body = {"at": at} if offset is None else {"at": at, "offset": offset}
        self._call("POST", "/start", body)

    def pause(self, at: float | None = None) -> None:
        """Send nothing after ``at`` (default: now); what is in flight is still answered."""
        self._call("POST", "/pause", {} if at is None else {"at": at})

    def status(self) -> dict[str, Any]:
        """``running``, ``position`` in seconds, the schedule's ``sha256``, ``in_flight``."""
        status: dict[str, Any] = self._call("GET", "/status")
        return status

    def wait_idle(self, seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        """Wait until no request is in flight.

        Raises:
            NotReadyError: Some still are after ``seconds``.
        """
        for _ in range(max(1, round(seconds / 0.05))):
            if self.status()["in_flight"] == 0:
                return
            sleep(0.05)
        raise NotReadyError(
            f"the siege engine at {self._url} still has requests in flight after {seconds:g} s"
        )

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, float] | bytes | None = None,
        timeout: tuple[float, float] = _TIMEOUT_S,
    ) -> Any:
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        try:
            answer = self._session.request(method, self._url + path, data=content, timeout=timeout)
        except requests.RequestException as error:
            raise self._failed(method, path, str(error)) from error
        if not answer.ok:
            raise self._failed(method, path, f"{answer.status_code} {answer.text.strip()}")
        try:
            return answer.json() if answer.content else {}
        except ValueError as error:
            raise self._failed(method, path, f"no JSON: {answer.text[:200]!r}") from error

    def _failed(self, method: str, path: str, why: str) -> WorldError:
        return WorldError(
            f"the siege engine cannot do {method} {self._url}{path}: {why}",
            next_command="see its log (in the run folder, or by infra-gym logs), or "
            "`infra-gym layers status`",
        )
