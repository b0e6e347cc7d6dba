"""The file into which a running command writes its events, and its reader."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from infra_gym.terraform.documents import Event
from infra_gym.terraform.secrets import Masker


class EventFile:
    """A fresh file for one command, read while it grows.

    An earlier command whose reader died may still be writing: it keeps its own, unlinked file.

    Args:
        path: Where; what lies there is replaced. Only the user may read it.
        masker: Hides secrets in the events handed on, and at the end in the file.
        on_event: Called with every event.

    Raises:
        OSError: The folder is missing, read-only or full.
    """

    def __init__(
        self, path: Path, *, masker: Masker, on_event: Callable[[Event], None] | None
    ) -> None:
        self.events: list[Event] = []
        """All so far, as Terraform wrote them: not masked."""
        self.cut_off = False
        """After :meth:`close`: the last line has no end, as when the disk is full."""
        self._path = path
        self._masker = masker
        self._on_event = on_event
        self._secrets_seen = False
        self._rest = b""
        path.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._writer: IO[bytes] = os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0)
        self._reader: IO[bytes] = path.open("rb", buffering=0)

    @property
    def writer(self) -> IO[bytes]:
        """What the command gets as its output."""
        return self._writer

    def read(self) -> None:
        """Take in and hand on the whole lines that came since."""
        for event in self._new_events():
            if self._on_event is not None:
                self._on_event(event)

    def close(self) -> None:
        """Take in what is left; hide secrets in the file."""
        for _ in self._new_events(last=True):
            pass
        self._writer.close()
        self._reader.close()
        if self._secrets_seen:
            lines = (self._masked_line(event) for event in self.events)
            self._path.write_text("".join(f"{line}\n" for line in lines))

    def _new_events(self, *, last: bool = False) -> list[Event]:
        *lines, self._rest = (self._rest + self._reader.read()).split(b"\n")
        if last and self._rest:
            self.cut_off = True
            lines, self._rest = [*lines, self._rest], b""
        new = []
        for line in lines:
            if line.strip():
                event = Event.parse(line.decode(errors="replace"))
                self.events.append(event)
                new.append(self._masked(event))
        return new

    def _masked(self, event: Event) -> Event:
        if not event.document:
            masked = Event(type=event.type, message=self._masker.text(event.message))
        else:
            masked = Event.of(self._masker.document(event.document))
        self._secrets_seen |= masked != event
        return masked

    def _masked_line(self, event: Event) -> str:
        masked = self._masked(event)
        return json.dumps(masked.document) if masked.document else masked.message
