"""A fake Prometheus over HTTP, for tests: scripted samples, and every way of failing.

It answers ``/api/v1/query`` for what it can evaluate exactly: selectors with all four matchers,
range selectors, ``time()``, and whole expressions whose value was scripted. Anything else is
refused, as Prometheus refuses a query that it cannot parse: no test passes on a guess.

    >>> with FakePrometheus() as fake:
    ...     fake.set("up", {"job": "heater"}, 1, at=1000.0)
    ...     fake.answer("sum(up)", 1)
    ...     prometheus = Prometheus(fake.url)
    ...     prometheus.instant("sum(up)", at=1000.0)[0].value
    1.0
"""

from __future__ import annotations

import http.server
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

Fault = Literal["nan", "empty", "stale", "status", "slow", "trickle", "cut_off", "garbage"]

# Prometheus finds a sample for an instant this far back.
LOOKBACK_S = 300.0

_SELECTOR = re.compile(
    r"^\s*(?P<name>[a-zA-Z_:][\w:]*)\s*(?:\{(?P<matchers>.*)\})?\s*(?:\[(?P<range>\w+)\])?\s*$",
    re.DOTALL,
)
_MATCHER = re.compile(r'\s*(?P<label>\w+)\s*(?P<op>=~|!~|!=|=)\s*(?P<value>"(?:[^"\\]|\\.)*")\s*,?')
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

Labels = frozenset[tuple[str, str]]
Found = list[tuple[dict[str, str], list[tuple[float, float | None]]]]


class FakePrometheus:
    """A server on 127.0.0.1 while the ``with`` block runs; ``url`` says where it answers."""

    def __init__(self) -> None:
        self._server = _Server()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def queries(self) -> list[str]:
        """Every query so far, in order of arrival."""
        return self._server.queries

    @property
    def clock_offset_s(self) -> float:
        """Added to this machine's clock for what ``time()`` says, in seconds."""
        return self._server.clock_offset_s

    @clock_offset_s.setter
    def clock_offset_s(self, seconds: float) -> None:
        self._server.clock_offset_s = seconds

    def set(
        self, name: str, labels: Mapping[str, str], value: float, at: float | None = None
    ) -> None:
        """Store a sample of a series at a time (seconds since the epoch; now when left out)."""
        self._server.samples.store(name, labels, value, at)

    def vanish(self, name: str, labels: Mapping[str, str], at: float | None = None) -> None:
        """Mark a series stale, as Prometheus does when its target stops exporting it."""
        self._server.samples.store(name, labels, None, at)

    def answer(self, query: str, value: float) -> None:
        """Give an expression, written exactly so, this value (one series without labels)."""
        self._server.samples.answers[query] = value

    def fault(self, kind: Fault, value: float | None = None, *, times: int | None = None) -> None:
        """Fail from now on, in one way; :meth:`heal` ends it.

        Args:
            kind: ``nan``: every value is NaN. ``empty``: no query finds a series. ``stale``:
                nothing was scraped in the last ``value`` seconds (60). ``status``: HTTP status
                ``value`` (503). ``slow``: silent for ``value`` seconds (60), then right.
                ``trickle``: a byte every ``value`` seconds (0.2). ``cut_off``: half an answer.
                ``garbage``: a web page.
            value: See there.
            times: Only for so many queries.
        """
        self._server.fault = _Broken(kind, value, times)

    def heal(self) -> None:
        """Be healthy again."""
        self._server.fault = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class _Broken:
    """A fault that is on."""

    kind: Fault
    value: float | None = None
    times: int | None = None

    def number(self, default: float) -> float:
        return default if self.value is None else self.value


class _Samples:
    """What was scraped and scripted; ``None`` as a value is a staleness marker."""

    def __init__(self) -> None:
        self.answers: dict[str, float] = {}
        self._series: dict[Labels, list[tuple[float, float | None]]] = {}
        self._lock = threading.Lock()

    def store(
        self, name: str, labels: Mapping[str, str], value: float | None, at: float | None
    ) -> None:
        key = frozenset({**labels, "__name__": name}.items())
        with self._lock:
            samples = self._series.setdefault(key, [])
            samples.append((time.time() if at is None else at, value))
            samples.sort(key=lambda sample: sample[0])

    def evaluate(self, query: str, at: float, fault: _Broken | None) -> dict[str, Any]:
        """The ``data`` of an answer; ``ValueError`` for a query that it does not know."""
        if query == "time()":
            return {"resultType": "scalar", "result": [at, repr(at)]}
        if fault is not None and fault.kind == "empty":
            return {"resultType": "vector", "result": []}
        if query in self.answers:
            value = _shown(self.answers[query], fault)
            return {"resultType": "vector", "result": [{"metric": {}, "value": [at, value]}]}
        match = _SELECTOR.match(query)
        if match is None:
            raise ValueError(f"the fake knows selectors and scripted answers, not {query!r}")
        newest = at - fault.number(60.0) if fault is not None and fault.kind == "stale" else at
        with self._lock:
            found = [
                (dict(key), [sample for sample in samples if sample[0] <= newest])
                for key, samples in self._series.items()
                if _matches(dict(key), match["name"], match["matchers"] or "")
            ]
        if match["range"]:
            return _matrix(found, at - _seconds(match["range"]), fault)
        return _vector(found, at, fault)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    # Room for all queries of a reading at once.
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.samples = _Samples()
        self.queries: list[str] = []
        self.clock_offset_s = 0.0
        self.fault: _Broken | None = None
        self.closing = threading.Event()
        self._lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is what the faults are for."""

    def fault_now(self) -> _Broken | None:
        """The fault of the next answer, if any."""
        with self._lock:
            fault = self.fault
            if fault is not None and fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self.fault = None
            return fault


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Tests need no access log."""

    def do_GET(self) -> None:
        """Answer a query."""
        parts = urlsplit(self.path)
        if parts.path != "/api/v1/query":
            self._send(404, b"404 page not found\n")
            return
        parameters = parse_qs(parts.query)
        query = parameters.get("query", [""])[0]
        self.server.queries.append(query)
        now = time.time() + self.server.clock_offset_s
        at = float(parameters.get("time", [str(now)])[0])
        fault = self.server.fault_now()
        try:
            data = self.server.samples.evaluate(query, at, fault)
        except (ValueError, re.error) as error:
            refused = {"status": "error", "errorType": "bad_data", "error": str(error)}
            self._send(400, json.dumps(refused).encode())
            return
        self._answer(fault, json.dumps({"status": "success", "data": data}).encode())

    def _answer(self, fault: _Broken | None, body: bytes) -> None:
        if fault is None or fault.kind in {"nan", "empty", "stale"}:
            self._send(200, body)
        elif fault.kind == "status":
            self._send(int(fault.number(503)), b"Service Unavailable\n")
        elif fault.kind == "garbage":
            self._send(200, b"<!DOCTYPE html><title>Welcome</title>", "text/html")
        elif fault.kind == "cut_off":
            self._head(200, len(body), "application/json")
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif fault.kind == "trickle":
            self._trickle(body, fault.number(0.2))
        else:
            self.server.closing.wait(fault.number(60.0))
            self._send(200, body)

    def _trickle(self, body: bytes, every_s: float) -> None:
        self._head(200, len(body), "application/json")
        self.close_connection = True
        for byte in body:
            if self.server.closing.wait(every_s):
                return
            self.wfile.write(bytes([byte]))

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self._head(status, len(body), kind)
        self.wfile.write(body)

    def _head(self, status: int, length: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()


def _vector(found: Found, at: float, fault: _Broken | None) -> dict[str, Any]:
    result = []
    for labels, samples in found:
        if samples and samples[-1][1] is not None and samples[-1][0] > at - LOOKBACK_S:
            result.append({"metric": labels, "value": [at, _shown(samples[-1][1], fault)]})
    return {"resultType": "vector", "result": result}


def _matrix(found: Found, after: float, fault: _Broken | None) -> dict[str, Any]:
    result = []
    for labels, samples in found:
        values = [
            [moment, _shown(value, fault)]
            for moment, value in samples
            if moment > after and value is not None
        ]
        if values:
            result.append({"metric": labels, "values": values})
    return {"resultType": "matrix", "result": result}


def _shown(value: float, fault: _Broken | None) -> str:
    return "NaN" if fault is not None and fault.kind == "nan" else repr(float(value))


def _matches(labels: Mapping[str, str], name: str, matchers: str) -> bool:
    if labels["__name__"] != name:
        return False
    rest = matchers
    while rest.strip():
        match = _MATCHER.match(rest)
        if match is None:
            raise ValueError(f"unexpected {rest!r} among the matchers")
        if not _holds(labels.get(match["label"], ""), match["op"], json.loads(match["value"])):
            return False
        rest = rest[match.end() :]
    return True


def _holds(actual: str, operator: str, wanted: str) -> bool:
    equal = re.fullmatch(wanted, actual) is not None if operator.endswith("~") else actual == wanted
    return equal != operator.startswith("!")


def _seconds(duration: str) -> float:
    parts = re.findall(r"(\d+)(ms|s|m|h)", duration)
    if not parts or "".join(a + b for a, b in parts) != duration:
        raise ValueError(f"not a valid duration: {duration!r}")
    return sum(int(amount) * _UNITS_S[unit] for amount, unit in parts)
