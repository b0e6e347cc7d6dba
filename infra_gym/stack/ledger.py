"""The ledger: what was done to each layer, written before it is done.

One object a layer, and one for the stack. Because the resolved inputs of a layer are on record
before Terraform starts, a destroy or a resume needs nothing else after any crash, not even the
outputs of layers that are gone. Secrets are never in it: only their names, and where they come
from.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra_gym.errors import StateBackendError
from infra_gym.stack.lock import Owner
from infra_gym.stack.storage import Storage

Status = Literal["applying", "applied", "failed", "destroying"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1


class LayerRecord(_Record):
    """What is known of one layer."""

    layer: str
    status: Status
    """``applying`` and ``destroying`` are written before Terraform starts; when their owner is
    gone, the layer is half done. A destroyed layer has no record."""
    inputs: dict[str, Any] = Field(default_factory=dict)
    """All resolved values but secrets."""
    wires: dict[str, str] = Field(default_factory=dict)
    """Variables that take an output, as ``PROVIDER/LAYER.OUTPUT``."""
    uses: tuple[str, ...] = ()
    """Layers whose outputs it takes."""
    secret_inputs: tuple[str, ...] = ()
    """Names of variables whose values are secret."""
    outputs: dict[str, Any] = Field(default_factory=dict)
    """Of the last apply that ended well, without the sensitive ones."""
    secret_outputs: tuple[str, ...] = ()
    problem: str | None = None
    """Why it failed."""
    owner: Owner
    """Who wrote this."""
    started: datetime
    """When the command began."""
    updated: datetime
    source_hash: str
    """SHA-256 of the module's files."""
    terraform: str
    """Program and version, such as ``terraform 1.11.4``."""


class StackRecord(_Record):
    """What is known of the stack as a whole."""

    id: str | None
    """The environment's id; ``None`` for layers applied by name."""
    target: str
    cluster: str | None
    """Which cluster, where the target has one."""
    kubeconfig: str | None = None
    """The paths of the files that the cluster was reached by."""
    context: str | None = None
    """The context that it was reached by."""
    account: str | None = None
    """Which cloud account is billed for it, where one is."""
    layers: tuple[str, ...]
    """In declared order, those that are not up as well."""
    created: datetime
    expires: datetime
    owner: Owner
    """Who made it."""


class MeterRecord(_Record):
    """What an account is billed for the stack, so that another process can go on metering."""

    lines: tuple[dict[str, Any], ...]
    """As :meth:`infra_gym.cost.AccountMeter.state` gives them."""


R = TypeVar("R", bound=_Record)


class Ledger:
    """The ledger of one project and environment.

    Every method raises :class:`~infra_gym.errors.StateBackendError` when the store cannot be used
    or holds what cannot be understood.
    """

    def __init__(self, storage: Storage, project: str, environment: str) -> None:
        self._storage = storage
        self._prefix = f"infrastructure/{project}/{environment}/ledger/"

    def stack(self) -> StackRecord | None:
        """The stack's record, if there is one."""
        return self._read(f"{self._prefix}stack.json", StackRecord)

    def layers(self) -> dict[str, LayerRecord]:
        """All layers' records, by name."""
        found = {}
        for key in self._storage.keys(self._prefix):
            if "/" in key.removeprefix(self._prefix):
                record = self._read(key, LayerRecord)
                if record is not None:
                    found[record.layer] = record
        return found

    def write_stack(self, record: StackRecord) -> None:
        """Make or replace the stack's record."""
        self._storage.write(f"{self._prefix}stack.json", _bytes(record))

    def write(self, record: LayerRecord) -> None:
        """Make or replace a layer's record."""
        self._storage.write(self._key(record.layer), _bytes(record))

    def remove(self, layer: str) -> None:
        """Forget a layer that is destroyed."""
        self._storage.delete(self._key(layer))

    def remove_stack(self) -> None:
        """Forget the stack, and what it cost."""
        self._storage.delete(f"{self._prefix}meter.json")
        self._storage.delete(f"{self._prefix}stack.json")

    def meter(self) -> tuple[dict[str, Any], ...]:
        """What an account is billed for the stack, line by line, as it was kept."""
        record = self._read(f"{self._prefix}meter.json", MeterRecord)
        return () if record is None else record.lines

    def write_meter(self, lines: Sequence[dict[str, Any]]) -> None:
        """Keep what an account is billed for the stack."""
        self._storage.write(f"{self._prefix}meter.json", _bytes(MeterRecord(lines=tuple(lines))))

    def _key(self, layer: str) -> str:
        return f"{self._prefix}{layer}.json"

    def _read(self, key: str, model: type[R]) -> R | None:
        data = self._storage.read(key)
        if data is None:
            return None
        try:
            return model.model_validate_json(data)
        except ValidationError as error:
            raise StateBackendError(
                f"The ledger's object {key} cannot be understood: {error.errors()[0]['msg']}.",
                next_command="use the version of infra-gym that wrote it, or restore an older "
                "version of the object",
            ) from error


def now() -> datetime:
    """The time, as records have it."""
    return datetime.now(UTC)


def _bytes(record: _Record) -> bytes:
    return record.model_dump_json(indent=1).encode()
