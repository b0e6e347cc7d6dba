"""What runs left behind: stacks, and things in the cloud account, that are nobody's any more.

Two sources are joined. The ledgers of the state backend say of each stack whether its run lives,
and until when it may be there. Names in the cloud account carry their expiry, and tell which stack
they belong to. What is in no ledger that can be seen from here, and not expired, may be a
colleague's: it is told, and never swept unless it is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from infra_gym.clouds.digitalocean_runs import CloudRun, digest_of
from infra_gym.errors import StackError
from infra_gym.stack.ledger import Ledger, StackRecord
from infra_gym.stack.lock import Owner, StackLock
from infra_gym.stack.storage import Storage

Verdict = Literal["live", "kept", "expired", "dead", "unknown", "unreadable"]
"""``live``: its run goes on. ``kept``: left standing on purpose, and not expired. ``expired``: past
its expiry, and no run works on it. ``dead``: its run is gone and did not give it back. ``unknown``:
in the account, in no ledger that can be seen, and not expired. ``unreadable``: its ledger or lock
cannot be understood."""

ORPHANS: tuple[Verdict, ...] = ("expired", "dead")
"""What a sweep destroys without being told more."""

_ROOT = "infrastructure/"
_STACK = "/ledger/stack.json"
_CLOUD_CORE = "do/core"
"""The layer whose output ``name`` all things in the account have."""


@dataclass(frozen=True)
class Leftover:
    """One stack, or what is left of one.

    Attributes:
        verdict: See :data:`Verdict`.
        expires: When it counts as forgotten.
        project: The project, where a ledger tells.
        environment: The environment's name, where a ledger tells.
        record: The ledger's record.
        owner: Who works, or worked, on it.
        cloud: What it has in the cloud account.
    """

    verdict: Verdict
    expires: datetime
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
    def is_orphan(self) -> bool:
        """Whether a sweep destroys it without being told more."""
        return self.verdict in ORPHANS


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
            one = Leftover("unreadable", moment, project, environment, cloud=tuple(same))
        if one is not None:
            same[:] = [run for run in same if run not in one.cloud]
            found.append(one)
    for run in (run for others in by_digest.values() for run in others):
        verdict: Verdict = "expired" if run.expires < moment else "unknown"
        found.append(Leftover(verdict, run.expires, cloud=(run,)))
    return sorted(found, key=lambda one: (one.expires, one.name))


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


def _title(storage: Storage, project: str, environment: str) -> str | None:
    """The name of the stack's things in the cloud, where its ledger tells.

    Two people's stacks may have the same project and environment in two ledgers: only what the
    ledger itself made belongs to it.
    """
    core = Ledger(storage, project, environment).layers().get(_CLOUD_CORE)
    return None if core is None else core.outputs.get("name")


def _recorded(storage: Storage) -> list[tuple[str, str]]:
    """Project and environment of every ledger."""
    found = []
    for key in storage.keys(_ROOT):
        if key.endswith(_STACK):
            project, _, environment = key[len(_ROOT) : -len(_STACK)].partition("/")
            found.append((project, environment))
    return found


def _judge(
    storage: Storage, project: str, environment: str, same: Sequence[CloudRun], moment: datetime
) -> Leftover | None:
    """What is to be said of one ledger's stack; ``same``: runs that may be its own."""
    record = Ledger(storage, project, environment).stack()
    if record is None:
        return None
    title = _title(storage, project, environment)
    cloud = tuple(run for run in same if run.title == title)
    lock = StackLock(storage, project, environment)
    owner = lock.holder()
    verdict: Verdict
    if owner is not None and lock.is_alive(owner):
        verdict = "live"
    elif record.expires < moment:
        verdict = "expired"
    else:
        verdict = "kept" if owner is None else "dead"
    return Leftover(verdict, record.expires, project, environment, record, owner, cloud)
