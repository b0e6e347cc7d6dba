"""The gateway of a FaaS platform: calls go to ready replicas, or wait for the first one.

Run it as a file; it needs the standard library only::

    python gateway.py --port 8080 --function hello.openfaas-fn \
        --upstream http://127.0.0.1:21000-21009

``/function/NAME``, with or without the namespace, is a call of the function, whatever its method.
An upstream with a range of ports is a set of replicas on one host; one without is a set of
addresses under one name, such as a headless Service's, and is resolved all the time. Each replica
is asked for ``/ready`` all the time; every call goes to a ready one at random, over a connection
of its own. Where none is ready, calls are *held*, first come first served: a cold start.

A replica's answer is passed on as it is. The gateway's own answers are 404 (another function), 502
(the replica broke off), and 504 (no whole answer within ``--timeout`` seconds of the call's
arrival). A replica that cannot be connected to is not ready, and the call goes elsewhere.

``/metrics`` has OpenFaaS's names, with ``function_name`` as ``NAME.NAMESPACE``::

    gateway_function_invocation_started            calls that came
    gateway_function_invocation_total{code}        calls that ended
    gateway_functions_seconds{code}                histogram from arrival to end, holding included
    gateway_service_count                          ready replicas

and, of its own, ``gateway_function_inflight_seconds_total`` (call-seconds in the gateway: its rate
is the mean concurrency), ``gateway_function_held`` (calls held now),
``gateway_function_cold_starts_total`` (calls that found no ready replica and got one) and
``gateway_function_cold_start_seconds_total`` (how long these were held).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from urllib.parse import urlsplit

BUCKETS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10")
"""Of the Go client's default histogram, written as it writes them."""
BOUNDS = tuple(map(float, BUCKETS))
CODES = (200, 429, 502, 504)
"""Codes that are counted from the start, so that a step without any of them knows it."""
PROBE_INTERVAL_S = 0.15
PROBE_TIMEOUT_S = 1.0
RESOLVE_INTERVAL_S = 0.5
HEAD_LIMIT = 65_536
BODY_LIMIT = 16 << 20
READ_DEADLINE_S = 10.0
REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    429: "Too Many Requests",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}

Address = tuple[str, int]


class GatewayError(Exception):
    """An upstream or function's name that cannot be."""


# --- counting -------------------------------------------------------------------------------------


@dataclass
class Durations:
    """The ended calls of one code."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    sum: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    @property
    def count(self) -> int:
        """How many."""
        return sum(self.counts)

    def lines(self, labels: str) -> Iterator[str]:
        """The histogram's samples in Prometheus's text format."""
        for bound, count in zip((*BUCKETS, "+Inf"), accumulate(self.counts), strict=True):
            yield f'gateway_functions_seconds_bucket{{{labels},le="{bound}"}} {count}'
        yield f"gateway_functions_seconds_sum{{{labels}}} {self.sum!r}"
        yield f"gateway_functions_seconds_count{{{labels}}} {self.count}"


class Tally:
    """What became of the calls of one function.

    Args:
        function: Its name and namespace, ``NAME.NAMESPACE``.
        now: The time, s.
    """

    def __init__(self, function: str, now: float) -> None:
        self.started = 0
        self.in_flight = 0
        self.held = 0
        self.cold_starts = 0
        self.cold_start_seconds = 0.0
        self._durations = {code: Durations() for code in CODES}
        self._labels = f'function_name="{function}"'
        self._seconds = 0.0
        self._counted_until = now

    def begin(self, now: float) -> None:
        """A call came."""
        self._integrate(now)
        self.started += 1
        self.in_flight += 1

    def end(self, code: int, seconds: float, now: float) -> None:
        """A call ended that was under way for so many seconds."""
        self._integrate(now)
        self.in_flight -= 1
        self._durations.setdefault(code, Durations()).observe(seconds)

    def found(self, held_s: float) -> None:
        """A call that was held got its replica."""
        self.cold_starts += 1
        self.cold_start_seconds += held_s

    def _integrate(self, now: float) -> None:
        self._seconds += self.in_flight * (now - self._counted_until)
        self._counted_until = now

    def lines(self, ready: int, now: float) -> list[str]:
        """Everything in Prometheus's text format."""
        self._integrate(now)
        lines = ["# TYPE gateway_function_invocation_total counter"]
        by_label = {f'{self._labels},code="{c}"': each for c, each in self._durations.items()}
        # The counter is the histogram's count, so that the two can never differ.
        lines += [
            f"gateway_function_invocation_total{{{labels}}} {durations.count}"
            for labels, durations in by_label.items()
        ]
        lines.append("# TYPE gateway_functions_seconds histogram")
        for labels, durations in by_label.items():
            lines += durations.lines(labels)
        for name, kind, value in (
            ("gateway_function_invocation_started", "counter", self.started),
            ("gateway_service_count", "gauge", ready),
            ("gateway_function_inflight_seconds_total", "counter", self._seconds),
            ("gateway_function_held", "gauge", self.held),
            ("gateway_function_cold_starts_total", "counter", self.cold_starts),
            ("gateway_function_cold_start_seconds_total", "counter", self.cold_start_seconds),
        ):
            lines += [f"# TYPE {name} {kind}", f"{name}{{{self._labels}}} {value!r}"]
        return lines


# --- replicas -------------------------------------------------------------------------------------


class Replicas:
    """The replicas of the function, which of them are ready, and who waits for one.

    Args:
        url: Where they are, see the module.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, _, ports = parts.netloc.partition(":")
        first, dash, last = (ports or "80").partition("-")
        if parts.scheme != "http" or not self.host:
            raise GatewayError(f"upstream {url!r} must look like http://HOST:PORT or PORT-PORT")
        if not first.isdigit() or not (last if dash else first).isdigit():
            raise GatewayError(f"upstream {url!r} has no valid port or range of ports")
        self._ports = range(int(first), int(last or first) + 1)
        if not self._ports:
            raise GatewayError(f"upstream {url!r} has an empty range of ports")
        self.path = parts.path or "/"
        self.ready: list[Address] = []
        self._watched: dict[Address, asyncio.Task[None]] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def choose(self) -> Address:
        """A ready replica at random; waits for the first one, in the order of the calls."""
        while not self.ready:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            finally:
                if turn in self._waiting:
                    self._waiting.remove(turn)
        return random.choice(self.ready)  # noqa: S311 - no secret

    def look_away(self, address: Address) -> None:
        """Send nothing to a replica that cannot be reached until it says ready again."""
        if address in self.ready:
            self.ready.remove(address)

    async def watch(self) -> None:
        """Look for replicas and ask each for its readiness, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            # Where the name is not found, there is no replica under it.
            found: set[Address] = set()
            with suppress(OSError):
                answers = await loop.getaddrinfo(self.host, self._ports[0], type=1)
                hosts = sorted({str(answer[4][0]) for answer in answers})
                # A range of ports is one host's; the first of its addresses will do.
                of_one = hosts[:1] if len(self._ports) > 1 else hosts
                found = {(host, port) for host in of_one for port in self._ports}
            for address in found - self._watched.keys():
                self._watched[address] = loop.create_task(self._watch_one(address))
            for address in self._watched.keys() - found:
                self._watched.pop(address).cancel()
                self.look_away(address)
            await asyncio.sleep(RESOLVE_INTERVAL_S)

    async def _watch_one(self, address: Address) -> None:
        while True:
            if not await is_ready(self.host, address):
                self.look_away(address)
            elif address not in self.ready:
                self.ready.append(address)
                self._wake()
            await asyncio.sleep(PROBE_INTERVAL_S)

    def _wake(self) -> None:
        for turn in self._waiting:
            if not turn.done():  # its call may just have timed out
                turn.set_result(None)
        self._waiting.clear()


async def is_ready(host: str, address: Address) -> bool:
    """Whether a replica says so."""
    head = f"GET /ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(*address)
            try:
                writer.write(head)
                return (await reader.readline()).split()[1:2] == [b"200"]
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return False


# --- calls ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """What came in."""

    method: str
    path: str
    headers: list[str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What goes out."""

    status: int
    content: bytes
    kind: str = "text/plain; charset=utf-8"

    def encoded(self) -> bytes:
        """As HTTP."""
        reason = REASONS.get(self.status, "Status")
        head = (
            f"HTTP/1.1 {self.status} {reason}\r\nContent-Type: {self.kind}\r\n"
            f"Content-Length: {len(self.content)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + self.content


class BrokenOffError(Exception):
    """A replica took a call and gave no whole answer."""


class Gateway:
    """Everything together.

    Args:
        loop: The event loop.
        function: Name and namespace, ``NAME.NAMESPACE``.
        upstream: See the module.
        timeout: Seconds from a call's arrival after which it gets 504.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, function: str, upstream: str, timeout: float
    ) -> None:
        name, dot, namespace = function.partition(".")
        if not (name and dot and namespace):
            raise GatewayError(f"function {function!r} must look like NAME.NAMESPACE")
        self.replicas = Replicas(upstream)
        self._tally = Tally(function, loop.time())
        self._paths = {f"/function/{name}", f"/function/{function}"}
        self._loop = loop
        self._timeout = timeout
        self._started = time.time()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        try:
            async with asyncio.timeout(READ_DEADLINE_S):
                request = await read_request(reader)
            answer = await self._answer(request)
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            answer = Answer(400, b"not a request that this program understands\n")
        except OSError:
            writer.close()  # whoever called has gone
            return
        try:
            writer.write(answer.encoded())
            await writer.drain()
        except OSError:
            pass  # the same
        finally:
            writer.close()

    async def _answer(self, request: Request) -> Answer:
        if request.path in self._paths:
            return await self.call(request)
        if request.path == "/metrics":
            return Answer(200, self.metrics().encode(), "text/plain; version=0.0.4; charset=utf-8")
        if request.path == "/healthz":
            return Answer(200, b"alive\n")
        return Answer(404, b"no such function\n")

    async def call(self, request: Request) -> Answer:
        """Pass a call on to a replica, and count it."""
        arrival = self._loop.time()
        self._tally.begin(arrival)
        try:
            async with asyncio.timeout_at(arrival + self._timeout):
                answer = await self._forward(request, arrival)
        except TimeoutError:
            answer = Answer(504, b"the function took too long\n")
        except BrokenOffError:
            answer = Answer(502, b"the function broke off\n")
        now = self._loop.time()
        self._tally.end(answer.status, now - arrival, now)
        return answer

    async def _forward(self, request: Request, arrival: float) -> Answer:
        held = False
        while True:
            if not self.replicas.ready:
                held = True
                self._tally.held += 1
                try:
                    address = await self.replicas.choose()
                finally:
                    self._tally.held -= 1
            else:
                address = await self.replicas.choose()
            try:
                reader, writer = await asyncio.open_connection(*address, limit=HEAD_LIMIT)
            except OSError:
                self.replicas.look_away(address)
                continue
            if held:
                self._tally.found(self._loop.time() - arrival)
            try:
                writer.write(self._encoded(request))
                return await read_answer(reader)
            except OSError as error:
                raise BrokenOffError from error
            finally:
                writer.close()

    def _encoded(self, request: Request) -> bytes:
        dropped = ("host:", "connection:", "content-length:", "transfer-encoding:")
        kept = [line for line in request.headers if not line.lower().startswith(dropped)]
        lines = [
            f"{request.method} {self.replicas.path} HTTP/1.1",
            f"Host: {self.replicas.host}",
            "Connection: close",
            f"Content-Length: {len(request.body)}",
            *kept,
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + request.body

    def metrics(self) -> str:
        """Everything in Prometheus's text format."""
        lines = self._tally.lines(len(self.replicas.ready), self._loop.time())
        started = f"process_start_time_seconds {self._started!r}"
        return "\n".join([*lines, "# TYPE process_start_time_seconds gauge", started]) + "\n"


async def read_request(reader: asyncio.StreamReader) -> Request:
    """A whole request; ``ValueError`` where it is none."""
    first, headers, length = await read_head(reader)
    method, target, _ = first.split(" ")
    if not 0 <= (length or 0) <= BODY_LIMIT:
        raise ValueError(length)
    body = await reader.readexactly(length or 0)
    return Request(method, target.partition("?")[0], headers, body)


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """A whole answer of a replica; one without a length ends with the connection."""
    try:
        first, headers, length = await read_head(reader)
        status = int(first.split(" ")[1])
        body = await (reader.read() if length is None else reader.readexactly(length))
    except (EOFError, asyncio.LimitOverrunError, ValueError, IndexError) as error:
        raise BrokenOffError from error
    kind = next((h.partition(":")[2] for h in headers if h.lower().startswith("content-type:")), "")
    return Answer(status, body, kind.strip() or "application/octet-stream")


async def read_head(reader: asyncio.StreamReader) -> tuple[str, list[str], int | None]:
    """The first line, the headers, and the length of the body that they tell."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *headers = head.removesuffix("\r\n\r\n").split("\r\n")
    length = None
    for line in headers:
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-length":
            length = int(value)
    return first, headers, length


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="gateway.py", description="A gateway of functions.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--function", required=True, help="NAME.NAMESPACE")
    parser.add_argument(
        "--upstream", required=True, help="http://HOST:PORT or http://HOST:PORT-PORT"
    )
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds a call may take")
    options = parser.parse_args(arguments)
    if options.timeout <= 0:
        parser.error("--timeout must be above 0")
    return options


async def run(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    gateway = Gateway(loop, options.function, options.upstream, options.timeout)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await asyncio.start_server(
        gateway.serve, options.host, options.port, limit=HEAD_LIMIT, backlog=1024
    )
    watching = loop.create_task(gateway.replicas.watch())
    stopping = loop.create_task(stop.wait())
    await asyncio.wait((watching, stopping), return_when=asyncio.FIRST_COMPLETED)
    server.close()
    if watching.done():
        await watching  # it only ends by failing: say so and stop, rather than hold calls for ever
    watching.cancel()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    options = read_arguments(arguments)
    try:
        asyncio.run(run(options))
    except (OSError, GatewayError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
