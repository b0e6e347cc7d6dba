"""A large batch in parts, which several threads take."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from numba.core.config import (  # type: ignore[attr-defined]  # made when it is imported
    NUMBA_NUM_THREADS,
)

PART = 1024
"""Environments in a part: a thread is longer with them than it takes to wake another one."""


def in_parts(size: int, work: Callable[[slice], object]) -> None:
    """Call ``work`` with slices of ``range(size)`` that are the whole together.

    This thread takes one part after the other, and so do others as soon as they are awake; where
    the processors are busy, it takes them all. There are as many threads as numba may use: one for
    each processor of this process, or ``NUMBA_NUM_THREADS``. ``work`` should spend its time in code
    that is compiled to run beside Python's other threads
    (:func:`~infra_gym.simulators.compilation.unlocked`).
    """
    if size < 2 * PART:
        work(slice(0, size))
        return
    parts = deque(slice(first, min(first + PART, size)) for first in range(0, size, PART))

    def take() -> None:
        while parts:
            try:
                part = parts.popleft()
            except IndexError:  # another one has taken it
                return
            work(part)

    helping = [_threads().submit(take) for _ in range(min(NUMBA_NUM_THREADS, len(parts)) - 1)]
    try:
        take()
    finally:
        parts.clear()  # after an error here
        asleep = [one for one in helping if not one.cancel()]
        for one in asleep:
            one.result()  # it may write yet to what the caller has


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, NUMBA_NUM_THREADS - 1), "infra-gym-batch")


os.register_at_fork(after_in_child=_threads.cache_clear)  # a forked process has no threads
