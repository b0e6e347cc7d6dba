"""Terraform's events as progress: a live table of layers on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from infra_gym.cli.output import Output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from infra_gym.terraform.documents import Event

OnEvent = Callable[[str, "Event"], None]
State = Literal["waiting", "working", "done", "failed"]

_DOING = {
    "create": "creating",
    "update": "changing",
    "replace": "replacing",
    "delete": "destroying",
    "read": "reading",
}
# What a command that follows another one on the same layer begins with.
_BEGINS = ("version", "init_output", "refresh_start", "planned_change", "apply_start")
_TOLD = ("apply_complete", "apply_errored", "provision_errored")


@dataclass
class LayerProgress:
    """How far one layer is."""

    state: State = "waiting"
    doing: str = ""
    started: float = 0.0
    seconds: float = 0.0
    """Of the last command that ended."""


class StackProgress:
    """How far each layer is; a Rich renderable, fed from any thread.

    Args:
        layers: In order of apply.
        clock: Monotonic seconds.
    """

    def __init__(
        self, layers: Sequence[str] = (), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.layers = {layer: LayerProgress() for layer in layers}
        self._clock = clock
        self._lock = threading.Lock()
        self._spinners: dict[str, RenderableType] = {}  # kept, for a spinner turns by its own age

    def on_event(self, layer: str, event: Event) -> None:
        """Take in one event of the layer's running command."""
        with self._lock:
            progress = self.layers.setdefault(layer, LayerProgress())
            if progress.state == "waiting" or (
                progress.state != "working" and event.type in _BEGINS
            ):
                progress.state, progress.started, progress.doing = "working", self._clock(), ""
            self._advance(progress, event)

    def _advance(self, progress: LayerProgress, event: Event) -> None:
        if event.type == "apply_start":
            progress.doing = f"{_DOING.get(event.action or '', 'changing')} {event.address}"
        elif event.type == "refresh_start":
            progress.doing = f"reading {event.address}"
        elif event.diagnostic is not None and event.diagnostic.severity == "error":
            progress.doing = event.diagnostic.summary
            self._end(progress, "failed")
        elif summary(event) is not None:
            progress.doing = summary(event) or ""
            self._end(progress, "done")

    def _end(self, progress: LayerProgress, state: State) -> None:
        progress.state = state
        progress.seconds = self._clock() - progress.started

    def __rich__(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=1)
        grid.add_column(no_wrap=True)
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column(overflow="ellipsis", no_wrap=True)
        now = self._clock()
        with self._lock:
            for layer, one in self.layers.items():
                seconds = now - one.started if one.state == "working" else one.seconds
                grid.add_row(
                    self._spinner(layer) if one.state == "working" else _mark(one.state),
                    Text(layer, "bold" if one.state == "working" else ""),
                    Text("" if one.state == "waiting" else f"{seconds:.1f} s"),
                    Text(one.doing or one.state, "red" if one.state == "failed" else "dim"),
                )
        return grid

    def _spinner(self, layer: str) -> RenderableType:
        from rich.spinner import Spinner

        return self._spinners.setdefault(layer, Spinner("dots", style="cyan"))


def _mark(state: State) -> RenderableType:
    from rich.text import Text

    return {
        "waiting": Text("·", "dim"),
        "done": Text("✓", "green"),
        "failed": Text("✗", "bold red"),
    }.get(state, Text(" "))


def summary(event: Event) -> str | None:
    """``3 added, 1 destroyed`` of a command that has just changed things, else ``None``."""
    changes = event.document.get("changes")
    if event.type != "change_summary" or not isinstance(changes, dict):
        return None
    if changes.get("operation") not in ("apply", "destroy"):
        return None
    words = {"add": "added", "change": "changed", "remove": "destroyed"}
    parts = [f"{changes[key]} {word}" for key, word in words.items() if changes.get(key)]
    return ", ".join(parts) or "no changes"


@contextmanager
def shown(output: Output, layers: Sequence[str]) -> Iterator[OnEvent]:
    """Show the progress of a stack on standard error while inside; feed it what it yields."""
    progress = StackProgress(layers)
    if output.quiet:
        yield progress.on_event
    elif output.aside.is_terminal:
        from rich.live import Live

        with Live(progress, console=output.aside, refresh_per_second=10):
            yield progress.on_event
    else:
        yield lambda layer, event: tell(output.note, layer, event)


def tell(line: Callable[[str], None], layer: str, event: Event) -> None:
    """Give ``line`` what is worth a line where no live table can be shown."""
    done = summary(event)
    if done is not None:
        line(f"{layer}: {done}")
    elif event.type in _TOLD:
        line(f"{layer}: {event.message}")
