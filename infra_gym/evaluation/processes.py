"""Episodes in simulators, on all cores of this machine: a pool of processes, or none.

An episode depends on its agent, its load and its seed only, so it does not matter who plays it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice

from infra_gym.errors import WorldError
from infra_gym.evaluation.arena import Arena
from infra_gym.evaluation.evaluate import Case, Player, Result

_AT_ONCE = 4
"""Episodes that a process is given at a time: enough to hide the giving."""


@dataclass(frozen=True)
class Bout:
    """An episode to play, and where."""

    arena: Arena
    case: Case


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def play_bouts(
    bouts: Sequence[Bout], *, workers: int
) -> Generator[tuple[Bout, Result], None, None]:
    """Play all; they come back as they end. One worker is this process.

    Args:
        bouts: The episodes, in simulators.
        workers: Processes at once.

    Raises:
        InfraGymError: An episode failed, or a process died.
    """
    if workers == 1:
        players = _Players()
        for bout in bouts:
            yield bout, players.play(bout)
        return
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
    )
    try:
        given: dict[Future[list[Result]], list[Bout]] = {
            pool.submit(_play, part): part for part in _parts(bouts)
        }
        for ended in as_completed(given):
            yield from zip(given[ended], ended.result(), strict=True)
    except BrokenProcessPool as error:
        raise WorldError(
            "A process that played episodes died; perhaps there was too little memory.",
            next_command="try again with --workers 1",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _parts(bouts: Iterable[Bout]) -> Generator[list[Bout], None, None]:
    left = iter(bouts)
    while part := list(islice(left, _AT_ONCE)):
        yield part


class _Players:
    """One environment for each load, made with its first episode."""

    def __init__(self) -> None:
        self._players: dict[str, Player] = {}

    def play(self, bout: Bout) -> Result:
        key = repr(bout.arena)
        if key not in self._players:
            self._players[key] = Player(bout.arena, logs=False)
        return self._players[key].play(bout.case).result


_PLAYERS = _Players()  # of a process of the pool


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool


def _play(bouts: list[Bout]) -> list[Result]:
    return [_PLAYERS.play(bout) for bout in bouts]
