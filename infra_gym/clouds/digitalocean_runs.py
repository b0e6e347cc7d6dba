"""What runs have left in a DigitalOcean account, and how all of one run goes.

A run's things carry its name, which begins with its expiry (layers/do/core). What Kubernetes makes
for a run has other names, and is found through the run's cluster and VPC.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from infra_gym.errors import CloudError, CloudRefusedError

_NAME = re.compile(r"(ig-(\d{8}t\d{4})z-([0-9a-f]{8}))-.+")
# Between two looks, the last one again and again: a look costs nine calls of the 250 a minute.
_PAUSES_S = (1.0, 2.0, 4.0, 10.0)
KINDS = (
    "kubernetes",
    "load_balancers",
    "droplets",
    "volumes",
    "firewalls",
    "vpcs",
    "projects",
    "ssh_keys",
    "tags",
)
"""In the order in which they go: members before their VPC, tags after what carries them."""
_LAST = "tags"
_OWNERS = ("kubernetes", "vpcs")


class Lister(Protocol):
    """The part of an account that is needed here."""

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """See :meth:`infra_gym.clouds.digitalocean.DigitalOcean.listed`."""

    def delete(self, kind: str, identity: Any) -> None:
        """See :meth:`infra_gym.clouds.digitalocean.DigitalOcean.delete`."""

    def members(self, vpc: str) -> list[str]:
        """See :meth:`infra_gym.clouds.digitalocean.DigitalOcean.members`."""


@dataclass(frozen=True)
class Thing:
    """One thing in the account.

    Attributes:
        kind: One of :data:`KINDS`.
        identity: Its id; a tag's name.
        name: For people.
    """

    kind: str
    identity: Any
    name: str


@dataclass(frozen=True)
class CloudRun:
    """All that one run has in the account.

    Attributes:
        name: What its names begin with, such as ``ig-20261128t1200z-86ffe8ef``.
        title: The whole name, with project and environment in it; where only things are left that
            have more in their names, the shortest of these.
        expires: When it counts as forgotten.
        digest: Tells which project and environment; see :func:`digest_of`.
        things: In the order in which they go.
    """

    name: str
    title: str
    expires: datetime
    digest: str
    things: list[Thing] = field(default_factory=list)

    def is_of(self, title: str | None) -> bool:
        """Whether it is the run of this title (:func:`title_of`); ``None`` is no run's."""
        return title is not None and self.title.startswith(title)


def digest_of(project: str, environment: str) -> str:
    """The end of the names of this project's environment, as layers/do/core makes it."""
    return hashlib.sha256(f"{project}/{environment}".encode()).hexdigest()[:8]


def title_of(project: str, environment: str, expires: datetime) -> str:
    """The name of a run's things, as layers/do/core makes it.

    Args:
        project: The project.
        environment: The environment's name.
        expires: When the run was to count as forgotten as it began.
    """
    moment = expires.astimezone(UTC)
    joined = f"{project}-{environment}"[:36].strip("-")
    return f"ig-{moment:%Y%m%dt%H%M}z-{digest_of(project, environment)}-{joined}"


def find_runs(
    account: Lister,
    *,
    before: Iterable[CloudRun] = (),
    on_problem: Callable[[str, CloudError], None] | None = None,
) -> list[CloudRun]:
    """All runs that have anything in the account, the one that expires first first.

    Args:
        account: The account.
        before: What was found earlier: volumes of a cluster that is gone by now are found by it.
        on_problem: Called with each kind that cannot be listed, and why; the others are looked at
            all the same. ``None``: it is raised.

    Raises:
        CloudRefusedError: Nothing at all may be listed.
    """
    told = [(kind, one) for kind, found in _listed(account, on_problem).items() for one in found]
    runs = {run.name: replace(run, things=[]) for run in before}
    # The id of a cluster or VPC, and the name of its run.
    owners = {
        str(thing.identity): run.name
        for run in before
        for thing in run.things
        if thing.kind in _OWNERS
    }
    for kind, one in told:
        match = _NAME.fullmatch(str(one.get("name", "")))
        if match is not None:
            moment = datetime.strptime(f"{match[2]}+0000", "%Y%m%dt%H%M%z").astimezone(UTC)
            run = runs.setdefault(match[1], CloudRun(match[1], match[0], moment, match[3]))
            # Some things have more in their names than the run's own.
            runs[match[1]] = replace(run, title=min(run.title, match[0], key=len))
            run.things.append(_thing(kind, one))
            if kind in _OWNERS:
                owners[str(one["id"])] = match[1]
    for kind, one in told:
        owner = _owner(one, owners)
        if owner is not None and _thing(kind, one) not in runs[owner].things:
            runs[owner].things.append(_thing(kind, one))
    found = [replace(run, things=_in_order(run.things)) for run in runs.values() if run.things]
    return sorted(found, key=lambda run: (run.expires, run.name))


def destroy_run(
    account: Lister,
    run: CloudRun,
    *,
    keep: Collection[Any] = (),
    deadline_s: float = 1200.0,
    on_gone: Callable[[Thing], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, CloudError]:
    """Delete all of a run; what is not yet free to go is tried again until it is.

    Args:
        account: The account.
        run: As :func:`find_runs` found it.
        keep: Identities of things that stay.
        deadline_s: Seconds after which it gives up.
        on_gone: Called once with each thing whose deletion was accepted.
        sleep: Another one in tests.
        clock: Seconds; another one in tests.

    Returns:
        The kinds that could not be listed, and why: what there is of them is not known.

    Raises:
        CloudRefusedError: The account refuses to delete anything of what is left.
        CloudError: Something is left at the deadline; says what, and what holds it.
    """
    ends, pauses, looks = clock() + deadline_s, [*_PAUSES_S], len(_PAUSES_S)
    left = [thing for thing in run.things if thing.identity not in keep]
    told: set[Thing] = set()
    unseen: dict[str, CloudError] = {}
    while True:
        free = [thing for thing in left if thing.kind != _LAST] or left
        failures = _delete(account, free)
        for thing in free:
            if thing not in failures and thing not in told and on_gone is not None:
                on_gone(thing)
        told |= {thing for thing in free if thing not in failures}
        # A cluster's deletion is accepted at once and takes minutes: look what is really gone.
        unseen.clear()
        now = find_runs(account, before=[run], on_problem=unseen.__setitem__)
        seen = next((one.things for one in now if one.name == run.name), [])
        hidden = [one for one in left if one.kind in unseen and _may_be_there(one, failures)]
        left = [thing for thing in [*seen, *hidden] if thing.identity not in keep]
        _give_up_if_refused([thing for thing in left if thing in free], failures)
        looks -= not left
        if not left and (looks <= 0 or not _may_be_listed_yet(unseen)):
            break
        if clock() >= ends:
            raise _still_there(account, run, left, {**unseen, **failures}, deadline_s)
        sleep(pauses.pop(0) if len(pauses) > 1 else pauses[0])
    return unseen


def _listed(
    account: Lister, on_problem: Callable[[str, CloudError], None] | None
) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    refused: list[CloudError] = []
    for kind in KINDS:
        try:
            found[kind] = account.listed(kind)
        except CloudError as error:
            if on_problem is None:
                raise
            refused.append(error)
            on_problem(kind, error)
    if not found and isinstance(refused[0], CloudRefusedError):
        raise refused[0]
    return found


def _delete(account: Lister, things: Iterable[Thing]) -> dict[Thing, CloudError]:
    """Try to delete each; why some cannot go yet."""
    failures = {}
    for thing in things:
        try:
            account.delete(thing.kind, thing.identity)
        except CloudError as error:
            failures[thing] = error
    return failures


def _may_be_listed_yet(unseen: Mapping[str, CloudError]) -> bool:
    """Whether a kind could not be listed for now; a right that is missing stays missing."""
    return any(not isinstance(error, CloudRefusedError) for error in unseen.values())


def _may_be_there(thing: Thing, failures: Mapping[Thing, CloudError]) -> bool:
    """Whether a thing that cannot be looked at may be there: clusters go later than accepted."""
    return thing in failures or thing.kind == "kubernetes"


def _give_up_if_refused(left: Iterable[Thing], failures: Mapping[Thing, CloudError]) -> None:
    """Nothing is gained by asking again for what only another token may do."""
    errors = [failures.get(thing) for thing in left]
    if errors and all(isinstance(error, CloudRefusedError) for error in errors):
        raise next(error for error in errors if error is not None)


def _still_there(
    account: Lister,
    run: CloudRun,
    left: Iterable[Thing],
    why: Mapping[Any, CloudError],
    deadline_s: float,
) -> CloudError:
    names = ", ".join(f"{thing.kind}/{thing.name}" for thing in left) or "what cannot be listed"
    reason = [*why.values()][-1].message if why else ""
    words = f"{run.name}: still there after {deadline_s:g} s: {names}. {reason}".rstrip()
    holders = [name for thing in left if thing.kind == "vpcs" for name in _held(account, thing)]
    if holders:
        words += f" The VPC is held by {', '.join(holders)}."
    return CloudError(
        words,
        next_command=f"delete what holds it, if anything does, at https://cloud.digitalocean.com; "
        f"then: infra-gym sweep {run.name}",
    )


def _held(account: Lister, vpc: Thing) -> list[str]:
    try:
        return account.members(vpc.identity)
    except CloudError:  # what failed first is what is told
        return []


def _in_order(things: Iterable[Thing]) -> list[Thing]:
    return sorted(things, key=lambda thing: (KINDS.index(thing.kind), thing.name))


def _owner(one: dict[str, Any], owners: dict[str, str]) -> str | None:
    """The run of something that Kubernetes made: by its cluster's tag, else by its VPC."""
    for tag in one.get("tags") or []:
        kind, _, identity = str(tag).partition(":")
        if kind == "k8s" and identity in owners:
            return owners[identity]
    return owners.get(str(one.get("vpc_uuid")))


def _thing(kind: str, one: dict[str, Any]) -> Thing:
    name = str(one.get("name", one.get("id")))
    return Thing(kind, name if kind == "tags" else one["id"], name)
