"""What is up, who works on it, and what a crash left: from ledger, lock and processes."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from infra_gym.stack.ledger import LayerRecord, Ledger, now
from infra_gym.stack.leftovers import processes_in, terraforms_in
from infra_gym.stack.lock import Owner, StackLock
from infra_gym.stack.run_directory import RunFolder
from infra_gym.stack.storage import Storage
from infra_gym.terraform.backends import state_key


class LayerStatus(BaseModel):
    """One layer."""

    model_config = ConfigDict(frozen=True)

    layer: str
    status: Literal["absent", "applying", "applied", "failed", "destroying", "interrupted"]
    """``interrupted``: it was being applied or destroyed by a run that is gone; nothing goes on."""
    since: datetime | None = None
    owner: Owner | None = None
    """The run that worked on it last."""
    terraform_running: bool = False
    """A Terraform works on it on this machine, now."""
    resources: int | None = None
    """Resources in its state; ``None`` when the state cannot be read, as under encryption."""
    problem: str | None = None
    uses: tuple[str, ...] = ()
    """Layers whose outputs it took."""


class StackStatus(BaseModel):
    """One project and environment."""

    model_config = ConfigDict(frozen=True)

    project: str
    environment: str
    id: str | None = None
    target: str | None = None
    cluster: str | None = None
    created: datetime | None = None
    expires: datetime | None = None
    expired: bool = False
    owner: Owner | None = None
    """Who holds the lock."""
    owner_alive: bool = False
    layers: tuple[LayerStatus, ...] = ()
    processes: int = 0
    """Processes in the run's folder on this machine."""

    @property
    def exists(self) -> bool:
        """Whether there is anything to destroy."""
        return bool(self.owner or self.created or self.processes) or any(
            layer.status != "absent" or layer.resources for layer in self.layers
        )


def read_status(
    storage: Storage,
    project: str,
    environment: str,
    folder: RunFolder,
    layers: tuple[str, ...],
    *,
    program: str = "terraform",
) -> StackStatus:
    """The status of a stack; takes no lock and touches nothing.

    Args:
        storage: Where ledger, lock and state lie.
        project: The project.
        environment: The environment's name.
        folder: The run's folder on this machine.
        layers: Layers to tell of, beside those in the ledger.
        program: The name of Terraform's file.
    """
    ledger, lock = Ledger(storage, project, environment), StackLock(storage, project, environment)
    stack, records, holder = ledger.stack(), ledger.layers(), lock.holder()
    alive = holder is not None and lock.is_alive(holder)
    names = dict.fromkeys([*(stack.layers if stack else ()), *layers, *records])

    def tell(layer: str) -> LayerStatus:
        record = records.get(layer)
        resources = resources_in(storage.read(state_key(project, environment, layer)))
        if record is None:
            return LayerStatus(layer=layer, status="absent", resources=resources)
        at_work = bool(terraforms_in(folder.layer(layer), program))
        owned = alive and holder is not None and record.owner.token == holder.token
        return LayerStatus(
            layer=layer,
            status=_status(record, goes_on=at_work or owned),
            since=record.updated,
            owner=record.owner,
            terraform_running=at_work,
            resources=resources,
            problem=record.problem,
            uses=record.uses,
        )

    return StackStatus(
        project=project,
        environment=environment,
        id=stack.id if stack else None,
        target=stack.target if stack else None,
        cluster=stack.cluster if stack else None,
        created=stack.created if stack else None,
        expires=stack.expires if stack else None,
        expired=stack is not None and stack.expires < now(),
        owner=holder,
        owner_alive=alive,
        layers=tuple(tell(layer) for layer in names),
        processes=len(processes_in(folder.root)),
    )


def _status(
    record: LayerRecord, *, goes_on: bool
) -> Literal["applying", "applied", "failed", "destroying", "interrupted"]:
    if record.status in ("applying", "destroying") and not goes_on:
        return "interrupted"
    return record.status


def resources_in(state: bytes | None) -> int | None:
    """How many managed resources a state holds; ``None`` where that cannot be seen."""
    if not state:
        return 0
    try:
        found = json.loads(state)["resources"]
    except (ValueError, KeyError, TypeError):
        return None
    return sum(len(entry["instances"]) for entry in found if entry["mode"] == "managed")
