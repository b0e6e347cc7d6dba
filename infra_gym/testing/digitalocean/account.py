"""What the fake account holds: resources that take time to come and to go, and what they cost.

Everything is kept under one lock and one clock. Handlers in the other modules of this package turn
requests into calls of :class:`Account`.
"""

from __future__ import annotations

import itertools
import math
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra_gym.testing.digitalocean.bill import Bill


class Refusal(Exception):  # noqa: N818 - an answer of the API, not a fault of the fake
    """An answer other than success, in DigitalOcean's form."""

    def __init__(
        self, status: int, identifier: str, message: str, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.status = status
        self.identifier = identifier
        self.message = message


def not_found() -> Refusal:
    """404 in DigitalOcean's words."""
    return Refusal(404, "not_found", "The resource you were accessing could not be found.")


def unprocessable(message: str) -> Refusal:
    """422: the request is understood and cannot be."""
    return Refusal(422, "unprocessable_entity", message)


@dataclass
class Durations:
    """How long things take, in seconds of the account's clock. ``math.inf``: never.

    Attributes:
        cluster_boot_s: From a cluster's creation until it runs.
        node_boot_s: From a node's creation until it runs, once its cluster does.
        cluster_delete_s: From a cluster's deletion until it is gone.
        droplet_boot_s: From a droplet's creation until it is active.
        droplet_delete_s: From a droplet's deletion until it is gone, and out of its VPC.
        load_balancer_boot_s: From a load balancer's creation until it is active.
    """

    cluster_boot_s: float = 3.0
    node_boot_s: float = 2.0
    cluster_delete_s: float = 3.0
    droplet_boot_s: float = 2.0
    droplet_delete_s: float = 0.0
    load_balancer_boot_s: float = 2.0


@dataclass
class Resource:
    """One thing in the account.

    Attributes:
        kind: As in URNs: ``kubernetes``, ``droplet``, ``vpc``, ...
        id: Unique within its kind.
        body: What the API tells of it, but for what depends on the time.
        made_at: Seconds since the epoch.
        ready_at: When it is in service.
        gone_at: When its deletion is complete.
        vpc: The VPC that it is a member of, if any.
        kept: Whether it is something that one can leave behind; a note of what was done is not.
    """

    kind: str
    id: str
    body: dict[str, Any]
    made_at: float
    ready_at: float
    gone_at: float = math.inf
    vpc: str | None = None
    kept: bool = True

    @property
    def name(self) -> str:
        """Its name, for people."""
        return str(self.body.get("name", self.id))

    @property
    def urn(self) -> str:
        """Its uniform resource name."""
        return f"do:{self.kind}:{self.id}"


@dataclass
class Account:
    """One account.

    Attributes:
        clock: Seconds since the epoch.
        durations: How long things take; may be changed at any time.
        kubeconfig: A kubeconfig whose cluster stands behind every managed cluster.
        stuck: URNs that refuse to be deleted.
        uuid: Tells this account from others.
        bill: What everything cost so far.
        lock: Held while a request is answered.
    """

    clock: Callable[[], float]
    durations: Durations
    kubeconfig: Path | None = None
    stuck: set[str] = field(default_factory=set)
    uuid: str = field(default_factory=lambda: uuid.uuid4().hex)
    bill: Bill = field(default_factory=Bill)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _resources: dict[tuple[str, str], Resource] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(100_000_001))

    def add(
        self,
        kind: str,
        body: dict[str, Any],
        *,
        kept: bool = True,
        boot_s: float = 0.0,
        vpc: str | None = None,
        numbered: bool = False,
        usd_per_hour: float = 0.0,
        billed_at_once: bool = False,
    ) -> Resource:
        """Make a resource; its ``id`` and ``created_at`` are put into ``body``.

        Args:
            kind: See :class:`Resource`.
            body: What the API tells of it; it may bring its ``id``.
            kept: Whether it is something that one can leave behind.
            boot_s: How long until it is in service; it costs from then on.
            vpc: The VPC that it is a member of.
            numbered: Droplets and SSH keys have numbers, all else UUIDs.
            usd_per_hour: What it costs.
            billed_at_once: It costs from its creation.
        """
        now = self.clock()
        fresh: Any = next(self._numbers) if numbered else str(uuid.uuid4())
        identity = body.get("id", fresh)
        body = {"created_at": timestamp(now), **body, "id": identity}
        resource = Resource(kind, str(identity), body, now, now + boot_s, vpc=vpc, kept=kept)
        self._resources[kind, resource.id] = resource
        if usd_per_hour:
            since = resource.made_at if billed_at_once else resource.ready_at
            self.bill.open(resource.urn, resource.name, usd_per_hour, since)
        return resource

    def charge(self, resource: Resource, usd_per_hour: float) -> None:
        """What it costs from now on."""
        self.bill.change(resource.urn, resource.name, usd_per_hour, self.clock())

    def find(self, kind: str, identity: str) -> Resource:
        """The resource; raises :class:`Refusal` 404 when there is none (any more)."""
        resource = self._resources.get((kind, identity))
        if resource is None or resource.gone_at <= self.clock():
            raise not_found()
        return resource

    def all_of(self, kind: str) -> list[Resource]:
        """All resources of a kind that are there, oldest first."""
        now = self.clock()
        return [
            resource
            for resource in self._resources.values()
            if resource.kind == kind and resource.gone_at > now
        ]

    def everything(self) -> list[Resource]:
        """All resources that are there and can be left behind."""
        now = self.clock()
        return [one for one in self._resources.values() if one.gone_at > now and one.kept]

    def remove(self, resource: Resource, *, after_s: float = 0.0) -> None:
        """Begin a deletion, which is complete ``after_s`` later; what it costs ends then."""
        if resource.urn in self.stuck:
            raise Refusal(500, "server_error", "Unexpected server-side error")
        now = self.clock()
        resource.gone_at = min(resource.gone_at, now + after_s)
        self.bill.close(resource.urn, resource.gone_at)

    def members(self, vpc: str) -> list[Resource]:
        """What lies in a VPC, deletions under way included."""
        return [resource for resource in self.everything() if resource.vpc == vpc]

    def is_ready(self, resource: Resource) -> bool:
        """Whether it is in service."""
        return resource.ready_at <= self.clock()

    def unique(self, kind: str, name: str, message: str) -> None:
        """Refuse a name that another resource of the kind has."""
        if any(resource.name == name for resource in self.all_of(kind)):
            raise unprocessable(message)


def timestamp(seconds: float) -> str:
    """ISO 8601 in UTC, as the API writes times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
