"""What runs left behind: stacks, and things in the cloud account, that are nobody's any more.

Two sources are joined. The ledgers of the state backend say of each stack whether its run lives,
and until when it may be there. Names in the cloud account carry their expiry, and tell which stack
they belong to. What is in no ledger that can be seen from here, and not expired, may be a
colleague's: it is told, and never swept unless it is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from infra_gym.clouds.digitalocean_runs import (
    CloudRun,
    Lister,
    Thing,
    destroy_run,
    digest_of,
    find_runs,
)
from infra_gym.errors import CloudError, InfraGymError, StackError, StackLockedError
from infra_gym.stack.ledger import Ledger, StackRecord
from infra_gym.stack.lock import Owner, StackLock
from infra_gym.stack.storage import Storage
from infra_gym.stack.strays import CORE, title_of
from infra_gym.terraform.backends import environment_prefix

Verdict = Literal["live", "kept", "expired", "dead", "unknown", "unreadable"]
"""``live``: its run goes on. ``kept``: left standing on purpose, and not expired. ``expired``: past
its expiry, and no run works on it. ``dead``: its run is gone and did not give it back. ``unknown``:
in the account, in no ledger that can be seen, and not expired; or states without a ledger.
``unreadable``: its ledger or lock cannot be understood."""

ORPHANS: tuple[Verdict, ...] = ("expired", "dead")
"""What a sweep destroys without being told more."""

_ROOT = "infrastructure/"
_KEPT = ("ledger", "lock", "state")
"""What lies of an environment in the store."""


@dataclass(frozen=True)
class Leftover:
    """One stack, or what is left of one.

    Attributes:
        verdict: See :data:`Verdict`.
        expires: When it counts as forgotten, where that is known.
        project: The project, where a ledger tells.
        environment: The environment's name, where a ledger tells.
        record: The ledger's record.
        owner: Who works, or worked, on it.
        cloud: What it has in the cloud account.
    """

    verdict: Verdict
    expires: datetime | None
    project: str | None = None
    environment: str | None = None
    record: StackRecord | None = None
    owner: Owner | None = None
    cloud: tuple[CloudRun, ...] = ()

    @property
    def name(self) -> str:
        """``PROJECT/ENVIRONMENT``, else the name of its things in the cloud."""
        return f"{self.project}/{self.environment}" if self.project else self.cloud[0].name

    @property
    def has_ledger(self) -> bool:
        """Whether there is a ledger, and it can be understood."""
        return self.project is not None and self.verdict != "unreadable"


def find_leftovers(
    storage: Storage, runs: Iterable[CloudRun], *, moment: datetime
) -> list[Leftover]:
    """All stacks that a ledger tells of, and all runs in the account, the earliest expiry first.

    Args:
        storage: Where the ledgers lie.
        runs: What there is in the cloud account.
        moment: The time now.
    """
    by_digest: dict[str, list[CloudRun]] = {}
    for run in runs:
        by_digest.setdefault(run.digest, []).append(run)
    found = []
    for project, environment in _recorded(storage):
        same = by_digest.get(digest_of(project, environment), [])
        try:
            one = _judge(storage, project, environment, same, moment)
        except StackError:  # one that cannot be read must not keep the others
            one = Leftover("unreadable", None, project, environment, cloud=tuple(same))
        if one is not None:
            same[:] = [run for run in same if run not in one.cloud]
            found.append(one)
    for run in (run for others in by_digest.values() for run in others):
        verdict: Verdict = "expired" if run.expires < moment else "unknown"
        found.append(Leftover(verdict, run.expires, cloud=(run,)))
    return sorted(found, key=lambda one: (one.expires or moment, one.name))


def choose(
    leftovers: Sequence[Leftover], names: Sequence[str], *, expired_only: bool
) -> list[Leftover]:
    """What is to be destroyed.

    Args:
        leftovers: All of them.
        names: Names that were given; these are destroyed whatever their verdict. None: the orphans.
        expired_only: Leave the dead that are not expired.

    Raises:
        KeyError: A name that is none of theirs; its argument is the name.
    """
    if not names:
        verdicts = ("expired",) if expired_only else ORPHANS
        return [one for one in leftovers if one.verdict in verdicts]
    by_name = {one.name: one for one in leftovers}
    by_name |= {run.name: one for one in leftovers for run in one.cloud}
    chosen = [by_name[name] for name in names]
    return [one for one in leftovers if one in chosen]


def destroy_leftover(
    one: Leftover,
    *,
    account: Lister | None,
    destroy_stack: Callable[[], object],
    on_gone: Callable[[Thing], None] | None = None,
) -> None:
    """Destroy one: by its ledger, which knows the order; then what remains in the account.

    Where the ledger's destroy fails, all of it that is in the account is deleted there, and the
    ledger's is tried once more: it finds nothing left, and forgets the stack.

    Args:
        one: What is to go.
        account: The account; ``None``: only what the ledger knows.
        destroy_stack: Destroys it by its ledger.
        on_gone: Called with each thing whose deletion the account accepted.

    Raises:
        InfraGymError: Something is left, or cannot be seen.
    """
    problem: InfraGymError | None = None
    if one.has_ledger:
        try:
            destroy_stack()
        except StackLockedError:
            raise  # somebody works on it after all
        except InfraGymError as error:
            problem = error
    if account is not None:
        _destroy_in_account(account, one.cloud, on_gone)
    if problem is not None:
        if account is None or not one.cloud:
            raise problem
        destroy_stack()
    if one.verdict == "unreadable":
        raise _unreadable(one)


def _destroy_in_account(
    account: Lister, runs: Sequence[CloudRun], on_gone: Callable[[Thing], None] | None
) -> None:
    """Delete all that is left of the runs.

    Raises:
        CloudError: Something is left, or there may be what cannot be listed.
    """
    unseen: dict[str, CloudError] = {}
    names = {run.name for run in runs}
    if not runs:
        return
    for run in find_runs(account, before=runs, on_problem=unseen.__setitem__):
        if run.name in names:
            unseen |= destroy_run(account, run, on_gone=on_gone)
    if unseen:
        raise unlisted(unseen)


def unlisted(problems: Mapping[str, CloudError]) -> CloudError:
    """The error of kinds that cannot be listed: there may be some, and nobody knows.

    Args:
        problems: Why, by kind.
    """
    first = next(iter(problems.values()))
    return CloudError(
        f"What there is of {', '.join(problems)} is not known, and was left. {first.message}",
        next_command=first.next_command or "repeat the command",
    )


def _unreadable(one: Leftover) -> StackError:
    folder = environment_prefix(str(one.project), str(one.environment))
    return StackError(
        f"The ledger of {one.name} cannot be understood. What the account had under its name is "
        "gone; what else it made is not known.",
        environment=one.name,
        next_command=f"when nothing of it is left, delete what lies under {folder} in the state "
        "backend",
    )


def _title(storage: Storage, project: str, environment: str) -> str | None:
    """The name of the stack's things in the cloud, where its ledger tells."""
    core = Ledger(storage, project, environment).layers().get(CORE)
    return None if core is None else title_of(core, project, environment)


def _recorded(storage: Storage) -> list[tuple[str, str]]:
    """Project and environment of all that has a ledger, or at least a lock."""
    found: dict[tuple[str, str], None] = {}
    for key in storage.keys(_ROOT):
        parts = key[len(_ROOT) :].split("/")
        if len(parts) > len(("project", "environment", "kind")) and parts[2] in _KEPT:
            found[parts[0], parts[1]] = None
    return [*found]


def _judge(
    storage: Storage, project: str, environment: str, same: Sequence[CloudRun], moment: datetime
) -> Leftover | None:
    """What is to be said of one ledger's stack; ``same``: runs that may be its own."""
    record = Ledger(storage, project, environment).stack()
    title = _title(storage, project, environment)
    cloud = tuple(run for run in same if run.is_of(title))
    lock = StackLock(storage, project, environment)
    owner = lock.holder()
    if record is None and not storage.keys(environment_prefix(project, environment)):
        return None  # it went while we looked
    # Without a record, a run has died before it made anything, or while it removed its last trace.
    expires = record.expires if record else None
    verdict: Verdict
    if owner is not None and lock.is_alive(owner):
        verdict = "live"
    elif expires is not None and expires < moment:
        verdict = "expired"
    elif owner is not None:
        verdict = "dead"
    else:  # states without a record: somebody may work with bare Terraform
        verdict = "kept" if record else "unknown"
    return Leftover(verdict, expires, project, environment, record, owner, cloud)
