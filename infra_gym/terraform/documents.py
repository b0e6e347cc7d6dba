"""What Terraform says, typed: plans, outputs, events, diagnostics and state locks.

All are read from Terraform's machine-readable forms (``show -json``, ``output -json`` and the JSON
lines of ``-json``), which OpenTofu shares. See
https://developer.hashicorp.com/terraform/internals/machine-readable-ui.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One error or warning."""

    severity: str
    """``error`` or ``warning``."""
    summary: str
    detail: str = ""
    address: str | None = None
    """The resource it is about, such as ``terraform_data.replica[3]``."""
    file: str | None = None
    line: int | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Diagnostic:
        """From the ``diagnostic`` object of an event or of ``validate -json``."""
        place = document.get("range") or {}
        return cls(
            severity=document.get("severity", "error"),
            summary=document.get("summary", ""),
            detail=document.get("detail", ""),
            address=document.get("address"),
            file=place.get("filename"),
            line=(place.get("start") or {}).get("line"),
        )

    def text(self) -> str:
        """One printable text: summary, place, detail."""
        place = f"{self.file}:{self.line}" if self.file and self.line else self.file
        where = " in ".join(part for part in (self.address, place) if part)
        head = f"{self.summary} ({where})" if where else self.summary
        return f"{head}: {self.detail}" if self.detail else head


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a running command's output."""

    type: str
    """Terraform's message type, such as ``apply_start``; ``log`` for untyped ones, ``text`` for a
    line that is no JSON."""
    message: str
    level: str = "info"
    time: str | None = None
    """RFC 3339, as Terraform wrote it."""
    address: str | None = None
    """The resource it is about."""
    action: str | None = None
    """``create``, ``update``, ``delete``, ``replace``, ... of the resource."""
    diagnostic: Diagnostic | None = None
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The whole line."""

    @classmethod
    def parse(cls, line: str) -> Event:
        """From one line; never fails, for a crash report is no JSON."""
        try:
            document = json.loads(line)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            return cls(type="text", message=line)
        return cls.of(document)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Event:
        """From a parsed line."""
        about = document.get("hook") or document.get("change") or {}
        diagnostic = document.get("diagnostic")
        return cls(
            type=document.get("type", "log"),
            message=document.get("@message", ""),
            level=document.get("@level", "info"),
            time=document.get("@timestamp"),
            address=(about.get("resource") or {}).get("addr"),
            action=about.get("action"),
            diagnostic=Diagnostic.parse(diagnostic) if diagnostic else None,
            document=document,
        )

    def is_summary_of(self, command: str) -> bool:
        """Whether a finished ``plan``, ``apply`` or ``destroy`` says with it what was done."""
        changes = self.document.get("changes") or {}
        return self.type == "change_summary" and changes.get("operation") == command


@dataclass(frozen=True, slots=True)
class Output:
    """An output of a module."""

    value: Any
    """``None`` while it is not ``known``."""
    type: Any = None
    """Terraform's type: ``"string"``, ``["list", "string"]``, ..."""
    sensitive: bool = False
    known: bool = True
    """``False``: not told here: known only after apply, or sensitive and so left out of plans and
    event streams."""

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Output:
        """From ``output -json``, the planned values or an ``outputs`` event."""
        return cls(
            value=document.get("value"),
            type=document.get("type"),
            sensitive=bool(document.get("sensitive", False)),
            known="value" in document,
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What happens, or happened, to one resource."""

    address: str
    actions: tuple[str, ...]
    """``("create",)``, ``("update",)``, ``("delete",)``, or both of a replacement, in order."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an apply would do."""

    changes: tuple[Change, ...]
    """Without resources that stay as they are."""
    adds: int
    modifies: int
    removes: int
    """Counted as Terraform does: a replacement is one added and one removed."""
    outputs: dict[str, Output]

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Plan:
        """From ``show -json PLAN``."""
        changes = tuple(
            Change(resource["address"], tuple(resource["change"]["actions"]))
            for resource in document.get("resource_changes", [])
            if resource["change"]["actions"] not in (["no-op"], ["read"])
        )
        planned = document.get("planned_values", {}).get("outputs", {})
        outputs = {name: Output.parse(output) for name, output in planned.items()}
        return cls(
            changes=changes,
            adds=sum("create" in change.actions for change in changes),
            modifies=sum("update" in change.actions for change in changes),
            removes=sum("delete" in change.actions for change in changes),
            outputs={
                name: Output(None, output.type, sensitive=True, known=False)
                if output.sensitive
                else output
                for name, output in outputs.items()
            },
        )


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply or a destroy did."""

    outputs: dict[str, Output]
    """As the event stream told them: the values of sensitive ones are not in it
    (:meth:`~infra_gym.terraform.command.Terraform.outputs` reads them)."""
    changes: tuple[Change, ...]
    """Without resources that stayed as they were."""
    seconds: float
    """Wall-clock seconds of the process."""

    @classmethod
    def of(cls, events: Sequence[Event], seconds: float) -> Applied:
        """From all events of the command."""
        actions: dict[str, list[str]] = {}
        outputs: Mapping[str, Any] = {}
        for event in events:
            if event.type == "apply_complete" and event.address and event.action:
                actions.setdefault(event.address, []).append(event.action)
            elif event.type == "outputs":
                outputs = event.document.get("outputs", {})
        return cls(
            outputs={
                name: Output.parse(output)
                for name, output in outputs.items()
                if "action" not in output  # what the plan before it foresaw
            },
            changes=tuple(Change(address, tuple(done)) for address, done in actions.items()),
            seconds=seconds,
        )


@dataclass(frozen=True, slots=True)
class StateLock:
    """Who holds a state's lock."""

    id: str
    """What ``force-unlock`` wants."""
    who: str
    """``user@host``."""
    since: str
    """As Terraform wrote it, UTC."""
    operation: str

    @classmethod
    def find(cls, text: str) -> StateLock | None:
        """From the text of the diagnostic about a lock that is held; else ``None``."""
        info = dict(
            re.findall(r"^\s*(ID|Who|Created|Operation):[ \t]*(.*?)\s*$", text, re.MULTILINE)
        )
        if not info.get("ID"):
            return None
        return cls(
            id=info["ID"],
            who=info.get("Who") or "somebody",
            since=info.get("Created") or "an unknown time",
            operation=(info.get("Operation") or "unknown").removeprefix("OperationType"),
        )
