"""Starts and stops programs under supervisor: the one door of the local layers to it.

Terraform's provisioners run it as a file, with what to do in the environment variable ``REQUEST``
(JSON), so that no path is ever quoted for a shell::

    keeper.py up      {"conf"}                     start the supervisor whose configuration that is
    keeper.py start   {"conf", "programs": [...]}  start those that do not run; with "surplus":
                                                   [names] also do what retire does
    keeper.py retire  {"conf", "names": [...]}     ask them to stop; do not wait
    keeper.py stop    {"conf", "names": [...]}     stop them, wait, remove their files
    keeper.py down    {"conf"}                     end everything, remove every file

A program is ``{"name", "command": [...], "port", "files": {name: text}, "wait": bool}``; its files,
its configuration and its log lie in ``programs/NAME`` beside the supervisor's configuration, and
the folder of that configuration is its working directory. ``wait`` waits until its port answers.

Every command may be repeated. ``retire``, ``stop`` and ``down`` also work when the supervisor is
dead; ``stop`` and ``down`` then end what it left behind (this needs psutil). The supervisor is
called over its XML-RPC socket: its own client takes longer to start than a scale-up takes in all.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NotRequired, TypedDict

DEADLINE_S = 30.0
GRACE_S = 5.0
POLL_S = 0.02
LOG_LINES = 8

# Faults and states of supervisor (supervisor/xmlrpc.py, supervisor/states.py).
SHUTTING_DOWN = 6
BAD_NAME = 10
NOT_RUNNING = 70
STILL_RUNNING = 91
RUNNING_STATE = 1

FAILURES = (OSError, http.client.HTTPException, xmlrpc.client.Error)
"""A supervisor that does not answer, or not in its language."""

SUPERVISOR_CONF = """\
[unix_http_server]
file = {socket}
chmod = 0700

[supervisord]
logfile = supervisord.log
logfile_maxbytes = 1MB
logfile_backups = 1
pidfile = supervisord.pid
nocleanup = true
umask = 077

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl = unix://{socket}

"""

# A crash loop goes on, with a pause that grows by a second each time, as a pod's does.
PROGRAM_INI = """\
[program:{name}]
command = {command}
autorestart = true
startsecs = 1
startretries = 1000000
stopwaitsecs = 30
redirect_stderr = true
stdout_logfile = programs/{name}/log
stdout_logfile_maxbytes = 1MB
stdout_logfile_backups = 0

"""

INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "TZ")
"""The supervisor and its programs see these only: no credential of Terraform's reaches them."""


class Program(TypedDict):
    """One program to run."""

    name: str
    command: list[str]
    port: int
    files: NotRequired[dict[str, str]]
    wait: NotRequired[bool]


class KeeperError(Exception):
    """What went wrong, and what to do; Terraform shows the text."""


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=DEADLINE_S)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(self._path)


class SocketTransport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: object) -> http.client.HTTPConnection:  # noqa: ARG002
        """A new connection for every call: supervisor closes them."""
        return SocketConnection(self._path)


class Supervisor:
    """A supervisor, by the path of its configuration; everything runs in that file's folder."""

    def __init__(self, conf: str) -> None:
        self.conf = Path(conf)
        self.folder = self.conf.parent
        self._rpc: Any = None

    def program_folder(self, name: str) -> Path:
        """Where a program's files lie."""
        return self.folder / "programs" / name

    def socket(self) -> str | None:
        """The path of its socket, or None when there is no configuration."""
        try:
            found = re.search(r"^file = (.+)$", self.conf.read_text(), re.MULTILINE)
        except OSError:
            return None
        return found[1].replace("%%", "%") if found else None

    def answers(self) -> bool:
        """Whether it lives, be it on its way out."""
        return self._state_code() is not None

    def alive(self) -> bool:
        """Whether it takes orders; call this before anything else."""
        return self._state_code() == RUNNING_STATE

    def _state_code(self) -> int | None:
        path = self.socket()
        if path is None:
            return None
        self._rpc = xmlrpc.client.ServerProxy(
            "http://localhost", transport=SocketTransport(path)
        ).supervisor
        try:
            return int(self._rpc.getState()["statecode"])
        except FAILURES:
            return None

    def call(self, method: str, *arguments: object, accept: Collection[int] = ()) -> Any:
        """Call it; a fault in ``accept`` gives None."""
        try:
            return getattr(self._rpc, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in accept:
                return None
            raise KeeperError(
                f"supervisor refused {method}{arguments}: {fault.faultString}"
            ) from fault

    def state(self, name: str) -> str | None:
        """A program's state in supervisor's words, or None when it is not known."""
        information = self.call("getProcessInfo", name, accept=(BAD_NAME,))
        return information["statename"] if information else None

    def add(self, name: str) -> None:
        """Start a program whose configuration has been written."""
        # Not by an [include]: supervisor would take a folder's name for a pattern. Terraform starts
        # several programs at once, hence the lock.
        with (self.folder / "programs" / "lock").open("w") as lock:
            wait_until(lambda: locked(lock), f"{lock.name} is held by another keeper all the time")
            head, _, _ = self.conf.read_text().partition("[program:")
            parts = [head]
            for path in sorted((self.folder / "programs").glob("*/program.ini")):
                with suppress(FileNotFoundError):  # retired meanwhile
                    parts.append(path.read_text())
            write(self.conf, "".join(parts))
            self.call("reloadConfig")
            self.call("addProcessGroup", name)

    def retire(self, name: str) -> None:
        """Ask a program to stop, for good; do not wait."""
        if self.call("stopProcess", name, False, accept=(BAD_NAME, NOT_RUNNING)) is None:
            # It has just crashed and would be started again, or it has stopped.
            self.call("removeProcessGroup", name, accept=(BAD_NAME, STILL_RUNNING))

    def forget(self, name: str) -> None:
        """Stop a program, wait for its end, and drop it."""
        self.retire(name)
        wait_until(
            lambda: self.state(name) not in ("RUNNING", "STARTING", "STOPPING"),
            f"{name} did not stop in {DEADLINE_S + GRACE_S:.0f} s",
        )
        self.call("removeProcessGroup", name, accept=(BAD_NAME,))


def locked(file: IO[str]) -> bool:
    """Whether a file's lock could be taken."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    """Wait for ``condition``. Raises :class:`KeeperError` with ``otherwise`` at the deadline."""
    deadline = time.monotonic() + DEADLINE_S + GRACE_S
    while not condition():
        if time.monotonic() > deadline:
            raise KeeperError(otherwise)
        time.sleep(POLL_S)


# --- what Terraform asks for ----------------------------------------------------------------------


def up(supervisor: Supervisor) -> None:
    """Start the supervisor, unless it runs."""
    if supervisor.alive():
        return
    if supervisor.conf.exists():
        end_leftovers(supervisor.folder)
    supervisor.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = socket_path(supervisor.folder)
    supervisor.conf.write_text(SUPERVISOR_CONF.format(socket=path.replace("%", "%%")))
    started = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", supervisor.conf.name],
        cwd=supervisor.folder,
        env={name: os.environ[name] for name in INHERITED if name in os.environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    if started.returncode:
        problem = (started.stdout + started.stderr).strip()
        raise KeeperError(f"supervisor does not start in {supervisor.folder}: {problem}")
    wait_until(supervisor.alive, f"supervisor does not answer at {path}")


def socket_path(folder: Path) -> str:
    """A short path outside the folder: a socket's name may have about 100 bytes."""
    import hashlib
    import tempfile

    name = f"infra-gym-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}.sock"
    path = f"{tempfile.gettempdir()}/{name}"
    return path if len(path.encode()) < 90 else f"/tmp/{name}"  # noqa: S108 - mode 0700, hashed name


def start(supervisor: Supervisor, programs: Sequence[Program], surplus: Sequence[str] = ()) -> None:
    """Start the programs that do not run, or run with other settings; retire ``surplus``."""
    if not supervisor.alive():
        raise KeeperError(
            f"the supervisor of {supervisor.folder} is not running; "
            "destroy this layer and local/core, then apply them again"
        )
    retire(supervisor, surplus)
    for program in programs:
        start_one(supervisor, program)


def start_one(supervisor: Supervisor, program: Program) -> None:
    """Start one program."""
    name = program["name"]
    settings = PROGRAM_INI.format(name=name, command=quote(program["command"]))
    files = {
        supervisor.program_folder(name) / file: text
        for file, text in {**program.get("files", {}), "program.ini": settings}.items()
    }
    state = supervisor.state(name)
    unchanged = all(path.exists() and path.read_text() == text for path, text in files.items())
    if not (unchanged and state in ("RUNNING", "STARTING", "BACKOFF")):
        if state is not None:
            supervisor.forget(name)
        require_free(name, program["port"])
        for path, text in files.items():
            write(path, text)
        supervisor.add(name)
    if program.get("wait"):
        await_port(supervisor, program)


def quote(command: Sequence[str]) -> str:
    """A command line for supervisor's INI file, in which % and a comment sign have a meaning."""
    line = shlex.join(command).replace("%", "%%")
    return re.sub(r"(?<=\s)([;#])", r"""'"\1"'""", line)


def write(path: Path, text: str) -> None:
    """Write a file in one go: nobody finds half of it, even after a kill."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


def require_free(name: str, port: int) -> None:
    """Refuse a port that somebody listens on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise KeeperError(
                f"{name} cannot have port {port} of 127.0.0.1: {error.strerror}. "
                "Stop what uses it, or give this layer another 'port'"
            ) from error


def await_port(supervisor: Supervisor, program: Program) -> None:
    """Wait until a program answers; when it does not, stop it and show its last words."""
    name = program["name"]

    def answers() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", program["port"]), 1):
            return True
        if supervisor.state(name) in ("BACKOFF", "EXITED", "FATAL"):
            raise KeeperError(f"{name} does not start: {last_words(supervisor, name)}")
        return False

    try:
        wait_until(answers, f"{name} does not answer at port {program['port']}")
    except KeeperError:
        # Terraform runs no destroy-time provisioner for what it could not create.
        supervisor.forget(name)
        raise


def last_words(supervisor: Supervisor, name: str) -> str:
    """The end of a program's log."""
    try:
        log = (supervisor.program_folder(name) / "log").read_text(errors="replace")
    except OSError as error:
        return f"no log ({error.strerror})"
    return "\n".join(log.strip().splitlines()[-LOG_LINES:]) or "it said nothing"


def retire(supervisor: Supervisor, names: Sequence[str]) -> None:
    """Ask programs to stop, without waiting, and see that they are never started again."""
    alive = supervisor.alive()
    for name in names:
        (supervisor.program_folder(name) / "program.ini").unlink(missing_ok=True)
        if alive:
            supervisor.retire(name)


def stop(supervisor: Supervisor, names: Sequence[str]) -> None:
    """Stop programs, wait for their end, and remove their files."""
    retire(supervisor, names)
    if supervisor.alive():
        for name in names:
            supervisor.forget(name)
    else:
        end_leftovers(supervisor.folder, names)
    for name in names:
        shutil.rmtree(supervisor.program_folder(name), ignore_errors=True)


def down(supervisor: Supervisor) -> None:
    """End the supervisor and all that it runs; remove every file and, when empty, the folder."""
    if supervisor.answers():
        supervisor.call("shutdown", accept=(SHUTTING_DOWN,))
        wait_until(lambda: not supervisor.answers(), "supervisor did not shut down")
    end_leftovers(supervisor.folder)
    Path(supervisor.socket() or socket_path(supervisor.folder)).unlink(missing_ok=True)
    shutil.rmtree(supervisor.folder / "programs", ignore_errors=True)
    for file in (supervisor.conf, *supervisor.folder.glob("supervisord.*")):
        file.unlink(missing_ok=True)
    with suppress(OSError):  # whatever else lies there is somebody else's
        supervisor.folder.rmdir()


# --- what a dead supervisor left ------------------------------------------------------------------


def end_leftovers(folder: Path, names: Sequence[str] | None = None) -> None:
    """End the processes that run in ``folder``: all, or the programs of these names."""
    import site

    site.main()  # the provisioners skip it, because it takes longer than a scale-up's calls
    try:
        import psutil
    except ImportError as error:
        raise KeeperError(
            f"psutil is missing; type: {sys.executable} -m pip install psutil"
        ) from error

    def found() -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.pid != os.getpid() and Path(process.cwd()) == folder.resolve():
                    name = process.environ().get("SUPERVISOR_PROCESS_NAME")
                    if names is None or name in names:
                        yield process

    def lives(process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            # One that has ended may stay as a zombie: its parent is gone.
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return False

    processes = list(found())
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with suppress(psutil.Error):
                process.send_signal(number)
        deadline = time.monotonic() + GRACE_S
        while (processes := list(filter(lives, processes))) and time.monotonic() < deadline:
            time.sleep(POLL_S)


COMMANDS: dict[str, Callable[..., None]] = {
    "up": up,
    "start": start,
    "retire": retire,
    "stop": stop,
    "down": down,
}


def main(arguments: Sequence[str]) -> int:
    """Do one command; returns the exit status."""
    request = json.loads(os.environ["REQUEST"])
    supervisor = Supervisor(request.pop("conf"))
    try:
        COMMANDS[arguments[0]](supervisor, **request)
    except (KeeperError, *FAILURES, subprocess.TimeoutExpired) as error:
        print(f"{arguments[0]}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
