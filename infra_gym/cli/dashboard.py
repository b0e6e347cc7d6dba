"""The live view of a run: stack, load, replicas, latency, cost and reward, with their history."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from infra_gym.cli.episode import Episode, Row
from infra_gym.cli.progress import StackProgress, tell
from infra_gym.environments.rendering import sparkline

if TYPE_CHECKING:
    from infra_gym.cli.output import Output
    from infra_gym.terraform.documents import Event

_HISTORY = 40
_COUNTS = ("replicas", "requests")
# What one line a step tells, where the environment has it.
_HEADLINES = ("ready", "request_rate", "latency_p95", "slo_share")


class View(Protocol):
    """What a run shows itself on."""

    def open(self, title: str) -> AbstractContextManager[None]:
        """Show it while inside."""

    def on_event(self, layer: str, event: Event) -> None:
        """One event of a layer's running Terraform."""

    def phase(self, text: str) -> None:
        """What the run is doing now."""

    def stepped(self, reward: float) -> None:
        """A step has been added to the episode."""


class Dashboard:
    """The view on a terminal, a Rich renderable.

    Args:
        console: The terminal.
        episode: What is shown; someone else fills it.
        steps: How many are wanted.
    """

    def __init__(self, console: Console, episode: Episode, steps: int) -> None:
        self.stack = StackProgress()
        self._console = console
        self._title = ""
        self._episode = episode
        self._steps = steps
        self._phase = "beginning"
        self._began = time.monotonic()
        self.on_event = self.stack.on_event

    @contextmanager
    def open(self, title: str) -> Iterator[None]:
        """See :class:`View`."""
        self._title = title
        with Live(self, console=self._console, refresh_per_second=8):
            yield

    def phase(self, text: str) -> None:
        """See :class:`View`."""
        self._phase = text

    def stepped(self, reward: float) -> None:
        """Nothing to do: the view is drawn from the episode."""

    def __rich__(self) -> RenderableType:
        seconds = int(time.monotonic() - self._began)
        episode = self._episode
        clock = f"{seconds // 60}:{seconds % 60:02}"
        parts: list[RenderableType] = [
            Text(self._title, "bold", no_wrap=True, overflow="ellipsis"),
            Text.assemble(
                f"{clock}  step {episode.steps}/{self._steps}  ",
                f"cost ${episode.cost_usd:.4f}  reward {_reward(episode, episode.reward)}  ",
                (self._phase, "cyan"),
                no_wrap=True,
                overflow="ellipsis",
            ),
        ]
        if self.stack.layers:
            parts.append(Panel(self.stack, title="stack", title_align="left", border_style="dim"))
        parts.append(Panel(self._numbers(), title="app", title_align="left", border_style="dim"))
        # The last line is short, so that the terminal's own "^C" does not wrap and shift the view.
        parts.append(Text("Ctrl-C ends the episode and destroys everything.", "dim"))
        return Group(*parts)

    def _numbers(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(justify="right", no_wrap=True, style="bold")
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, style="cyan")
        for row in self._episode.rows.values():
            grid.add_row(
                row.name.replace("_", " "),
                latest(row),
                "" if row.unit in _COUNTS else row.unit,
                _history(row.history[-_HISTORY:]),
            )
        return grid


class Lines:
    """The view where there is no terminal: a line a step.

    Args:
        console: Where to.
        episode: What is shown; someone else fills it.
        steps: How many are wanted.
    """

    def __init__(self, console: Console, episode: Episode, steps: int) -> None:
        self._console = console
        self._episode = episode
        self._steps = steps

    @contextmanager
    def open(self, title: str) -> Iterator[None]:
        """See :class:`View`."""
        self.line(title)
        yield

    def on_event(self, layer: str, event: Event) -> None:
        """Told while the stack is being made; a step's own applies are not worth a line."""
        if self._episode.ended != "running":
            tell(self.line, layer, event)

    def phase(self, text: str) -> None:
        """See :class:`View`."""
        if self._episode.ended != "running":
            self.line(text)

    def stepped(self, reward: float) -> None:
        """Tell the step."""
        names = [*self._episode.definition.controls, *_HEADLINES]
        rows = [self._episode.rows[name] for name in names if name in self._episode.rows]
        numbers = "  ".join(
            f"{row.name.replace('_', ' ')} {latest(row)}{_suffix(row.unit)}"
            for row in rows
            if row.history
        )
        self.line(
            f"step {self._episode.steps:>3}/{self._steps}  {numbers}  "
            f"cost ${self._episode.cost_usd:.4f}  reward {_reward(self._episode, reward)}"
        )

    def line(self, text: str) -> None:
        """Print one line as it is."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Silence:
    """No view."""

    @contextmanager
    def open(self, title: str) -> Iterator[None]:  # noqa: ARG002 - a view's signature
        """Nothing."""
        yield

    def on_event(self, layer: str, event: Event) -> None:
        """Nothing."""

    def phase(self, text: str) -> None:
        """Nothing."""

    def stepped(self, reward: float) -> None:
        """Nothing."""


def choose(output: Output, episode: Episode, steps: int) -> View:
    """The view that fits: live on a terminal, lines elsewhere and beside ``--json``, or none."""
    if output.quiet:
        return Silence()
    if output.json:
        return Lines(output.aside, episode, steps)
    if output.console.is_terminal:
        return Dashboard(output.console, episode, steps)
    return Lines(output.console, episode, steps)


def _reward(episode: Episode, reward: float) -> str:
    money = episode.rows["reward"].unit == "$"
    return f"${reward:+z.4f}" if money else f"{reward:+z.2f}"


def latest(row: Row) -> str:
    """The row's newest value: counts whole, shares in percent, the rest short."""
    if not row.history:
        return "-"
    value = row.history[-1]
    if row.unit == "%":
        return f"{value * 100:.1f}"
    if value.is_integer() and row.unit in _COUNTS:
        return f"{value:.0f}"
    if row.unit.startswith("$"):
        return f"{value:.4f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _suffix(unit: str) -> str:
    """The unit in a sentence, where a count needs none."""
    return "" if unit in ("", *_COUNTS) else f" {unit}"


def _history(values: list[float]) -> str:
    return sparkline(values) if values else ""
