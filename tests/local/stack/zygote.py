"""Lives of a stack that end where the test wants: a program that forks a child for each.

Reads one JSON object a line: ``data_folder``, ``layers``, ``binary``, ``actions`` (each a list: the
method and its arguments), ``die_at``. Counts the *points* of the life, which are the moments before
and after every change of ledger and lock, and every event of Terraform; at the point ``die_at`` the
child kills itself with SIGKILL. Answers with one JSON object a line: ``signal``, ``exit``,
``points``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

from infra_gym.settings import Settings
from infra_gym.stack import Stack
from infra_gym.stack.storage import FolderStorage
from infra_gym.terraform.command import Deadlines, Terraform

LAYERS = Path(__file__).resolve().parents[1] / "stack_layers"


class Life:
    """Counts points, and ends at one of them."""

    def __init__(self, die_at: int, told: int) -> None:
        self._die_at = die_at
        self._told = told
        self._points = 0
        self._lock = threading.Lock()

    def point(self) -> None:
        with self._lock:
            self._points += 1
            os.pwrite(self._told, str(self._points).encode(), 0)
            if self._points == self._die_at:
                self.die()

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class DyingStorage(FolderStorage):
    """A folder whose changes are points of a life."""

    def __init__(self, path: Path, life: Life) -> None:
        super().__init__(path)
        self._life = life

    def write(self, key: str, data: bytes) -> None:
        self._life.point()
        super().write(key, data)
        self._life.point()

    def create(self, key: str, data: bytes) -> bool:
        self._life.point()
        created = super().create(key, data)
        self._life.point()
        return created

    def delete(self, key: str) -> None:
        self._life.point()
        super().delete(key)
        self._life.point()


def live(order: dict, told: int) -> None:
    life = Life(order["die_at"], told)
    folder = Path(order["data_folder"])
    stack = Stack(
        layers=order["layers"],
        target="local",
        settings=Settings(data_folder=folder),
        project="p",
        environment="e",
        terraform=Terraform(order["binary"], deadlines=Deadlines(grace_s=20)),
        storage=DyingStorage(folder / "state", life),
        layer_folder=lambda name: LAYERS / name,
        on_event=lambda layer, event: life.point(),
    )
    with stack:
        for name, *arguments in order["actions"]:
            if name == "apply":
                stack.apply(inputs=arguments[0])
            elif name == "apply_layer":
                stack.apply_layer(arguments[0], arguments[1], refresh=False)
            else:
                stack.destroy()


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        told = os.memfd_create("points") if hasattr(os, "memfd_create") else _temporary()
        child = os.fork()
        if child == 0:
            code = 0
            try:
                live(order, told)
            except BaseException:  # noqa: BLE001  the child ends here, whatever it was
                traceback.print_exc()
                code = 1
            os._exit(code)
        status = os.waitpid(child, 0)[1]
        points = int(os.pread(told, 20, 0) or b"0")
        os.close(told)
        answer = {
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "points": points,
        }
        print(json.dumps(answer), flush=True)


def _temporary() -> int:
    import tempfile

    descriptor, name = tempfile.mkstemp()
    Path(name).unlink()
    return descriptor


if __name__ == "__main__":
    main()
