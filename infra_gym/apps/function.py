"""A function of a FaaS platform: a few calls at once, a timed service, some processor and memory.

Run it as a file; it needs the standard library only::

    python function.py --port 8080 --slots 2 --service-time 0.5 --queue-limit 8 \
        --cpu 0.01 --memory 4 --cpu-request 0.1 --memory-request 64

``/`` is a call, whatever its method: one of ``slots`` slots takes it, first come first served, and
answers after ``service-time`` seconds. In these it really burns ``cpu`` seconds of processor time
and really holds ``memory`` MiB; the rest is a wait. A call that finds every slot busy and the queue
full gets 429, as from a watchdog with ``max_inflight``. ``/ready`` says whether the replica takes
calls, ``/healthz`` whether it lives, ``/metrics`` tells Prometheus what it used and what it
*requests*, in the sense of a pod's resources. ``/drain`` announces a SIGTERM: not ready from now
on, though calls are still taken. Every connection carries one call.

A service's end follows from the arrival times alone (a queue with several servers), so a late event
loop delays one answer and never the next.

SIGTERM: ``/ready`` turns to 503 and calls are still taken for ``--drain`` seconds, then nothing new
is accepted, what is in flight is finished, and the program exits with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import mmap
import resource
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

MIB = 1 << 20
HEAD_LIMIT = 65_536
BODY_LIMIT = 16 * MIB
READ_DEADLINE_S = 10.0
REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


class Function:
    """The replica: what it holds, what it has counted, and whether it takes calls.

    Args:
        loop: The event loop whose clock everything uses.
        slots: Calls served at once.
        service_time: Seconds of a service.
        queue_limit: Calls that may wait.
        cpu: Seconds of processor time that a service burns, at most its length.
        memory: Bytes that a service holds.
        ready: False while it boots.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        slots: int,
        service_time: float,
        queue_limit: int,
        cpu: float = 0.0,
        memory: int = 0,
        ready: bool = True,
    ) -> None:
        self.slots = slots
        self.ready = ready
        self.draining = False
        self.started = time.time()
        self.calls = {200: 0, 429: 0, 503: 0}
        self._loop = loop
        self._service_time = service_time
        self._queue_limit = queue_limit
        self._cpu = cpu
        self._memory = memory
        self._free_at = [0.0] * slots
        self._in_system = 0
        self._busy_seconds = 0.0
        self._counted_until = loop.time()

    async def call(self) -> int:
        """Serve one call or refuse it; its HTTP status."""
        arrival = self._loop.time()
        if not (self.ready or self.draining):
            return self._end(503)
        if self._in_system >= self.slots + self._queue_limit:
            return self._end(429)
        start = max(arrival, self._free_at[0])
        end = start + self._service_time
        heapq.heapreplace(self._free_at, end)
        self._count_busy(arrival)
        self._in_system += 1
        await self._until(start)
        held = hold(self._memory)
        burn(self._cpu)
        await self._until(end)
        held.close()
        self._count_busy(end)
        self._in_system -= 1
        return self._end(200)

    def begin_to_drain(self) -> None:
        """Say not ready, so that whoever sends looks away; calls are still taken."""
        self.ready = False
        self.draining = True

    def _end(self, status: int) -> int:
        self.calls[status] += 1
        return status

    async def _until(self, moment: float) -> None:
        left = moment - self._loop.time()
        if left > 0:
            await asyncio.sleep(left)

    def _count_busy(self, now: float) -> None:
        """Add the busy slot-seconds since the last change, those in progress included."""
        if now > self._counted_until:
            self._busy_seconds += self.busy_slots * (now - self._counted_until)
            self._counted_until = now

    @property
    def busy_slots(self) -> int:
        """Slots at work."""
        return min(self._in_system, self.slots)

    @property
    def busy_seconds(self) -> float:
        """Slot-seconds of work so far, as a share of the slots."""
        self._count_busy(self._loop.time())
        return self._busy_seconds / self.slots


def burn(seconds: float) -> None:
    """Use so much processor time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def hold(size: int) -> mmap.mmap:
    """Memory that is really there, and really gone once it is closed."""
    held = mmap.mmap(-1, max(size, 1))
    for page in range(0, size, mmap.PAGESIZE):
        held[page] = 1
    return held


def resident_bytes() -> int:
    """The process's memory; where the system does not tell, the most that it ever was."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def metrics(function: Function, cpu_request: float, memory_request: int) -> str:
    """Everything in Prometheus's text format."""
    lines = ["# TYPE function_calls_total counter"]
    lines += [f'function_calls_total{{code="{c}"}} {n}' for c, n in function.calls.items()]
    for name, kind, value in (
        ("function_busy_seconds_total", "counter", function.busy_seconds),
        ("function_ready", "gauge", int(function.ready)),
        ("function_cpu_request_cores", "gauge", cpu_request),
        ("function_memory_request_bytes", "gauge", memory_request),
        ("process_cpu_seconds_total", "counter", time.process_time()),
        ("process_resident_memory_bytes", "gauge", resident_bytes()),
        ("process_start_time_seconds", "gauge", function.started),
    ):
        lines += [f"# TYPE {name} {kind}", f"{name} {value!r}"]
    return "\n".join(lines) + "\n"


class Door:
    """The replica's HTTP.

    Args:
        function: Who serves the calls.
        cpu_request: Cores.
        memory_request: Bytes.
    """

    def __init__(self, function: Function, cpu_request: float, memory_request: int) -> None:
        self.open = 0
        self._function = function
        self._requests = (cpu_request, memory_request)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        self.open += 1
        try:
            status, body = await self._answer(reader)
            content = body.encode()
            head = (
                f"HTTP/1.1 {status} {REASONS[status]}\r\n"
                "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + content)
            await writer.drain()
        except OSError:
            pass  # whoever called has gone
        finally:
            self.open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, str]:
        try:
            # Whoever connects and says nothing must not hold up a drain for ever.
            async with asyncio.timeout(READ_DEADLINE_S):
                path = await read_request(reader)
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            return 400, "not a request that this program understands\n"
        if path == "/":
            status = await self._function.call()
            return status, "done\n" if status == 200 else "busy\n"
        if path == "/metrics":
            return 200, metrics(self._function, *self._requests)
        if path == "/ready":
            return (200, "ready\n") if self._function.ready else (503, "not ready\n")
        if path == "/drain":
            self._function.begin_to_drain()
            return 200, "not ready\n"
        return (200, "alive\n") if path == "/healthz" else (404, "no such page\n")


async def read_request(reader: asyncio.StreamReader) -> str:
    """The path of a request whose head and body were read; ``ValueError`` where it is none."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    _, target, _ = first.split(" ")
    length = 0
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-length":
            length = int(value)
    if not 0 <= length <= BODY_LIMIT:
        raise ValueError(length)
    await reader.readexactly(length)
    return target.partition("?")[0]


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="function.py", description="A function to scale.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--slots", type=int, default=2, help="calls served at once")
    parser.add_argument("--service-time", type=float, default=0.5, help="seconds a call takes")
    parser.add_argument("--queue-limit", type=int, default=8, help="calls that may wait")
    parser.add_argument("--cpu", type=float, default=0.0, help="processor seconds of a call")
    parser.add_argument("--memory", type=float, default=0.0, help="MiB that a call holds")
    parser.add_argument("--cpu-request", type=float, default=0.1, help="cores, for the metrics")
    parser.add_argument("--memory-request", type=float, default=64.0, help="MiB, for the metrics")
    parser.add_argument("--drain", type=float, default=1.0, help="seconds after SIGTERM")
    parser.add_argument("--start-delay", type=float, default=0.0, help="seconds to boot")
    options = parser.parse_args(arguments)
    if options.slots < 1 or options.queue_limit < 0:
        parser.error("--slots must be at least 1 and --queue-limit at least 0")
    if min(options.memory, options.cpu, options.drain, options.start_delay) < 0:
        parser.error("--memory, --cpu, --drain and --start-delay must not be negative")
    if options.cpu > options.service_time:
        parser.error("--cpu must not be above --service-time")
    if min(options.cpu_request, options.memory_request) <= 0:
        parser.error("--cpu-request and --memory-request must be above 0")
    return options


async def run(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    loop = asyncio.get_running_loop()
    function = Function(
        loop,
        slots=options.slots,
        service_time=options.service_time,
        queue_limit=options.queue_limit,
        cpu=options.cpu,
        memory=round(options.memory * MIB),
        ready=options.start_delay == 0,
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    door = Door(function, options.cpu_request, round(options.memory_request * MIB))
    server = await asyncio.start_server(
        door.serve, options.host, options.port, limit=HEAD_LIMIT, backlog=1024
    )

    def boot() -> None:
        function.ready = not function.draining

    if not function.ready:
        loop.call_later(options.start_delay, boot)
    await stop.wait()
    function.begin_to_drain()
    await asyncio.sleep(options.drain)
    server.close()
    while door.open:
        await asyncio.sleep(0.01)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    options = read_arguments(arguments)
    try:
        asyncio.run(run(options))
    except OSError as error:
        print(f"function: cannot serve {options.host}:{options.port}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
