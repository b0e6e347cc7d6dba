"""Processes of a run, found by their working directory.

Whatever works inside a run's folder belongs to that run: its Terraform inside the layers' run
directories, the processes of local layers inside ``processes/``. So they are found again after any
crash, without a list that could be wrong. What hangs on a terminal is a person's, who looks around
there (none of a run's processes has one); and this process and its ancestors are never meant.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

_TERRAFORM = ("terraform", "tofu", "opentofu")  # or longer, such as terraform-1.11
_PROVIDER = "terraform-provi"
_NAME_LENGTH = 15  # what Linux keeps of a process's name
_STOP_S = 5.0
_POLL_S = 0.05


def processes_in(folder: Path) -> list[psutil.Process]:
    """All of a run's processes whose working directory is ``folder`` or lies in it."""
    inside, ours = folder.resolve(), _this_one_and_ancestors()
    found = []
    for process in psutil.process_iter():
        if process.pid in ours:
            continue
        with suppress(psutil.Error, OSError):
            # Linux marks a directory that was removed under a process.
            where = Path(process.cwd().removesuffix(" (deleted)"))
            if not where.is_relative_to(inside) or _has_terminal(process):
                continue
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def terraforms_in(folder: Path, program: str = "terraform") -> list[psutil.Process]:
    """The Terraform commands that work in ``folder``, without their providers and provisioners.

    Args:
        folder: A run's folder, or a layer's.
        program: The name of the program's file, where it is called something else.
    """
    names = (*_TERRAFORM, program[:_NAME_LENGTH])
    found = []
    for process in processes_in(folder):
        with suppress(psutil.Error):
            name = process.name()
            if name.startswith(names) and not name.startswith(_PROVIDER):
                found.append(process)
    return found


def end_terraforms(folder: Path, program: str = "terraform", *, grace_s: float) -> int:
    """End the Terraform of a dead run: one gentle SIGINT, then wait, then kill. Returns how many.

    Args:
        folder: The run's folder.
        program: As in :func:`terraforms_in`.
        grace_s: Seconds to wait; a Terraform that is killed loses what it was just making.
    """
    commands = terraforms_in(folder, program)
    family = [*commands]
    for command in commands:
        with suppress(psutil.Error):
            family += command.children(recursive=True)
            command.send_signal(signal.SIGINT)
    _wait(commands, grace_s)
    processes = (folder / "processes").resolve()
    for process in family:
        with suppress(psutil.Error, OSError):
            if process.is_running() and not Path(process.cwd()).is_relative_to(processes):
                process.kill()
    _wait(commands, _STOP_S)
    return len(commands)


def end_processes(folder: Path) -> list[str]:
    """End all processes in ``folder``, gently at first; returns what each was, for people."""
    ended: list[str] = []
    for _ in range(3):  # a supervisor may start one more while it is being ended
        processes = processes_in(folder)
        if not processes:
            break
        ended += [_describe(process) for process in processes]
        _signal(processes, signal.SIGTERM)
        alive = _wait(processes, _STOP_S)
        _signal(alive, signal.SIGKILL)
        _wait(alive, _STOP_S)
    return ended


def _has_terminal(process: psutil.Process) -> bool:
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:  # no Linux; psutil misses terminals opened after its first look
        return process.terminal() is not None
    return stat.rpartition(")")[2].split()[4] != "0"


def _this_one_and_ancestors() -> set[int]:
    this = psutil.Process()
    return {this.pid, *(process.pid for process in this.parents())}


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)


def _wait(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until the processes have ended; returns those that have not.

    One that has ended, and whose parent sleeps and does not notice, has ended.
    """
    deadline = time.monotonic() + seconds
    alive = [process for process in processes if _lives(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        alive = [process for process in alive if _lives(process)]
    return alive


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline()[:3])}"
    except psutil.Error:
        return str(process.pid)
