"""The server: one event loop, one asyncio protocol, and a thread for each slow environment.

An environment has to earn its place on the loop. Its id starts in a thread of the connection's own;
after a row of quick calls the id's calls run on the loop itself, which is several times as quick;
slow ones send it back, for longer each time. So live environments, whose steps last as long as
their interval, never get there, and nobody has to say which ones are slow.

Who goes away frees the environment: a call that runs is given a moment to end, then a live one is
interrupted; it is closed as soon as its thread is free.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self, cast

from infra_gym.errors import SettingsError
from infra_gym.remote.offer import Offer
from infra_gym.remote.protocol import Call, Conversation
from infra_gym.remote.seat import Seat

_log = logging.getLogger(__name__)

BACKLOG = 1024
"""Clients that may wait to be accepted."""

_PACES = 1024
"""Ids and sizes of batches that are known to be quick or slow; the oldest are forgotten."""
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux only


@dataclass(frozen=True)
class Limits:
    """What one client, and all of them, may take."""

    connections: int = 512
    """At once; further ones are closed at once, with a line in the log."""
    request_bytes: int = 1 << 20
    """Of one request; a longer one ends the connection. 1 MiB holds a batch of 4096 actions."""
    batch: int = 4096
    """Environments in one connection's batch."""
    idle_s: float = 1200.0
    """Seconds without a whole request, while no call runs; a slow sender is no exception."""
    slow_s: float = 0.0025
    """Seconds; an id whose last calls took longer, on the mean, leaves the loop to the others."""
    stall_s: float = 0.1
    """Seconds; one call that took longer is enough. Shorter ones may be the machine's doing."""
    turn_s: float = 0.005
    """Seconds that one client's requests, sent ahead, may keep the loop in one go."""
    grace_s: float = 2.0
    """Seconds that a running call has to end after its client went away."""


class Pace:
    """Whether an id's calls run on the loop.

    Args:
        limits: What is slow.
    """

    _FIRST, _MOST = 32, 1024
    _WEIGHT = 1 / 8  # of the last call in the mean

    def __init__(self, limits: Limits) -> None:
        self.on_loop = False
        self._limits = limits
        self._needed = self._FIRST
        self._quick = 0
        self._mean_s = 0.0

    def note(self, seconds: float) -> None:
        """A call took ``seconds``."""
        self._mean_s += self._WEIGHT * (seconds - self._mean_s)
        if self._mean_s > self._limits.slow_s or seconds > self._limits.stall_s:
            if self.on_loop:
                self._needed = min(2 * self._needed, self._MOST)
            self.on_loop = False
            self._quick = 0
        elif not self.on_loop:
            self._quick += 1
            self.on_loop = self._quick >= self._needed


class Server:
    """Serves environments until it is stopped.

    ::

        async with Server(Offer(allow=["CartPole-*"]), port=4040) as server:
            await forever

    Args:
        offer: Which environments.
        host: The address to listen on; the default is reached from this machine only.
        port: 0 for any free one, see :attr:`port`; ``None`` to listen nowhere, see :meth:`adopt`.
        token: What clients must know; such a server takes only those who say ``hello``.
        limits: See :class:`Limits`.
        left: Called when a client went away.
    """

    def __init__(
        self,
        offer: Offer,
        *,
        host: str = "127.0.0.1",
        port: int | None = 4040,
        token: str | None = None,
        limits: Limits | None = None,
        left: Callable[[], object] = lambda: None,
    ) -> None:
        self.offer = offer
        self.host = host
        self.port = port
        self.token = token
        self.limits = limits or Limits()
        self.left = left
        self.closing = False
        self.connections: set[Connection] = set()
        self._paces: dict[tuple[str, int | None], Pace] = {}
        self._leaving: dict[Seat, asyncio.Future[None]] = {}
        self._listener: asyncio.Server | None = None
        self._sweep: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            SettingsError: The address cannot be had.
        """
        if self.port is not None:
            loop = asyncio.get_running_loop()
            with listening(self.host, self.port):
                self._listener = await loop.create_server(
                    lambda: Connection(self, loop), self.host, self.port, backlog=BACKLOG
                )
            self.port = self._listener.sockets[0].getsockname()[1]
        self._close_idle()
        return self

    async def adopt(self, client: socket.socket) -> None:
        """Serve a client that connected somewhere else."""
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: Connection(self, loop), client)

    async def __aexit__(self, *_: object) -> None:
        """Close every connection, and wait until every environment is freed."""
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in tuple(self.connections):
            connection.leave()
        while self._leaving:
            await asyncio.wait(self._leaving.values())
            await asyncio.sleep(0)

    def interrupt(self) -> None:
        """Have what is being freed stop at once; the log tells what is left."""
        for seat in tuple(self._leaving):
            seat.interrupt()

    def pace(self, name: str, count: int | None) -> Pace:
        """The pace of an id, alone or in a batch of ``count``."""
        if (name, count) not in self._paces and len(self._paces) >= _PACES:
            del self._paces[next(iter(self._paces))]  # names are the clients', and may be any
        return self._paces.setdefault((name, count), Pace(self.limits))

    def _close_idle(self) -> None:
        for connection in tuple(self.connections):
            connection.close_if_idle()
        every = max(0.01, min(self.limits.idle_s / 4, 5.0))
        self._sweep = asyncio.get_running_loop().call_later(every, self._close_idle)

    def freeing(self, seat: Seat) -> Callable[[], None]:
        """``seat`` is being freed until the function returned is called."""
        done = self._leaving[seat] = asyncio.get_running_loop().create_future()

        def finished() -> None:
            del self._leaving[seat]
            done.set_result(None)

        return finished


@contextmanager
def listening(host: str, port: int) -> Iterator[None]:
    """Says what to do about an address that cannot be had.

    Raises:
        SettingsError: In place of the ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"{host} port {port} cannot be listened on: {error.strerror or error}",
            next_command="infra-gym serve --port 4041",
        ) from error


class Connection(asyncio.Protocol):
    """One client: its conversation, its seat, and where its calls run."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._limits = server.limits
        self._loop = loop
        self._conversation = Conversation(
            request_bytes=server.limits.request_bytes,
            token=server.token,
            batch=server.limits.batch,
        )
        self._seat = Seat(server.offer)
        self._pace: Pace | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._running: Future[float] | None = None  # a call in the thread
        self._full = False  # the client does not read what it is sent
        self._reading = True
        self._again: asyncio.Handle | None = None
        self._eof = False
        self._lost = False
        self._freed: Callable[[], None] | None = None
        self._active = time.monotonic()

    # ---------------------------------------------------------------- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        self._socket: Any = transport.get_extra_info("socket")
        self._peer = transport.get_extra_info("peername")
        if self._server.closing or len(self._server.connections) >= self._limits.connections:
            self._lost = True
            _log.warning("%s: refused, %d are connected", self._peer, len(self._server.connections))
            self._transport.abort()
            return
        self._server.connections.add(self)
        _log.debug("%s: connected", self._peer)

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        if (
            self._running is None
            and not (self._full or self._lost)
            and (pace := self._pace) is not None
            and pace.on_loop
            and self._conversation.take_step(data)
        ):
            began = time.monotonic()
            self._active = ended = self._work()
            if self._conversation.ended is None:
                self._transport.write(self._conversation.to_send())
            else:
                self._send()
            pace.note(ended - began)
            return
        self._conversation.receive(data)
        if self._running is None and not self._full:
            self._advance()
        if self._reading and self._conversation.buffered > 2 * self._limits.request_bytes:
            self._reading = False
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """See :class:`asyncio.Protocol`; what was asked before is still answered."""
        self._eof = True
        if self._running is not None:
            self._loop.call_later(self._limits.grace_s, self.leave, 0.0)
            return True
        return self._again is not None

    def pause_writing(self) -> None:
        """See :class:`asyncio.Protocol`."""
        self._full = True

    def resume_writing(self) -> None:
        """See :class:`asyncio.Protocol`."""
        self._full = False
        if self._running is None:
            self._advance()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        """See :class:`asyncio.Protocol`."""
        self.leave()

    # ---------------------------------------------------------------- requests

    def _advance(self) -> None:
        """Obey what was received, as far as it goes without waiting."""
        if self._again is not None:
            # Else a turn that was put off would come amid a call, and have it done twice.
            self._again.cancel()
            self._again = None
        if self._lost:
            return
        conversation = self._conversation
        began = now = time.monotonic()
        while conversation.take():
            call = conversation.call
            if call is not None:
                pace = self._pace_of(call)
                if not pace.on_loop:
                    self._write()
                    self._start(pace)
                    break
                before, now = now, self._work()
                pace.note(now - before)
            elif conversation.buffered:
                now = time.monotonic()
            if now - began > self._limits.turn_s:
                self._again = self._loop.call_soon(self._advance)
                break
        self._active = now
        self._send()

    def _pace_of(self, call: Call) -> Pace:
        if call.row.name == "make":
            self._pace = self._server.pace(call.value, call.count)
        # Before there is an environment, there is nothing to be slow.
        return self._pace or _QUICK

    def _work(self) -> float:
        """Do the call, here, and say when it was done; only one thread at a time is in here."""
        conversation = self._conversation
        assert conversation.call is not None  # noqa: S101
        try:
            conversation.succeed(self._seat.run(conversation.call))
        except Exception as error:  # noqa: BLE001 - an environment may raise anything
            _log.debug("%s: %r", self._peer, error, exc_info=error)
            conversation.fail(error)
        return time.monotonic()

    def _start(self, pace: Pace) -> None:
        """Do the call in the connection's own thread."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="infra-gym-seat")

        def timed() -> float:
            began = time.monotonic()
            return self._work() - began

        def ended(future: Future[float]) -> None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._ended, future, pace)

        self._running = self._thread.submit(timed)
        self._running.add_done_callback(ended)

    def _ended(self, future: Future[float], pace: Pace) -> None:
        self._running = None
        pace.note(future.result())
        if self._lost:
            self._free()
            return
        if pace.on_loop and self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None
        if self._full:
            self._send()
        else:
            self._advance()

    def _send(self) -> None:
        conversation = self._conversation
        running = self._running is not None  # then the replies are the thread's
        written = not running and self._write()
        if not running and conversation.ended is not None:
            _log.warning("%s: closed: %s", self._peer, conversation.ended)
            self._transport.close()
        elif not running and self._eof and self._again is None:
            self._transport.close()
        elif not written and _QUICKACK is not None:
            # Else a command without a reply holds up the next one until the delayed ACK.
            with suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        if not self._reading and conversation.buffered <= self._limits.request_bytes:
            self._reading = True
            self._transport.resume_reading()

    def _write(self) -> bool:
        """Send the replies that there are; whether there were any."""
        replies = self._conversation.to_send()
        if replies:
            self._transport.write(replies)
        return bool(replies)

    # ---------------------------------------------------------------- the end

    def close_if_idle(self) -> None:
        """Close when no whole request came for too long, or no reply was read."""
        if self._running is None and time.monotonic() - self._active > self._limits.idle_s:
            _log.warning("%s: closed: idle for %g s", self._peer, self._limits.idle_s)
            self._transport.abort()

    def leave(self, grace_s: float | None = None) -> None:
        """The client is gone: free its environment. Harmless when done twice.

        Args:
            grace_s: Seconds that a running call has to end; the limits' when ``None``.
        """
        if self._lost:
            return
        self._lost = True
        self._server.connections.discard(self)
        self._server.left()
        self._transport.abort()
        self._freed = self._server.freeing(self._seat)
        if self._running is None:
            self._free()
        else:
            grace_s = self._limits.grace_s if grace_s is None else grace_s
            self._loop.call_later(grace_s, self._interrupt)

    def _interrupt(self) -> None:
        if self._running is not None:
            _log.info("%s: interrupting what it left", self._peer)
            self._seat.interrupt()

    def _free(self) -> None:
        if not self._seat.taken or (self._pace is not None and self._pace.on_loop):
            self._seat.free()
            self._finished()
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="infra-gym-seat")
        future = self._thread.submit(self._seat.free)
        future.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._finished))

    def _finished(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False)
        if self._freed is not None:
            self._freed()
        _log.debug("%s: gone", self._peer)


_QUICK = Pace(Limits(slow_s=float("inf"), stall_s=float("inf")))
_QUICK.on_loop = True
