"""Before a run begins: end what a dead run left; refuse where locks cannot be trusted."""

from __future__ import annotations

import json
import socket

from infra_gym.errors import StackLockedError
from infra_gym.settings import Settings
from infra_gym.stack.leftovers import end_terraforms
from infra_gym.stack.lock import StackLock
from infra_gym.stack.run_directory import RunFolder
from infra_gym.stack.storage import Storage

_STATE_LOCK = ".tflock"


def end_dead_run(
    storage: Storage,
    folder: RunFolder,
    prefix: str,
    *,
    grace_s: float,
    program: str = "terraform",
    any_host: bool = False,
) -> None:
    """End the Terraform of a dead run on this machine, and remove the state locks that it left.

    Call it only while holding the stack's lock.

    Args:
        storage: Where the state lies.
        folder: The run's folder on this machine.
        prefix: What the keys of the environment's objects begin with.
        grace_s: Seconds that a Terraform gets to stop by itself.
        program: The name of Terraform's file.
        any_host: Remove state locks made on other machines, too; whether their Terraform has ended
            cannot be seen from here.
    """
    end_terraforms(folder.root, program, grace_s=grace_s)
    for key in storage.keys(f"{prefix}state/"):
        if key.endswith(_STATE_LOCK) and (any_host or _made_here(storage.read(key))):
            storage.delete(key)


def refuse_parallel_use(
    settings: Settings, storage: Storage, project: str, environment: str
) -> None:
    """Make sure that this is the only run in a bucket whose locks are known not to hold.

    Raises:
        StackLockedError: Another run goes on in the bucket.
    """
    if settings.state.backend == "local":
        return
    from infra_gym.clouds.buckets import known_verdict  # boto3 is slow to import

    verdict = known_verdict(settings)
    if verdict is None or verdict.locks_hold:
        return
    others = {
        tuple(key.split("/")[1:3]) for key in storage.keys("infrastructure/") if _is_lock(key)
    }
    for other_project, other_environment in sorted(others - {(project, environment)}):
        lock = StackLock(storage, other_project, other_environment)
        holder = lock.holder()
        if holder is not None and lock.is_alive(holder, watch=True):
            raise StackLockedError(
                f"The locks of bucket {settings.state.bucket} do not hold (checked "
                f"{verdict.checked}), so only one run at a time may use it; "
                f"{other_project}/{other_environment} is used by {holder}.",
                environment=f"{project}/{environment}",
                next_command="wait until that run ends, or use a store whose locks hold "
                "(infra-gym backend check tells)",
            )


def _is_lock(key: str) -> bool:
    parts = key.split("/")
    return len(parts) == 5 and parts[3] == "lock"


def _made_here(lock: bytes | None) -> bool:
    """Whether Terraform on this host made the state lock."""
    try:
        who = str(json.loads(lock or b"")["Who"])
    except (ValueError, KeyError, TypeError):
        return False
    return who.rpartition("@")[2] == socket.gethostname()
