"""The one place that starts Terraform: a process group of its own, and its gentle end.

A command that changes something writes to a file, never to a pipe: when the reader is killed,
Terraform goes on and finishes, and whoever comes next finds the whole story in the file. The
calling thread reads that file and hands the events on, so that callbacks run where the caller is.
Another thread starts the process and waits for it: the end is noticed at once, and no
KeyboardInterrupt, which only the main thread gets, can fall between the start and the watch.

A run is stopped by one SIGINT, on which Terraform finishes what it is in the middle of, writes its
state and releases its lock. A second would make it drop everything, so only SIGKILL comes after it.
What is left of its process group then is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

READ_EVERY_S = 0.02
_LAUNCH_DEADLINE_S = 5


class Process:
    """One program, alone with its children in a new session.

    Args:
        argv: Program and arguments.
        folder: The working directory.
        environ: The whole environment.
        file: Where its output goes; ``None``: into :attr:`output` and :attr:`complaint`.
        grace_s: Seconds between the gentle SIGINT and SIGKILL.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        environ: Mapping[str, str],
        file: IO[bytes] | None = None,
        grace_s: float,
    ) -> None:
        self.interrupted = False
        """Somebody asked it to stop."""
        self.timed_out = False
        """It passed its deadline."""
        self.returncode: int | None = None
        """After the end: 0 for success, negative for a signal, ``None`` when it never began."""
        self.seconds = 0.0
        """After the end: how long it ran."""
        self.error: OSError | None = None
        """After the end: why it could not be started."""
        self.output = b""
        self.complaint = b""
        self._argv, self._folder, self._environ, self._file = argv, folder, environ, file
        self._grace_s = grace_s
        self._lock = threading.RLock()  # a signal's handler may interrupt at any time
        self._launched = threading.Event()
        self._ended = threading.Event()
        self._popen: subprocess.Popen[bytes] | None = None
        self._kill_at: float | None = None

    def run(self, deadline_s: float, read: Callable[[], None] | None = None) -> None:
        """Start it; call ``read`` every 20 ms until the end; stop it when time is up.

        When ``read`` raises, or a signal does (KeyboardInterrupt, SystemExit), the process is
        stopped gently first; a second one kills it.
        """
        try:
            threading.Thread(target=self._live, name="terraform", daemon=True).start()
            self._follow(read, time.monotonic() + deadline_s)
        except BaseException:
            self.interrupted = True
            if self._launched.wait(_LAUNCH_DEADLINE_S):
                try:
                    self._stop()
                    self._follow(None, None)
                finally:
                    self._signal(signal.SIGKILL)
                    self._ended.wait()
            raise
        if read is not None:
            read()

    def interrupt(self) -> None:
        """Ask it to stop; asked again, kill it. Returns at once; safe from any thread."""
        with self._lock:
            again, self.interrupted = self.interrupted, True
            if again:
                self._signal(signal.SIGKILL)
            else:
                self._stop()

    def _live(self) -> None:
        started = time.monotonic()
        try:
            with self._lock:
                if not self.interrupted:
                    self._popen = self._launch()
            self._launched.set()
            if self._popen is not None:
                self.output, self.complaint = (told or b"" for told in self._popen.communicate())
                self.returncode = self._popen.returncode
                if self.interrupted or self.timed_out or self.returncode < 0:
                    # What a provisioner had begun must not go on behind anybody's back.
                    _signal_group(self._popen.pid, signal.SIGKILL)
        except OSError as error:
            self.error = error
        finally:
            self.seconds = time.monotonic() - started
            self._launched.set()
            self._ended.set()

    def _launch(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._argv,
            cwd=self._folder,
            env=dict(self._environ),
            stdin=subprocess.DEVNULL,
            stdout=self._file or subprocess.PIPE,
            stderr=self._file or subprocess.PIPE,
            start_new_session=True,
            umask=0o077,  # plans and local state hold secrets
        )

    def _follow(self, read: Callable[[], None] | None, deadline: float | None) -> None:
        while not self._ended.wait(READ_EVERY_S):
            now = time.monotonic()
            if deadline is not None and now > deadline and not self.timed_out:
                self.timed_out = True
                self._stop()
            if self._kill_at is not None and now > self._kill_at:
                self._signal(signal.SIGKILL)
            if read is not None:
                read()

    def _stop(self) -> None:
        """One gentle SIGINT, however often it is asked for; SIGKILL follows when grace is over."""
        with self._lock:
            if self._kill_at is None:
                self._kill_at = time.monotonic() + self._grace_s
                self._signal(signal.SIGINT)

    def _signal(self, number: signal.Signals) -> None:
        # Until it is waited for, its number cannot belong to anybody else.
        if self._popen is not None and self._popen.returncode is None:
            _signal_group(self._popen.pid, number)


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # gone; the latter: macOS, for a zombie
        return
