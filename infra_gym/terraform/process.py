"""The one place that starts Terraform: a process group of its own, and its gentle end.

A command that changes something writes to a file, never to a pipe: when the reader is killed,
Terraform goes on and finishes, and whoever comes next finds the whole story in the file. The
calling thread reads that file and hands the events on, so that callbacks run where the caller is;
another thread waits for the end, so that it is noticed at once.

A run is stopped by one SIGINT, on which Terraform finishes what it is in the middle of, writes its
state and releases its lock. A second would make it drop everything, so only SIGKILL comes after it.
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


class Process:
    """One running program, alone with its children in a new session.

    Args:
        argv: Program and arguments.
        folder: The working directory.
        environ: The whole environment.
        stdout, stderr: As for :class:`subprocess.Popen`.
        grace_s: Seconds between the gentle SIGINT and SIGKILL.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        environ: Mapping[str, str],
        stdout: int | IO[bytes],
        stderr: int | IO[bytes],
        grace_s: float,
    ) -> None:
        self.interrupted = False
        self.timed_out = False
        self._grace_s = grace_s
        self._kill_at: float | None = None
        self._lock = threading.Lock()
        self._popen = subprocess.Popen(
            argv,
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            umask=0o077,  # plans and local state hold secrets
        )
        self._ended = threading.Event()
        self._started = time.monotonic()

    def interrupt(self) -> None:
        """Ask it to stop; asked again, kill it. Returns at once; safe from any thread."""
        with self._lock:
            again, self.interrupted = self.interrupted, True
        self._stop(at_once=again)

    def communicate(self, deadline_s: float) -> tuple[bytes, bytes]:
        """All that a short command that changes nothing writes to its pipes."""
        try:
            return self._popen.communicate(timeout=deadline_s)
        except subprocess.TimeoutExpired:
            self.timed_out = True
            self._signal(signal.SIGKILL)
            return self._popen.communicate()
        except BaseException:
            self._signal(signal.SIGKILL)
            self._popen.communicate()
            raise

    def follow(self, read: Callable[[], None], deadline_s: float) -> None:
        """Call ``read`` until the end and once after it; stop the process when time is up.

        When ``read`` raises, or a KeyboardInterrupt comes, the process is stopped gently first; a
        second KeyboardInterrupt kills it.
        """
        threading.Thread(target=self._wait, name="terraform-wait", daemon=True).start()
        try:
            self._follow(read, time.monotonic() + deadline_s)
        except BaseException:
            self.interrupted = True
            try:
                self._stop(at_once=False)
                self._follow(_nothing, None)
            finally:
                self._signal(signal.SIGKILL)
                self._ended.wait()
            raise
        read()

    @property
    def seconds(self) -> float:
        """Since its start."""
        return time.monotonic() - self._started

    @property
    def returncode(self) -> int:
        """0 for success, negative for a signal."""
        return self._popen.returncode

    def _follow(self, read: Callable[[], None], deadline: float | None) -> None:
        while not self._ended.wait(READ_EVERY_S):
            now = time.monotonic()
            if deadline is not None and now > deadline and not self.timed_out:
                self.timed_out = True
                self._stop(at_once=False)
            if self._kill_at is not None and now > self._kill_at:
                self._signal(signal.SIGKILL)
            read()

    def _stop(self, *, at_once: bool) -> None:
        with self._lock:
            first = self._kill_at is None
            if first:
                self._kill_at = time.monotonic() + self._grace_s
        if at_once:
            self._signal(signal.SIGKILL)
        elif first:
            self._signal(signal.SIGINT)

    def _signal(self, number: signal.Signals) -> None:
        # Until it is waited for, its number cannot belong to anybody else.
        if self._popen.returncode is None:
            try:
                os.killpg(self._popen.pid, number)
            except (ProcessLookupError, PermissionError):  # the latter: macOS, for a zombie
                return

    def _wait(self) -> None:
        self._popen.wait()
        self._ended.set()


def _nothing() -> None:
    """Read nothing more."""
