"""The web app that is scaled: slots, a timed service, a bounded queue, a drain.

Run it as a file; it needs the standard library only::

    python heater.py --port 8080 --slots 4 --service-time 0.1 --queue-limit 64

``GET /`` is served by one of ``slots`` slots, first come first served, for ``service-time``
seconds; a request that finds every slot busy and the queue full gets 503. ``/ready`` says whether
the replica takes work, ``/healthz`` whether it lives, ``/metrics`` tells Prometheus. ``/drain``
announces a SIGTERM: not ready from now on, though work is still taken. Every connection carries one
request.

The service is a wait by default (``--work wait``): its end follows from the arrival times alone, by
the recursion of a queue with several servers, so a late event loop delays one answer and never the
next. ``--work cpu`` burns that much processor time in threads instead; on a shared machine it
measures the host.

SIGTERM: ``/ready`` turns to 503 and work is still taken for ``--drain`` seconds (so that whoever
sends can look away), then nothing new is accepted, what is in flight is finished, and the program
exits with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import signal
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

BUCKETS: tuple[float, ...] = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25),
    *(0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0),
)
HEAD_LIMIT = 16_384
HEAD_DEADLINE_S = 2.0
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 503: "Service Unavailable"}


class Work(Protocol):
    """How the service's time is spent."""

    def begin(self, arrival: float, done: Callable[[float], None]) -> None:
        """Take a request that came at ``arrival`` (loop time, s); ``done(end)`` is called once."""

    def close(self) -> None:
        """Let go of what was taken."""


class TimedWork:
    """A wait: a request ends at max(arrival, first free slot) + service time, exactly."""

    def __init__(self, loop: asyncio.AbstractEventLoop, slots: int, service_time: float) -> None:
        self._loop = loop
        self._service_time = service_time
        self._free_at = [0.0] * slots

    def begin(self, arrival: float, done: Callable[[float], None]) -> None:
        """See :class:`Work`."""
        end = max(arrival, self._free_at[0]) + self._service_time
        heapq.heapreplace(self._free_at, end)
        self._loop.call_at(end, done, end)

    def close(self) -> None:
        """Nothing was taken."""


class ProcessorWork:
    """Processor time, one thread a slot."""

    def __init__(self, loop: asyncio.AbstractEventLoop, slots: int, service_time: float) -> None:
        self._loop = loop
        self._service_time = service_time
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="slot")

    def begin(self, arrival: float, done: Callable[[float], None]) -> None:  # noqa: ARG002
        """See :class:`Work`."""
        future = self._loop.run_in_executor(self._threads, self._burn)
        future.add_done_callback(lambda _: done(self._loop.time()))

    def _burn(self) -> None:
        end = time.thread_time() + self._service_time
        while time.thread_time() < end:
            pass

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False)


class Heater:
    """The replica: what it holds, what it has counted, and whether it takes work.

    Args:
        loop: The event loop whose clock everything uses.
        slots: Requests served at once.
        queue_limit: Requests that may wait.
        work: What a slot does with a request.
        ready: False while it boots.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        slots: int,
        queue_limit: int,
        work: Work,
        ready: bool = True,
    ) -> None:
        self.slots = slots
        self.queue_limit = queue_limit
        self.ready = ready
        self.draining = False
        self.connections: set[Connection] = set()
        self.started = time.time()
        self._loop = loop
        self._work = work
        self._in_system = 0
        self._requests = {200: 0, 503: 0}
        self._durations = [0] * (len(BUCKETS) + 1)
        self._duration_sum = 0.0
        self._busy_seconds = 0.0
        self._counted_until = loop.time()

    def serve(self, answer: Callable[[int], None]) -> None:
        """Take one request or refuse it; ``answer(status)`` is called once."""
        arrival = self._loop.time()
        takes_work = self.ready or self.draining
        if not takes_work or self._in_system >= self.slots + self.queue_limit:
            self._requests[503] += 1
            answer(503)
            return

        def done(end: float) -> None:
            self._count_busy(end)
            self._in_system -= 1
            self._requests[200] += 1
            self._durations[bisect_left(BUCKETS, end - arrival)] += 1
            self._duration_sum += end - arrival
            answer(200)

        self._count_busy(arrival)
        self._in_system += 1
        self._work.begin(arrival, done)

    def _count_busy(self, now: float) -> None:
        """Add the busy slot-seconds since the last change, those in progress included."""
        if now > self._counted_until:
            self._busy_seconds += self.busy_slots * (now - self._counted_until)
            self._counted_until = now

    @property
    def busy_slots(self) -> int:
        """Slots at work."""
        return min(self._in_system, self.slots)

    def metrics(self) -> str:
        """Everything in Prometheus's text format."""
        self._count_busy(self._loop.time())
        lines = ["# TYPE heater_requests_total counter"]
        lines += [f'heater_requests_total{{code="{c}"}} {n}' for c, n in self._requests.items()]
        lines.append("# TYPE heater_request_duration_seconds histogram")
        cumulative = 0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self._durations, strict=True):
            cumulative += count
            lines.append(f'heater_request_duration_seconds_bucket{{le="{bound}"}} {cumulative}')
        lines.append(f"heater_request_duration_seconds_sum {self._duration_sum!r}")
        lines.append(f"heater_request_duration_seconds_count {cumulative}")
        for name, kind, value in (
            ("heater_busy_slots", "gauge", self.busy_slots),
            ("heater_queue_length", "gauge", self._in_system - self.busy_slots),
            ("heater_slots", "gauge", self.slots),
            ("heater_busy_seconds_total", "counter", self._busy_seconds / self.slots),
            ("heater_ready", "gauge", int(self.ready)),
            ("process_start_time_seconds", "gauge", self.started),
        ):
            lines += [f"# TYPE {name} {kind}", f"{name} {value!r}"]
        return "\n".join(lines) + "\n"

    def respond(self, path: str, answer: Callable[[int, str], None]) -> None:
        """Answer one request for ``path``; ``answer(status, body)`` is called once."""
        if path == "/":
            self.serve(lambda status: answer(status, "warm\n" if status == 200 else "busy\n"))
        elif path == "/metrics":
            answer(200, self.metrics())
        elif path == "/ready":
            answer(200 if self.ready else 503, "ready\n" if self.ready else "not ready\n")
        elif path == "/healthz":
            answer(200, "alive\n")
        elif path == "/drain":
            self.begin_to_drain()
            answer(200, "not ready\n")
        else:
            answer(404, "no such page\n")

    def begin_to_drain(self) -> None:
        """Say not ready, so that whoever sends looks away; work is still taken."""
        self.ready = False
        self.draining = True

    async def drain(self, server: asyncio.Server, seconds: float) -> None:
        """Say not ready, take work for ``seconds`` more, then finish what is in flight."""
        self.begin_to_drain()
        await asyncio.sleep(seconds)
        server.close()
        while self.connections:
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Let go of the threads."""
        self._work.close()


class Connection(asyncio.Protocol):
    """One request and its answer."""

    _transport: asyncio.Transport

    def __init__(self, heater: Heater, loop: asyncio.AbstractEventLoop) -> None:
        self._heater = heater
        self._head = b""
        self._asked = False
        # Whoever connects and says nothing must not hold up a drain for ever.
        self._deadline = loop.call_later(HEAD_DEADLINE_S, self._hang_up)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the connection: a drain waits for it."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows the type
        self._transport = transport
        self._heater.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Forget the connection."""
        self._deadline.cancel()
        self._heater.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Read the head of the request; a body is ignored."""
        if self._asked:
            return
        self._head += data
        if b"\r\n\r\n" not in self._head:
            if len(self._head) > HEAD_LIMIT:
                self._answer(400, "head too long\n")
            return
        self._asked = True
        self._deadline.cancel()
        words = self._head.split(b"\r\n", 1)[0].decode("latin-1").split()
        if len(words) != 3:
            self._answer(400, "not HTTP\n")
        else:
            self._heater.respond(words[1].split("?", 1)[0], self._answer)

    def _answer(self, status: int, body: str) -> None:
        if self._transport.is_closing():
            return
        content = body.encode()
        head = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\n"
            "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        )
        self._transport.write(head.encode() + content)
        self._transport.close()

    def _hang_up(self) -> None:
        self._transport.abort()


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="heater.py", description="A web app to scale.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--slots", type=int, default=4, help="requests served at once")
    parser.add_argument("--service-time", type=float, default=0.1, help="seconds a request takes")
    parser.add_argument("--queue-limit", type=int, default=64, help="requests that may wait")
    parser.add_argument("--work", choices=("wait", "cpu"), default="wait", help="what a slot does")
    parser.add_argument("--drain", type=float, default=1.0, help="seconds after SIGTERM")
    parser.add_argument("--start-delay", type=float, default=0.0, help="seconds to boot")
    options = parser.parse_args(arguments)
    if options.slots < 1 or options.queue_limit < 0:
        parser.error("--slots must be at least 1 and --queue-limit at least 0")
    if min(options.service_time, options.drain, options.start_delay) < 0:
        parser.error("--service-time, --drain and --start-delay must not be negative")
    return options


async def run(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    loop = asyncio.get_running_loop()
    kind = TimedWork if options.work == "wait" else ProcessorWork
    heater = Heater(
        loop,
        slots=options.slots,
        queue_limit=options.queue_limit,
        work=kind(loop, options.slots, options.service_time),
        ready=options.start_delay == 0,
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(
        lambda: Connection(heater, loop), options.host, options.port, backlog=1024
    )

    def boot() -> None:
        heater.ready = not heater.draining

    loop.call_later(options.start_delay, boot)
    await stop.wait()
    await heater.drain(server, options.drain)
    heater.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    options = read_arguments(arguments)
    try:
        asyncio.run(run(options))
    except OSError as error:
        print(f"heater: cannot serve {options.host}:{options.port}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
