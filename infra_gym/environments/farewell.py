"""What happens to a stack whose environment nobody closed before Python ended: it is destroyed.

A training script that raises, or is told to end by SIGTERM or SIGHUP, must not leave a cluster
running. By the time exit handlers run, Python starts no more threads, which a destroy needs; so
another process does it. The workers of a vector environment are no different: they end by
``multiprocessing``'s own handlers, and by a SIGTERM when the script that made them ends first.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.util import Finalize
from types import FrameType
from typing import Any

from infra_gym.definitions.catalog import definition_ids
from infra_gym.environments.place import Place
from infra_gym.worlds.live import LiveWorld


class Farewell:
    """Has a live world's stack destroyed when Python ends, unless cancelled before.

    Until then a SIGTERM or SIGHUP ends Python in order, where nobody handles it otherwise.

    Args:
        definition: The environment's id.
        place: Its names and target.
        world: What is given up.
    """

    def __init__(self, definition: str, place: Place, world: LiveWorld) -> None:
        self._definition = definition
        self._place = place
        self._world = world
        self._process = os.getpid()
        self._in_worker: Finalize | None = None
        if multiprocessing.parent_process() is None:
            atexit.register(self._destroy)
        else:
            self._in_worker = Finalize(None, self._destroy, exitpriority=0)
        _orderly_end.begin(self)

    def cancel(self) -> None:
        """The world was closed."""
        atexit.unregister(self._destroy)
        if self._in_worker is not None:
            self._in_worker.cancel()
        _orderly_end.cancel(self)

    @property
    def command(self) -> list[str]:
        """What destroys the stack, by its ledger; an id helps where that has nothing yet."""
        is_known = self._definition in definition_ids()  # not one of a file that lies elsewhere
        return [
            sys.executable, "-m", "infra_gym", "layers", "destroy",
            *([self._definition] if is_known else []),
            "--target", self._place.target,
            "-p", self._place.project,
            "-e", self._place.environment,
            "--quiet",
        ]  # fmt: skip

    def _destroy(self) -> None:
        # A fork of the owner, or a run that was refused: the stack is not its to destroy.
        if os.getpid() != self._process or not self._world.stack.acquired:
            return
        name = f"{self._place.project}/{self._place.environment}"
        _orderly_end.disregard()
        with suppress(OSError):  # the terminal may be gone
            print(f"{name} was not closed: destroying it.", file=sys.stderr, flush=True)  # noqa: T201
        self._world.close(keep=True)  # gives up the lock, which the other process needs
        # In a session of its own it outlives its terminal, and a SIGKILL to this process.
        destroying = subprocess.Popen(self.command, start_new_session=True)
        while True:
            try:
                destroying.wait()
                break
            except KeyboardInterrupt:
                destroying.send_signal(signal.SIGINT)


_Handler = Callable[[int, FrameType | None], Any] | signal.Handlers


class _OrderlyEnd:
    """A first SIGTERM or SIGHUP ends Python by SystemExit while there is anything to destroy.

    Without it Python would be gone at once, and nothing destroyed. A handler that is somebody
    else's stays, and so does a signal that is ignored, as SIGHUP by nohup.
    """

    def __init__(self) -> None:
        self._open: set[Farewell] = set()
        self._process = 0

    def begin(self, farewell: Farewell) -> None:
        if self._process != os.getpid():
            self._open.clear()  # they are of the process that this one is a fork of
        self._open.add(farewell)
        self._process = os.getpid()
        self._replace(signal.SIG_DFL, self._leave)

    def cancel(self, farewell: Farewell) -> None:
        self._open.discard(farewell)
        if not self._open:
            self._replace(self._leave, signal.SIG_DFL)

    def disregard(self) -> None:
        """From now on there is nothing that these signals could ask for: it is being done."""
        for mine in (self._leave, signal.SIG_DFL):
            self._replace(mine, self._nothing)

    def _replace(self, old: _Handler, new: _Handler) -> None:
        if threading.current_thread() is threading.main_thread():  # Python allows no other
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) == old:
                    signal.signal(number, new)

    def _leave(self, number: int, _frame: FrameType | None) -> None:
        # Nothing to destroy: a fork of the owner, or somebody put this handler back later.
        if os.getpid() != self._process or not self._open:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        # A second SIGTERM means at once; a terminal that closes sends more than one SIGHUP.
        signal.signal(number, self._nothing if number == signal.SIGHUP else signal.SIG_DFL)
        sys.exit(128 + number)

    def _nothing(self, *_: object) -> None:
        """A handler, because a signal that is ignored is ignored in programs started later, too."""


_orderly_end = _OrderlyEnd()
