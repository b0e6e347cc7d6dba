"""The fake account over HTTP: tokens, pages, rate limits, and every way of failing."""

from __future__ import annotations

import json
import math
import re
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from infra_gym.testing.digitalocean import (
    catalog,
    droplet_routes,  # noqa: F401 - says what is answered
    networks,
    projects,
    routes,  # noqa: F401 - says what is answered
    routing,
)
from infra_gym.testing.digitalocean.account import (
    Account,
    Durations,
    Refusal,
    Resource,
    not_found,
)

Fault = Literal["status", "drop", "slow"]
Exchange = Callable[[str, str, int, Any, Any], None]
"""Method, path, status, the request's JSON, the answer's JSON; ``None`` where there is none."""

_SERVER_ERROR = ("server_error", "Unexpected server-side error")
_WORDS = {
    401: ("Unauthorized", "Unable to authenticate you"),
    403: ("forbidden", "You are not authorized to perform this operation"),
    429: ("too_many_requests", "API rate limit exceeded."),
}
_MINUTE_S, _HOUR_S = 60.0, 3600.0
_PER_PAGE, _MOST_PER_PAGE = 20, 200


@dataclass(frozen=True)
class Answered:
    """One request, and what became of it.

    Attributes:
        at: Seconds of the system's monotonic clock when it was answered.
        method: ``GET``, ...
        path: Its path.
        status: The answer's; 0: the connection was dropped.
        agent: The client's ``User-Agent``.
        retry_after_s: Seconds that the client was told to wait.
    """

    at: float
    method: str
    path: str
    status: int
    agent: str
    retry_after_s: float | None


@dataclass
class _Broken:
    """A fault that is on, for the requests that it is meant for."""

    kind: Fault
    value: float
    retry_after_s: int
    method: str
    path: re.Pattern[str]
    times: int | None


class FakeDigitalOcean:
    """An account on 127.0.0.1 while the ``with`` block runs.

    Terraform's provider finds it by ``DIGITALOCEAN_API_URL``, pydo by ``endpoint=``::

        with FakeDigitalOcean() as fake:
            client = pydo.Client("any-token", endpoint=fake.url)

    A new account has what a real one has: a default project, and a default VPC in each region.

    Args:
        token: The one token that is accepted; ``None``: any.
        kubeconfig: A kubeconfig whose cluster stands behind every managed cluster.
        durations: How long things take.
        clock: The account's clock, in seconds since the epoch.
        a_minute: Requests that are answered in any minute; above that, 429.
        an_hour: The same for any hour.
        on_exchange: Called after each request that succeeded.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        kubeconfig: Path | None = None,
        durations: Durations | None = None,
        clock: Callable[[], float] = time.time,
        a_minute: int = 250,
        an_hour: int = 5000,
        on_exchange: Exchange | None = None,
    ) -> None:
        self.token = token
        self.account = Account(clock, durations or Durations(), kubeconfig)
        self.answers: list[Answered] = []
        """What became of every request so far."""
        self.requests: list[str] = []
        """Method and path of every request so far."""
        self._table = routing.table()
        self._limits = ((a_minute, _MINUTE_S), (an_hour, _HOUR_S))
        self._answered: deque[float] = deque(maxlen=max(a_minute, an_hour))
        self._faults: list[_Broken] = []
        self._closing = threading.Event()
        self._on_exchange = on_exchange
        self._server: Any = None
        projects.create(
            self.account, {"name": "Default", "purpose": "Everything else"}, default=True
        )
        for region in catalog.REGIONS:
            networks.create_vpc(
                self.account, {"name": f"default-{region}", "region": region}, default=True
            )
        self._given = {resource.urn for resource in self.account.everything()}

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, for ``DIGITALOCEAN_API_URL`` and pydo's ``endpoint``."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def left(self) -> list[Resource]:
        """What is in the account beyond what a new one has; deletions under way included."""
        with self.account.lock:
            return [one for one in self.account.everything() if one.urn not in self._given]

    def bill_usd(self) -> Decimal:
        """What the account owes, in US dollars and whole cents."""
        with self.account.lock:
            return self.account.bill.usd(self.account.clock())

    def fault(
        self,
        kind: Fault,
        value: float = 0,
        *,
        method: str = "",
        path: str = "",
        times: int | None = None,
        retry_after_s: int = 1,
    ) -> None:
        """Fail from now on in one way; several faults may be on; :meth:`heal` ends them.

        Args:
            kind: ``status``: HTTP status ``value``. ``drop``: the request is done and the
                connection dropped without an answer. ``slow``: ``value`` seconds late.
            value: See there.
            method: Only for such requests.
            path: Only for requests whose path matches this regular expression.
            times: Only for so many requests.
            retry_after_s: What a 429 tells the client to wait.
        """
        pattern = re.compile(path)
        self._faults.append(_Broken(kind, value, retry_after_s, method, pattern, times))

    def heal(self) -> None:
        """Be healthy again."""
        self._faults.clear()

    def __enter__(self) -> Self:
        class Handler(WSGIRequestHandler):
            def log_request(self, *_: object) -> None:
                """Keep quiet."""

        self._server = make_server(
            "127.0.0.1", 0, self._application, threaded=True, request_handler=Handler
        )
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _application(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        request = Request(environ)
        self.requests.append(f"{request.method} {request.path}")
        fault = self._fault_of(request)
        if fault is not None and fault.kind == "slow":
            self._closing.wait(fault.value)
        if fault is not None and fault.kind == "status":
            status = int(fault.value)
            response = _problem(Refusal(status, *_WORDS.get(status, _SERVER_ERROR)))
            if status == 429:
                response.headers["Retry-After"] = str(fault.retry_after_s)
        else:
            response = self._respond(request)
        dropped = fault is not None and fault.kind == "drop"
        self._remember(request, response, dropped=dropped)
        if dropped:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionResetError  # werkzeug answers nothing then
        response.headers["X-Request-Id"] = str(uuid.uuid4())
        answer: Iterable[bytes] = response(environ, start_response)
        return answer

    def _remember(self, request: Request, response: Response, *, dropped: bool) -> None:
        told = response.headers.get("Retry-After", type=float)
        status = 0 if dropped else response.status_code
        agent = request.headers.get("User-Agent", "")
        self.answers.append(
            Answered(time.monotonic(), request.method, request.path, status, agent, told)
        )

    def _fault_of(self, request: Request) -> _Broken | None:
        with self.account.lock:
            for fault in self._faults:
                if fault.method in {"", request.method} and fault.path.search(request.path):
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times <= 0:
                            self._faults.remove(fault)
                    return fault
        return None

    def _respond(self, request: Request) -> Response:
        try:
            with self.account.lock:
                self._admit(request)
                answer = self._answer(request)
        except Refusal as refusal:
            return _problem(refusal)
        body = answer.body
        if answer.listed is not None:
            body = _page(request, answer.listed, answer.body)
        if isinstance(body, str):
            return Response(body, answer.status, content_type="application/yaml")
        if self._on_exchange is not None:
            asked = request.get_json(silent=True)
            self._on_exchange(request.method, request.path, answer.status, asked, body)
        response = Response(status=answer.status)
        if body is not None:
            response.data, response.content_type = json.dumps(body), "application/json"
        limit, _ = self._limits[1]
        response.headers["ratelimit-limit"] = str(limit)
        response.headers["ratelimit-remaining"] = str(max(0, limit - len(self._answered)))
        response.headers["ratelimit-reset"] = str(int(self.account.clock() + _HOUR_S))
        return response

    def _admit(self, request: Request) -> None:
        """Refuse a wrong token, and requests above the limits."""
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not given or self.token not in {None, given}:
            raise Refusal(401, "Unauthorized", "Unable to authenticate you")
        now = self.account.clock()
        for limit, seconds in self._limits:
            recent = [moment for moment in self._answered if moment > now - seconds]
            if len(recent) >= limit:
                # Of the burst's limit alone one is told how long it lasts.
                wait = math.ceil(recent[0] + seconds - now) if seconds == _MINUTE_S else None
                raise Refusal(429, "too_many_requests", "API rate limit exceeded.", wait)
        self._answered.append(now)

    def _answer(self, request: Request) -> routing.Answer:
        try:
            endpoint, values = self._table.bind_to_environ(request.environ).match()
        except HTTPException as error:
            raise not_found() from error
        body = request.get_json(silent=True)
        if request.get_data() and not isinstance(body, dict):
            raise Refusal(400, "bad_request", "The request body is not valid JSON.")
        asked = routing.Asked(request.args.to_dict(), body or {})
        return routing.handler(endpoint)(self.account, asked, **values)


def _page(request: Request, key: str, found: list[Any]) -> dict[str, Any]:
    """One page of a listing, with links to the others."""
    number = max(1, request.args.get("page", 1, type=int))
    size = min(_MOST_PER_PAGE, max(1, request.args.get("per_page", _PER_PAGE, type=int)))
    last = max(1, -(-len(found) // size))
    url = f"{request.base_url}?per_page={size}&page="
    pages: dict[str, str] = {}
    if number > 1:
        pages |= {"first": f"{url}1", "prev": f"{url}{number - 1}"}
    if number < last:
        pages |= {"next": f"{url}{number + 1}", "last": f"{url}{last}"}
    return {
        key: found[(number - 1) * size : number * size],
        "links": {"pages": pages} if pages else {},
        "meta": {"total": len(found)},
    }


def _problem(refusal: Refusal) -> Response:
    body = {
        "id": refusal.identifier,
        "message": refusal.message,
        "request_id": str(uuid.uuid4()),
    }
    response = Response(json.dumps(body), refusal.status, content_type="application/json")
    if refusal.retry_after_s is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_s)
    return response
