"""One port, several processes: clients are handed out as they come, and stay where they are.

The first process only accepts. It gives each client's socket to the process that has the fewest,
through a channel of one-byte messages, and from then on has no part in it. An environment lives and
dies in one process, as with a single :class:`Server`, which each of them runs.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import socket
from multiprocessing.process import BaseProcess
from typing import Self

from infra_gym.errors import SettingsError
from infra_gym.remote.server import BACKLOG, listening
from infra_gym.remote.worker import CLIENT, INTERRUPT, LEFT, READY, STOP, Work, serve

_log = logging.getLogger(__name__)


class Workers:
    """Serves environments from several processes until it is stopped; used as :class:`Server` is.

    A process that dies is told in the log and replaced; its clients lose their connections.

    Args:
        work: What each is told. The limit on connections is for all of them together.
        count: How many.
        host: The address to listen on.
        port: 0 for any free one; see :attr:`port`.
    """

    def __init__(
        self, work: Work, count: int, *, host: str = "127.0.0.1", port: int = 4040
    ) -> None:
        self.offer = work.offer
        self.token = work.token
        self.host = host
        self.port = port
        self._work = work
        self._count = count
        self._workers: list[_Worker] = []
        self._stopping = False

    async def __aenter__(self) -> Self:
        """Listen, and wait until every process is there.

        Raises:
            SettingsError: The address cannot be had, or a process did not come up.
        """
        with listening(self.host, self.port):
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            self._listener = socket.create_server(
                (self.host, self.port), family=family, backlog=BACKLOG
            )
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        for _ in range(self._count):
            self._start()
        try:
            for worker in tuple(self._workers):
                await worker.ready
        except SettingsError:
            await self.__aexit__()
            raise
        asyncio.get_running_loop().add_reader(self._listener, self._accept)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection, and wait until every environment is freed."""
        self._stopping = True
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        leaving = tuple(self._workers)
        for worker in leaving:
            worker.tell(STOP)
        for worker in leaving:
            await worker.gone

    def interrupt(self) -> None:
        """Have what is being freed stop at once; the log tells what is left."""
        for worker in self._workers:
            worker.tell(INTERRUPT)

    @property
    def clients(self) -> list[int]:
        """How many each process has."""
        return [worker.clients for worker in self._workers]

    @property
    def processes(self) -> list[BaseProcess]:
        """Those that serve."""
        return [worker.process for worker in self._workers]

    def _start(self) -> None:
        worker = _Worker(self._work)
        self._workers.append(worker)
        worker.gone.add_done_callback(lambda _: self._ended(worker))

    def _ended(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        came_up = worker.ready.exception() is None
        if self._stopping:
            return
        _log.error(
            "process %d ended with %s and %d clients",
            worker.process.pid, worker.process.exitcode, worker.clients,
        )  # fmt: skip
        if came_up:  # else the next one would not either
            self._start()

    def _accept(self) -> None:
        try:
            client, peer = self._listener.accept()
        except OSError:  # it went away already
            return
        with client:
            if sum(self.clients) >= self._work.limits.connections:
                _log.warning("%s: refused, %d are connected", peer, self._work.limits.connections)
                return
            for worker in sorted(self._workers, key=lambda worker: worker.clients):
                if worker.take(client):
                    return
            _log.warning("%s: refused, every process is busy", peer)


class _Worker:
    """A process, as the first one sees it."""

    def __init__(self, work: Work) -> None:
        loop = asyncio.get_running_loop()
        self.clients = 0
        self.ready: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=serve, args=(theirs, work), name="infra-gym-worker")
        self.process.start()
        theirs.close()
        loop.add_reader(self._channel, self._hear)
        loop.add_reader(self.process.sentinel, self._ended)

    def take(self, client: socket.socket) -> bool:
        """Give it a client; ``False`` when it cannot be given one now."""
        if not self.ready.done():
            return False
        try:
            socket.send_fds(self._channel, [CLIENT], [client.fileno()])
        except OSError:
            return False
        self.clients += 1
        return True

    def tell(self, word: bytes) -> None:
        """Say one of the words; who is gone does not hear it."""
        try:
            self._channel.send(word)
        except OSError as error:
            _log.debug("process %s does not hear: %s", self.process.pid, error)

    def _hear(self) -> None:
        try:
            words = self._channel.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            words = b""
        if READY in words:
            self.ready.set_result(None)
        self.clients -= words.count(LEFT)
        if not words:
            self._loop.remove_reader(self._channel)

    def _ended(self) -> None:
        self._loop.remove_reader(self.process.sentinel)
        self._loop.remove_reader(self._channel)
        self._channel.close()
        self.process.join()
        if not self.ready.done():
            self.ready.set_exception(
                SettingsError(
                    f"a process of the server ended with {self.process.exitcode}",
                    next_command="infra-gym serve, without --processes, tells why",
                )
            )
        self.gone.set_result(None)
