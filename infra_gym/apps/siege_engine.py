"""The load: requests leave by an arrival schedule, whether or not earlier ones were answered.

Run it as a file; it needs the standard library only::

    python siege_engine.py --port 9000 --target http://127.0.0.1:21000-21009 --schedule FILE

Open loop: a request has an *intended* send time, and its latency counts from there, so a slow app
cannot slow its own load down and hide. Every request has a connection of its own. Each is counted
once, at its end, in the counter and in the histogram alike, under its HTTP status or one of

- ``timeout``: no whole answer within ``--timeout`` seconds of the intended time;
- ``dropped``: ``--max-in-flight`` were under way, so it was not sent;
- ``refused``: the connection failed or broke, or no replica was ready.

A target with a range of ports is a set of replicas: each is asked for ``/ready`` all the time, and
every request goes to a ready one at random, as kube-proxy does. A target without one is used as is.

Control, on the engine's own port::

    POST /start     {"at": epoch s, "offset": s}   from ``offset`` of the schedule (else: go on)
    POST /pause     {"at": epoch s}                nothing intended at or after ``at`` leaves
    POST /schedule  {"path": file}, or the file    loads and rewinds; counters go on
    GET  /status    GET /metrics    GET /healthz

The schedule is the file of ``infra_gym.workloads``: gzip of the magic ``IGS1``, the number of
arrivals (uint32, little endian), the length in seconds (float64), and the gaps between arrivals in
units of 50 microseconds (uint16; 65535 means: add that many units and go on). After its end it
repeats.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import gzip
import hashlib
import json
import math
import random
import signal
import struct
import sys
import time
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CODES = ("200", "503", "timeout", "dropped", "refused")
LATENCY_BUCKETS: tuple[float, ...] = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25),
    *(0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0),
)
LATENESS_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
PROBE_INTERVAL_S = 0.15
PROBE_TIMEOUT_S = 1.0
RESOLVE_INTERVAL_S = 5.0
# A start that lies further back would release all that was missed in one burst.
LATEST_START_S = 5.0
HEAD_LIMIT = 16_384
SCHEDULE_LIMIT = 64 * 2**20
EXCHANGE_S = 30.0
GZIP_MAGIC = b"\x1f\x8b"


class ControlError(Exception):
    """A request to the engine that cannot be met; the text goes back with status 400."""


# --- the schedule ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Schedule:
    """When requests are to leave.

    Attributes:
        times: Seconds from the start, ascending.
        seconds: Length; after it the schedule repeats.
        sha256: Of the file.
    """

    times: array[float]
    seconds: float
    sha256: str

    @classmethod
    def read(cls, path: Path) -> Schedule:
        """Read a file. Raises :class:`ControlError` when it is missing or not a schedule."""
        try:
            return cls.parse(path.read_bytes(), str(path))
        except OSError as error:
            raise ControlError(f"cannot read the schedule {path}: {error}") from error

    @classmethod
    def parse(cls, content: bytes, name: str) -> Schedule:
        """The schedule in a file's content. Raises :class:`ControlError` when it is none."""
        try:
            data = gzip.decompress(content)
            magic, count, seconds = struct.unpack_from("<4sId", data)
            gaps = array("H", data[struct.calcsize("<4sId") :])
        except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
            raise ControlError(f"cannot read the schedule {name}: {error}") from error
        if magic != b"IGS1":
            raise ControlError(f"{name} is not an arrival schedule (magic {magic!r})")
        if sys.byteorder == "big":
            gaps.byteswap()
        times = array(
            "d",
            (
                units * 50e-6
                for units, gap in zip(accumulate(gaps), gaps, strict=True)
                if gap != 0xFFFF
            ),
        )
        if len(times) != count or seconds <= 0 or (count and times[-1] > seconds):
            raise ControlError(f"{name} is damaged: {len(times)} of {count} arrivals, {seconds} s")
        return cls(times, seconds, hashlib.sha256(content).hexdigest())

    def index_at(self, position: float) -> int:
        """The number of arrivals before ``position`` (seconds, over all repetitions)."""
        cycle, rest = divmod(position, self.seconds)
        return int(cycle) * len(self.times) + bisect_left(self.times, rest)

    def time_of(self, index: int) -> float:
        """The position of arrival ``index``, counted over all repetitions; inf without any."""
        if not self.times:
            return float("inf")
        cycle, rest = divmod(index, len(self.times))
        return cycle * self.seconds + self.times[rest]


class Conductor:
    """Runs the schedule: calls ``send(intended)`` at each arrival, in loop time (s).

    Args:
        loop: The event loop.
        send: Called once for each arrival, as soon after its intended time as the loop allows.
        wall: The clock of ``at``, in epoch seconds.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        send: Callable[[float], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.schedule: Schedule | None = None
        self._loop = loop
        self._send = send
        self._wall = wall
        self._position = 0.0
        self._started: float | None = None
        self._ends = float("inf")
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        """Whether the schedule goes on, or will."""
        self._settle()
        return self._started is not None

    @property
    def position(self) -> float:
        """Seconds into the schedule, over all repetitions."""
        self._settle()
        if self._started is None:
            return self._position
        return self._position + max(0.0, self._loop.time() - self._started)

    def load(self, schedule: Schedule) -> None:
        """Take another schedule, stopped at its beginning."""
        self._stop()
        self.schedule = schedule
        self._position = 0.0
        self._next = 0

    def start(self, at: float | None = None, offset: float | None = None) -> None:
        """Go on at epoch time ``at`` (default: now) from ``offset`` (default: where it stopped)."""
        if self.schedule is None:
            raise ControlError("no schedule is loaded: POST /schedule first")
        wait = 0.0 if at is None else at - self._wall()
        if wait < -LATEST_START_S:
            raise ControlError(f"'at' lies {-wait:.1f} s in the past")
        if offset is not None and offset < 0:
            raise ControlError("'offset' must not be negative")
        self._release()
        position = self.position
        self._stop()
        if offset is not None:
            position = offset
            self._next = self.schedule.index_at(offset)
        self._position = position
        self._started = self._loop.time() + wait
        self._ends = float("inf")
        self._release()

    def pause(self, at: float | None = None) -> None:
        """Stop at epoch time ``at`` (default: now)."""
        self._ends = self._loop.time() + (0.0 if at is None else max(0.0, at - self._wall()))
        self._release()

    def _intended(self) -> float:
        assert self.schedule is not None  # noqa: S101 - narrows the type
        assert self._started is not None  # noqa: S101 - narrows the type
        return self._started + self.schedule.time_of(self._next) - self._position

    def _release(self) -> None:
        """Send everything that is due and wait for the next."""
        if self._timer is not None:
            self._timer.cancel()
        if self._started is None:
            return
        now = self._loop.time()
        while (intended := self._intended()) <= now and intended < self._ends:
            self._next += 1
            self._send(intended)
        wake = min(intended, self._ends)
        if wake <= now:
            self._settle()
        elif wake < float("inf"):
            self._timer = self._loop.call_at(wake, self._release)

    def _settle(self) -> None:
        """Make a pause that has come true."""
        if self._started is not None and self._ends <= self._loop.time():
            self._position += max(0.0, self._ends - self._started)
            self._stop()

    def _stop(self) -> None:
        self._started = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


# --- counting -------------------------------------------------------------------------------------


class Histogram:
    """Counts by upper bound, in Prometheus's sense."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def count(self) -> int:
        """Values counted."""
        return sum(self._counts)

    def lines(self, name: str, labels: str = "") -> list[str]:
        """The samples in Prometheus's text format; ``labels`` like ``code="200",``."""
        bounds = (*map(str, self._bounds), "+Inf")
        lines = [
            f'{name}_bucket{{{labels}le="{bound}"}} {count}'
            for bound, count in zip(bounds, accumulate(self._counts), strict=True)
        ]
        own = f"{{{labels[:-1]}}}" if labels else ""
        return [*lines, f"{name}_sum{own} {self._sum!r}", f"{name}_count{own} {self.count}"]


class Tally:
    """What became of the requests."""

    def __init__(self) -> None:
        self.latencies = {code: Histogram(LATENCY_BUCKETS) for code in CODES}
        self.lateness = Histogram(LATENESS_BUCKETS)

    def end(self, code: str, latency: float) -> None:
        """Count one request at its end."""
        if code not in self.latencies:
            self.latencies[code] = Histogram(LATENCY_BUCKETS)
        self.latencies[code].observe(latency)

    def lines(self) -> list[str]:
        """The samples in Prometheus's text format."""
        # The counter is the histogram's count, so that the two can never differ.
        lines = ["# TYPE siege_requests_total counter"]
        for code, histogram in self.latencies.items():
            lines.append(f'siege_requests_total{{code="{code}"}} {histogram.count}')
        lines.append("# TYPE siege_request_duration_seconds histogram")
        for code, histogram in self.latencies.items():
            lines += histogram.lines("siege_request_duration_seconds", f'code="{code}",')
        lines.append("# TYPE siege_lateness_seconds histogram")
        return lines + self.lateness.lines("siege_lateness_seconds")


# --- sending --------------------------------------------------------------------------------------


class Exchange(asyncio.Protocol):
    """One GET over one connection; ``finish(code)`` is called once, at its end.

    Args:
        request: The bytes to send.
        finish: Takes the HTTP status, or ``refused`` when the connection broke.
    """

    def __init__(self, request: bytes, finish: Callable[[str], None]) -> None:
        self._request = request
        self._finish = finish
        self._answer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows the type
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Collect the answer and end with it."""
        self._answer += data
        code = whole_answer(self._answer, ended=False)
        if code is not None:
            self._end(code)

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer without a length ends here; anything else broke."""
        code = None if exc else whole_answer(self._answer, ended=True)
        self._end(code or "refused")

    def _end(self, code: str) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
            self._finish(code)

    def abort(self) -> None:
        """Hang up; ``finish`` is not called any more."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None


def whole_answer(answer: bytes, *, ended: bool) -> str | None:
    """The status of a complete HTTP/1.1 answer, or None. ``ended``: the connection was closed."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return None
    lines = head.split(b"\r\n")
    words = lines[0].split()
    if len(words) < 2 or not words[1].isdigit() or len(words[1]) != 3:
        return None
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = value.strip()
            return words[1].decode() if length.isdigit() and len(body) >= int(length) else None
    return words[1].decode() if ended else None


class Replicas:
    """Where requests go: the ready ports of a range, or one address."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        host, _, ports = parts.netloc.partition(":")
        if parts.scheme != "http" or not host:
            raise ControlError(f"target {url!r} must look like http://HOST:PORT or PORT-PORT")
        first, dash, last = (ports or "80").partition("-")
        if not first.isdigit() or not (last if dash else first).isdigit():
            raise ControlError(f"target {url!r} has no valid port or range of ports")
        self._host = host
        self._probed = bool(dash)
        self._ports = range(int(first), int(last or first) + 1)
        if not self._ports:
            raise ControlError(f"target {url!r} has an empty range of ports")
        self._address: str | None = None
        self._ready: list[int] = []
        self._work = self._request(parts.path or "/")
        self._probe = self._request("/ready")

    def _request(self, path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nConnection: close\r\n\r\n".encode()

    @property
    def ready(self) -> int:
        """Replicas that take requests."""
        return len(self._ready)

    def choose(self) -> tuple[str, int] | None:
        """The address of a ready replica, at random."""
        if not self._ready or self._address is None:
            return None
        return self._address, random.choice(self._ready)  # noqa: S311 - no secret

    def look_away(self, port: int) -> None:
        """Send nothing to a replica that refused until it says ready again."""
        if self._probed and port in self._ready:
            self._ready.remove(port)

    def exchange(self, finish: Callable[[str], None]) -> Exchange:
        """A request for work."""
        return Exchange(self._work, finish)

    async def watch(self) -> None:
        """Resolve the name and ask every port of a range for its readiness, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._resolve())
            if self._probed:
                # One task a port: a replica that hangs must not delay the news of another.
                for port in self._ports:
                    tasks.create_task(self._watch_port(port))

    async def _resolve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            # Where the name is not found, the last known address stays.
            with suppress(OSError):
                found = await loop.getaddrinfo(self._host, self._ports[0], type=1)
                self._address = str(found[0][4][0])
                if not self._probed:
                    self._ready = [self._ports[0]]
            await asyncio.sleep(RESOLVE_INTERVAL_S)

    async def _watch_port(self, port: int) -> None:
        while True:
            ready = self._address is not None and await self._is_ready(self._address, port)
            if ready != (port in self._ready):
                (self._ready.append if ready else self._ready.remove)(port)
            await asyncio.sleep(PROBE_INTERVAL_S)

    async def _is_ready(self, host: str, port: int) -> bool:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        exchange = Exchange(self._probe, answer.set_result)
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await loop.create_connection(lambda: exchange, host, port)
                return await answer == "200"
        except (OSError, TimeoutError):
            return False
        finally:
            exchange.abort()


class Engine:
    """Everything together.

    Args:
        loop: The event loop.
        target: See the module.
        timeout: Seconds from the intended time after which a request counts as ``timeout``.
        max_in_flight: Requests under way at once; those beyond are ``dropped``.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, target: str, timeout: float, max_in_flight: int
    ) -> None:
        self.replicas = Replicas(target)
        self.conductor = Conductor(loop, self.send)
        self.tally = Tally()
        self.in_flight = 0
        self.started = time.time()
        self._loop = loop
        self._timeout = timeout
        self._max_in_flight = max_in_flight
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, intended: float) -> None:
        """Send one request and see to its end."""
        now = self._loop.time()
        self.tally.lateness.observe(now - intended)
        address = self.replicas.choose()
        if self.in_flight >= self._max_in_flight:
            self.tally.end("dropped", now - intended)
        elif address is None:
            self.tally.end("refused", now - intended)
        else:
            self.in_flight += 1
            task = self._loop.create_task(self._exchange(intended, *address))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _exchange(self, intended: float, host: str, port: int) -> None:
        answer: asyncio.Future[tuple[str, float]] = self._loop.create_future()

        def finish(code: str) -> None:
            if not answer.done():
                answer.set_result((code, self._loop.time()))

        exchange = self.replicas.exchange(finish)
        try:
            async with asyncio.timeout_at(intended + self._timeout):
                await self._loop.create_connection(lambda: exchange, host, port)
                code, end = await answer
        except TimeoutError:
            code, end = "timeout", self._loop.time()
        except OSError:
            code, end = "refused", self._loop.time()
        exchange.abort()
        if code == "refused":
            self.replicas.look_away(port)
        self.in_flight -= 1
        self.tally.end(code, end - intended)

    def status(self) -> dict[str, Any]:
        """What ``GET /status`` answers."""
        schedule = self.conductor.schedule
        return {
            "running": self.conductor.running,
            "position": self.conductor.position,
            "sha256": schedule.sha256 if schedule else None,
            "seconds": schedule.seconds if schedule else None,
            "in_flight": self.in_flight,
            "ready_targets": self.replicas.ready,
        }

    def metrics(self) -> str:
        """Everything in Prometheus's text format."""
        lines = self.tally.lines()
        for name, value in (
            ("siege_in_flight", self.in_flight),
            ("siege_position_seconds", self.conductor.position),
            ("siege_running", int(self.conductor.running)),
            ("siege_ready_targets", self.replicas.ready),
            ("process_start_time_seconds", self.started),
        ):
            lines += [f"# TYPE {name} gauge", f"{name} {value!r}"]
        return "\n".join(lines) + "\n"


# --- control --------------------------------------------------------------------------------------


def number(body: dict[str, Any], key: str) -> float | None:
    """A number of a JSON body, or None where it is not given."""
    value = body.get(key)
    if value is None:
        return None
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if not numeric or not math.isfinite(value):
        raise ControlError(f"{key!r} must be a number, not {value!r}")
    return float(value)


class Control:
    """The engine's own HTTP door."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        try:
            async with asyncio.timeout(EXCHANGE_S):
                method, path, content = await self._read(reader)
            status, answer = self._respond(method, path, content)
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            status, answer = "400 Bad Request", "not a request that this program understands\n"
        body = answer.encode()
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        try:
            writer.write(head.encode() + body)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except OSError:
            writer.close()  # whoever asked has gone

    async def _read(self, reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        method, path, _ = first.split(" ")
        length = 0
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip().lower() == "content-length":
                length = int(value)
        path = path.split("?", 1)[0]
        if not 0 <= length <= (SCHEDULE_LIMIT if path == "/schedule" else HEAD_LIMIT):
            raise ValueError(length)
        return method, path, await reader.readexactly(length)

    def _respond(self, method: str, path: str, content: bytes) -> tuple[str, str]:
        if (method, path) == ("GET", "/metrics"):
            return "200 OK", self._engine.metrics()
        if (method, path) == ("GET", "/healthz"):
            return "200 OK", "alive\n"
        if (method, path) != ("GET", "/status"):
            if method != "POST" or path not in ("/start", "/pause", "/schedule"):
                return "404 Not Found", f"no {method} {path} here\n"
            try:
                self._order(path, content)
            except ControlError as error:
                return "400 Bad Request", f"{error}\n"
        return "200 OK", json.dumps(self._engine.status()) + "\n"

    def _order(self, path: str, content: bytes) -> None:
        conductor = self._engine.conductor
        if path == "/schedule" and content.startswith(GZIP_MAGIC):
            conductor.load(Schedule.parse(content, "that was sent"))
            return
        try:
            body = json.loads(content or b"{}")
        except ValueError as error:
            raise ControlError(f"the body is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise ControlError("the body must be a JSON object")
        if path == "/start":
            conductor.start(number(body, "at"), number(body, "offset"))
        elif path == "/pause":
            conductor.pause(number(body, "at"))
        elif isinstance(body.get("path"), str):
            conductor.load(Schedule.read(Path(body["path"])))
        else:
            raise ControlError("'path' must name a schedule file, or the body be one")


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="siege_engine.py", description="An open-loop load.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port for control and metrics")
    parser.add_argument("--target", required=True, help="http://HOST:PORT or http://HOST:PORT-PORT")
    parser.add_argument("--schedule", type=Path, help="arrival schedule; may be loaded later")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds a request may take")
    parser.add_argument("--max-in-flight", type=int, default=512, help="requests under way at once")
    options = parser.parse_args(arguments)
    if options.timeout <= 0 or options.max_in_flight < 1:
        parser.error("--timeout must be above 0 and --max-in-flight at least 1")
    return options


async def run(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    engine = Engine(loop, options.target, options.timeout, options.max_in_flight)
    if options.schedule is not None and options.schedule.exists():
        engine.conductor.load(Schedule.read(options.schedule))
    # A pause of the garbage collector over what never changes would make requests late.
    gc.freeze()
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    server = await asyncio.start_server(
        Control(engine).serve, options.host, options.port, limit=HEAD_LIMIT
    )
    watching = loop.create_task(engine.replicas.watch())
    stopping = loop.create_task(stop.wait())
    await asyncio.wait((watching, stopping), return_when=asyncio.FIRST_COMPLETED)
    server.close()
    if watching.done():
        await watching  # it only ends by failing: say so and stop, rather than shoot blindly
    watching.cancel()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    options = read_arguments(arguments)
    try:
        asyncio.run(run(options))
    except (OSError, ControlError) as error:
        print(f"siege engine: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
