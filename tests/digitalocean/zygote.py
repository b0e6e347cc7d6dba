"""Lives of a do stack, and sweeps after them: a program that forks a child for each.

Reads one JSON object a line. With ``sweep``: runs ``infra-gym sweep`` with these arguments. Else a
life: applies the layers, changes the number of nodes, destroys all; it counts its *points* as
tests/local/stack/zygote.py does, and at the point ``die_at`` the child is killed with SIGKILL, with
``terraform`` its Terraform and providers, too. ``environ`` are the child's variables. Answers with
one JSON object a line: ``number``, ``signal``, ``exit``, ``points``, and what was ``told``, which
goes to the file ``output``.
"""

from __future__ import annotations

import json
import os
import select
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pydo  # noqa: F401  here once, for all children

from infra_gym.cli.main import app
from infra_gym.settings import load_settings
from infra_gym.stack import Stack
from infra_gym.terraform.command import Terraform
from tests.local.stack.zygote import DyingStorage, Life

LAYERS = ("do/core", "do/managed-k8s")


class DoLife(Life):
    """One whose Terraform may have to die with it."""

    def __init__(self, die_at: int, told: int, *, terraform: bool) -> None:
        super().__init__(die_at, told)
        self._terraform = terraform

    def die(self) -> None:
        """Kill what runs below first: nothing may notice and write down the end."""
        if self._terraform:
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # it may end in this moment
                    process.kill()
        super().die()


def live(order: dict[str, Any], told: int) -> None:
    life = DoLife(order["die_at"], told, terraform=order["terraform"])
    settings = load_settings()
    stack = Stack(
        layers=LAYERS,
        target="do",
        settings=settings,
        project="p",
        environment="e",
        terraform=Terraform(settings.binary),
        storage=DyingStorage(settings.data_folder / "state", life),
        on_event=lambda layer, event: life.point(),
    )
    with stack:
        stack.apply()
        stack.apply_layer("managed-k8s", {"nodes": 2}, refresh=False)
        stack.destroy()


def child(order: dict[str, Any], told: int, output: Path) -> None:
    """Do as ordered, and end the process."""
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    code = 1
    os.environ.update(order["environ"])
    os.chdir(order["environ"]["INFRA_GYM_DATA_FOLDER"])
    try:
        if "sweep" in order:
            code = int(app(["sweep", *order["sweep"]], standalone_mode=False) or 0)
        else:
            live(order, told)
            code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001  the child ends here, whatever it was
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Nursery:
    """The children that live."""

    def __init__(self) -> None:
        self._living: dict[int, tuple[int, int, Path]] = {}

    def fork(self, order: dict[str, Any]) -> None:
        points, output = os.memfd_create("points"), Path(order["output"])
        pid = os.fork()
        if pid == 0:
            child(order, points, output)
        self._living[pid] = (order["number"], points, output)

    def tell_of_the_dead(self) -> None:
        for pid, (number, points, output) in [*self._living.items()]:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._living[pid]
                answer = {
                    "number": number,
                    "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
                    "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
                    "points": int(os.pread(points, 20, 0) or b"0"),
                    "told": output.read_text(),
                }
                os.close(points)
                sys.stdout.write(json.dumps(answer) + "\n")
                sys.stdout.flush()


def main() -> None:
    nursery, rest = Nursery(), b""
    while True:
        if select.select([0], [], [], 0.05)[0]:
            read = os.read(0, 65536)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                nursery.fork(json.loads(line))
        nursery.tell_of_the_dead()


if __name__ == "__main__":
    main()
