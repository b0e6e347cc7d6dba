"""Destroys what a worker that is gone has left, through its ledger.

The environments of worker 2 of ``demo`` are called ``demo-2``, and ``demo-2-XXXX`` after it was
replaced; so they are found by name, in whatever store holds the ledgers, by whoever comes next.
"""

from __future__ import annotations

import secrets

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from infra_gym.errors import StackLockedError
from infra_gym.settings import Settings
from infra_gym.stack import Stack
from infra_gym.stack.ledger import Ledger
from infra_gym.stack.lock import BEAT_S, DEAD_AFTER_S
from infra_gym.stack.storage import Storage, open_storage


def worker_name(base: str, number: int, *, replaced: bool = False) -> str:
    """The environment's name for a worker, or for who replaces it; no two are the same."""
    return f"{base}-{number}" + (f"-{secrets.token_hex(2)}" if replaced else "")


def left_by(storage: Storage, project: str, worker: str) -> list[str]:
    """The names under which anything of a worker lies, its replacements' included.

    Args:
        storage: Where state and ledgers lie.
        project: First part of all names.
        worker: The worker's first name, such as ``demo-2``.
    """
    start = f"infrastructure/{project}/"
    names = {key[len(start) :].partition("/")[0] for key in storage.keys(f"{start}{worker}")}
    return sorted(name for name in names if name == worker or name.startswith(f"{worker}-"))


def destroy_left(settings: Settings, worker: str) -> list[str]:
    """Destroy all that is left of a worker that is known to be dead, and return the names.

    On another machine a dead owner looks alive until its heartbeat is old enough; that is awaited.

    Args:
        settings: Whose project and store.
        worker: The worker's first name.

    Raises:
        InfraGymError: Something could not be destroyed.
    """
    storage = open_storage(settings)
    names = left_by(storage, settings.project, worker)
    for name in names:
        record = Ledger(storage, settings.project, name).stack()
        stack = Stack(
            layers=record.layers if record else (),
            target=record.target if record else settings.target,
            settings=settings,
            project=settings.project,
            environment=name,
        )
        for attempt in _while_it_looks_alive():
            with attempt:
                stack.destroy()
    return names


def _while_it_looks_alive() -> Retrying:
    return Retrying(
        retry=retry_if_exception_type(StackLockedError),
        stop=stop_after_delay(DEAD_AFTER_S + 3 * BEAT_S),
        wait=wait_fixed(BEAT_S / 2),
        reraise=True,
    )
