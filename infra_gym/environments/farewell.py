"""What happens to a stack whose environment nobody closed before Python ended: it is destroyed.

A training script that raises must not leave a cluster running. By the time exit handlers run,
Python starts no more threads, which a destroy needs; so another process does it. The workers of a
vector environment are no different: they end by ``multiprocessing``'s own handlers, and by a
SIGTERM when the script that made them ends first.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from multiprocessing.util import Finalize
from types import FrameType

from infra_gym.definitions.catalog import definition_ids
from infra_gym.environments.place import Place
from infra_gym.worlds.live import LiveWorld

# Terraform has deadlines of its own, which pass before this one.
_DEADLINE_S = 3 * 3600.0


class Farewell:
    """Has a live world's stack destroyed when Python ends, unless cancelled before.

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
            _exit_when_terminated()

    def cancel(self) -> None:
        """The world was closed."""
        atexit.unregister(self._destroy)
        if self._in_worker is not None:
            self._in_worker.cancel()

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
        print(f"{name} was not closed: destroying it.", file=sys.stderr, flush=True)  # noqa: T201
        self._world.close(keep=True)  # gives up the lock, which the other process needs
        subprocess.run(self.command, check=False, timeout=_DEADLINE_S)


def _exit_when_terminated() -> None:
    """Have a first SIGTERM end this process in order; a second one, at once."""

    def leave(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        sys.exit(128 + number)

    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, leave)
