"""What runs have left in a DigitalOcean account, and how all of one run goes.

A run's things carry its name, which begins with its expiry (layers/do/core). What Kubernetes makes
for a run has other names, and is found through the run's cluster and VPC.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from infra_gym.errors import CloudError, CloudRefusedError

_NAME = re.compile(r"(ig-(\d{8}t\d{4})z-([0-9a-f]{8}))-.+")
_POLL_S = 10.0  # a look costs nine calls of the 250 a minute
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
_OWNERS = ("kubernetes", "vpcs")


class Lister(Protocol):
    """The part of an account that is needed here."""

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """See :meth:`infra_gym.clouds.digitalocean.DigitalOcean.listed`."""

    def delete(self, kind: str, identity: Any) -> None:
        """See :meth:`infra_gym.clouds.digitalocean.DigitalOcean.delete`."""


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
        title: The whole name, with project and environment in it.
        expires: When it counts as forgotten.
        digest: Tells which project and environment; see :func:`digest_of`.
        things: In the order in which they go.
    """

    name: str
    title: str
    expires: datetime
    digest: str
    things: list[Thing] = field(default_factory=list)


def digest_of(project: str, environment: str) -> str:
    """The end of the names of this project's environment, as layers/do/core makes it."""
    return hashlib.sha256(f"{project}/{environment}".encode()).hexdigest()[:8]


def find_runs(account: Lister, *, before: Iterable[CloudRun] = ()) -> list[CloudRun]:
    """All runs that have anything in the account, the one that expires first first.

    Args:
        account: The account.
        before: What was found earlier: volumes of a cluster that is gone by now are found by it.
    """
    told = [(kind, one) for kind in KINDS for one in account.listed(kind)]
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
            runs.setdefault(match[1], CloudRun(match[1], match[0], moment, match[3]))
            runs[match[1]].things.append(_thing(kind, one))
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
    deadline_s: float = 1200.0,
    on_gone: Callable[[Thing], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Delete all of a run; what is not yet free to go is tried again until it is.

    Args:
        account: The account.
        run: As :func:`find_runs` found it.
        deadline_s: Seconds after which it gives up.
        on_gone: Called with each thing whose deletion was accepted.
        sleep: Another one in tests.
        clock: Seconds; another one in tests.

    Raises:
        CloudError: Something is left at the deadline; says what.
    """
    ends = clock() + deadline_s
    left, why = run.things, ""
    while left:
        for thing in left:
            try:
                account.delete(thing.kind, thing.identity)
            except CloudRefusedError:
                raise
            except CloudError as error:
                why = error.message
            else:
                if on_gone is not None:
                    on_gone(thing)
        # A cluster's deletion is accepted at once and takes minutes: look what is really gone.
        now = find_runs(account, before=[run])
        left = next((one.things for one in now if one.name == run.name), [])
        if left and clock() >= ends:
            names = ", ".join(f"{thing.kind}/{thing.name}" for thing in left)
            raise CloudError(
                f"{run.name}: still there after {deadline_s:g} s: {names}. {why}".rstrip(),
                next_command=f"infra-gym sweep {run.name}, or the control panel at "
                "https://cloud.digitalocean.com",
            )
        if left:
            sleep(_POLL_S)


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
