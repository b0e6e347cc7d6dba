"""A large batch in parts, which several threads take."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache

from numba.core.config import (  # type: ignore[attr-defined]  # made when it is imported
    NUMBA_NUM_THREADS,
)

PART = 1024
"""Environments in a part: a thread is longer with them than it takes to wake another one."""


def in_parts(size: int, work: Callable[[slice], object], threads: int = NUMBA_NUM_THREADS) -> None:
    """Call ``work`` with slices of ``range(size)`` that are the whole together.

    This thread takes one part after the other, and so do others as soon as they are awake; where
    the processors are busy, it takes them all. ``work`` should spend its time in code
    that is compiled to run beside Python's other threads
    (:func:`~infra_gym.simulators.compilation.unlocked`).

    Args:
        size: Environments.
        work: Nobody is at it any more when this returns or raises.
        threads: How many, with this one; left out, as many as numba may use: one for each processor
            of this process, or ``NUMBA_NUM_THREADS``.

    Raises:
        Exception: What ``work`` raises, here or in another thread; parts that nobody has taken are
            left then.
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

    helping: list[Future[None]] = []
    try:
        helping.extend(_pool(threads - 1).submit(take) for _ in range(min(threads, len(parts)) - 1))
        take()
    finally:
        parts.clear()  # after an error, here or there
        helping = [one for one in helping if not one.cancel()]
        wait(helping)  # they write to what the caller has
    for one in helping:
        one.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "infra-gym-batch")


os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has no threads
