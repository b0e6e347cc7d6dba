"""Applies that go on in the background, so that a slow layer holds up neither its tick nor others.

A layer runs one apply at a time. While it runs, the newest target replaces a queued one: an agent
that changes its mind three times during a node pool's growth causes one more apply, not three.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Job:
    """One apply of one layer."""

    layer: str
    inputs: Mapping[str, Any]
    refresh: bool = False


class BackgroundApplies:
    """Runs jobs, one thread a layer.

    Args:
        apply: Does one job; called from threads, for different layers at the same time.
    """

    def __init__(self, apply: Callable[[Job], object]) -> None:
        self._apply = apply
        self._changed = threading.Condition()
        self._running: dict[str, threading.Thread] = {}
        self._queued: dict[str, Job] = {}
        self._failures: list[BaseException] = []
        self._seconds = 0.0

    @property
    def pending(self) -> tuple[str, ...]:
        """Layers with an apply that is not done."""
        with self._changed:
            return tuple(sorted(self._running))

    def submit(self, job: Job) -> None:
        """Start the job, or have it follow the one that runs on the same layer."""
        with self._changed:
            if job.layer in self._running:
                self._queued[job.layer] = job
                return
            thread = threading.Thread(
                target=self._work, args=(job,), name=f"apply {job.layer}", daemon=True
            )
            thread.start()  # may be refused; and it cannot end before this lock is given up
            self._running[job.layer] = thread

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing runs, at most ``seconds``; whether nothing does."""
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while self._running:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                # Bounded, because a wait without end would not let Ctrl-C through everywhere.
                self._changed.wait(min(left, 1.0) if left is not None else 1.0)
            return True

    def drop_queued(self) -> None:
        """Forget the jobs that have not begun."""
        with self._changed:
            self._queued.clear()

    def forget_failures(self) -> bool:
        """Whether anything failed since the last call: a reset has to put it right."""
        with self._changed:
            failed, self._failures = bool(self._failures), []
        return failed

    def raise_failure(self) -> None:
        """Raise the first failure since the last call, if there was one."""
        with self._changed:
            failures, self._failures = self._failures, []
        if failures:
            raise failures[0]

    def take_seconds(self) -> float:
        """Seconds of the longest apply that ended since the last call."""
        with self._changed:
            seconds, self._seconds = self._seconds, 0.0
        return seconds

    def _work(self, job: Job | None) -> None:
        while job is not None:
            begin = time.monotonic()
            failure: BaseException | None = None
            try:
                self._apply(job)
            except Exception as error:  # noqa: BLE001 - a thread's error is raised by the next step
                failure = error
            job = self._end(job, time.monotonic() - begin, failure)

    def _end(self, job: Job, seconds: float, failure: BaseException | None) -> Job | None:
        with self._changed:
            self._seconds = max(self._seconds, seconds)
            if failure is not None:
                self._failures.append(failure)
                self._queued.pop(job.layer, None)
            following = self._queued.pop(job.layer, None)
            if following is None:
                del self._running[job.layer]
                self._changed.notify_all()
            return following
