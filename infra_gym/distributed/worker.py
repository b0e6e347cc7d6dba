"""What runs in a Ray actor: a player, and the end of what its predecessor left."""

from __future__ import annotations

import signal
import warnings
from dataclasses import replace

from infra_gym.distributed.cluster import library
from infra_gym.distributed.leftovers import destroy_left, worker_name
from infra_gym.errors import InfraGymError
from infra_gym.evaluation.arena import Arena
from infra_gym.evaluation.evaluate import Case, Played, Player
from infra_gym.settings import Settings


class Worker:
    """Plays the cases that it is given, in an environment under a name of its own.

    When Ray restarts it after its process or machine was lost, what it had made is destroyed
    first, and it goes on under another name.

    Args:
        arena: Which environment; its name is the base of the workers' names.
        number: The worker's, counted from 1.
    """

    def __init__(self, arena: Arena, number: int) -> None:
        hear_interrupts()
        name = worker_name(str(arena.environment), number)
        self._lost: tuple[str, ...] = ()
        if was_replaced():
            self._lost = (f"Worker {number} was lost and replaced.",)
            if arena.is_live:
                self._lost += tuple(end_of(arena.settings(), name))
            name = worker_name(str(arena.environment), number, replaced=True)
        self._player = Player(arena.named(name) if arena.has_log else arena, number)

    def ready(self) -> None:
        """Answers once the actor is there."""

    def play(self, case: Case) -> Played:
        """See :meth:`infra_gym.evaluation.evaluate.Player.play`; tells once what was lost."""
        hear_interrupts()
        played = replace(self._player.play(case), lost=self._lost)
        self._lost = ()
        return played

    def stop(self) -> None:
        """See :meth:`infra_gym.evaluation.evaluate.Player.stop`; while another call runs."""
        self._player.stop()

    def close(self) -> None:
        """See :meth:`infra_gym.evaluation.evaluate.Player.close`."""
        hear_interrupts()
        self._player.close()


def hear_interrupts() -> None:
    """Have the programs that this thread starts hear a SIGINT, by which Terraform is stopped.

    Ray starts its workers with that signal blocked, and children inherit what is blocked.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def was_replaced() -> bool:
    """Whether Ray restarted this actor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(library().get_runtime_context().was_current_actor_reconstructed)


def end_of(settings: Settings, worker: str) -> list[str]:
    """Destroy what a dead worker left, and tell it; also what could not be destroyed."""
    try:
        names = destroy_left(settings, worker)
    except InfraGymError as error:
        return [f"What it left could not be destroyed yet: {error}"]
    return [f"Destroyed what it left: {settings.project}/{name}." for name in names]
