"""One of the processes that :mod:`infra_gym.remote.workers` shares the clients among."""

from __future__ import annotations

import asyncio
import importlib
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from infra_gym.remote.offer import Offer
from infra_gym.remote.server import Limits, Server

_log = logging.getLogger(__name__)

# What goes through the channel. To a worker; the first comes with a client's socket:
CLIENT, STOP, INTERRUPT = b"c", b"s", b"i"
# and from it: it is there, a client left.
READY, LEFT = b"r", b"l"


@dataclass(frozen=True)
class Work:
    """What every process is told.

    Attributes:
        offer: Which environments.
        limits: See :class:`Server`.
        imports: Modules that register some of them.
        token: See :class:`Server`.
        log_level: Of what it writes to the standard error.
    """

    offer: Offer
    limits: Limits
    imports: Sequence[str] = ()
    token: str | None = None
    log_level: int = logging.INFO


def serve(channel: socket.socket, work: Work) -> None:
    """Serve what comes through ``channel`` until it says stop, or nobody is at its other end."""
    # The first process is who gets Ctrl-C and says what is to be done. Handlers that do nothing,
    # for ignored signals would stay ignored in the programs that an environment starts.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _nothing)
    logging.basicConfig(
        stream=sys.stderr,
        level=work.log_level,
        format="%(asctime)s %(process)d %(levelname)s %(message)s",
    )
    for module in work.imports:
        importlib.import_module(module)
    with channel:
        uvloop.run(_Worker(channel, work).run())


def _nothing(*_: Any) -> None:
    """The handler of a signal that is somebody else's."""


class _Worker:
    """A server without a listener, and the channel that its clients come through."""

    def __init__(self, channel: socket.socket, work: Work) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._server = Server(
            work.offer, port=None, token=work.token, limits=work.limits, left=self._left
        )
        self._stop = asyncio.Event()
        self._adopting: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until the word to stop, or the end of whoever would say it."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        async with self._server:
            loop.add_reader(self._channel, self._hear)
            self._channel.send(READY)
            await self._stop.wait()
        loop.remove_reader(self._channel)

    def _hear(self) -> None:
        try:
            word, sockets, *_ = socket.recv_fds(self._channel, 1, 1)
        except BlockingIOError:
            return
        except OSError:
            word, sockets = b"", []
        if word == CLIENT:
            task = asyncio.get_running_loop().create_task(self._adopt(sockets[0]))
            self._adopting.add(task)
            task.add_done_callback(self._adopting.discard)
        elif word == INTERRUPT:
            self._server.interrupt()
        else:
            self._stop.set()
        if not word:
            asyncio.get_running_loop().remove_reader(self._channel)

    async def _adopt(self, number: int) -> None:
        client = socket.socket(fileno=number)
        client.setblocking(False)
        try:
            await self._server.adopt(client)
        except OSError as error:
            _log.debug("a client went away at once: %s", error)
            self._left()

    def _left(self) -> None:
        try:
            self._channel.send(LEFT)
        except OSError:  # nobody counts any more
            self._stop.set()
