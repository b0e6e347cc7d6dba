"""What a command prints, and how it ends.

Results go to standard output: tables for people, or with ``--json`` exactly one JSON document.
Progress, notes and errors go to standard error. :func:`command` gives every command the options
``--json``, ``--quiet`` and ``--debug``, turns an :class:`~infra_gym.errors.InfraGymError` into its
message and exit code, and a signal into 128 plus its number.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import math
import os
import signal
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from infra_gym.cli.signals import Interrupted, Signals
from infra_gym.errors import InfraGymError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

PANEL = "Output"
_PIPE_WIDTH = 160
Function = TypeVar("Function", bound=Callable[..., None])

_JSON = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document, nothing else.", rich_help_panel=PANEL),
]
_QUIET = Annotated[
    bool,
    typer.Option(
        "--quiet", help="No progress and no notes, only the result.", rich_help_panel=PANEL
    ),
]
_DEBUG = Annotated[
    bool,
    typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=PANEL),
]


@dataclass(frozen=True)
class Output:
    """The three options, and the two places to print to."""

    json: bool = False
    quiet: bool = False
    debug: bool = False

    @functools.cached_property
    def console(self) -> Console:
        """Standard output, for results."""
        from rich.console import Console

        console = Console()
        if not console.is_terminal and "COLUMNS" not in os.environ:
            console.width = _PIPE_WIDTH  # ids and paths stay whole, for grep and cut
        return console

    @functools.cached_property
    def aside(self) -> Console:
        """Standard error, for progress, notes and errors."""
        from rich.console import Console

        return Console(stderr=True)

    def result(self, document: Any, *renderables: RenderableType) -> None:
        """Print the result: ``document`` with ``--json``, else ``renderables``; text as it is."""
        if self.json:
            typer.echo(json.dumps(plain(document), indent=2, allow_nan=False))
            return
        from rich.text import Text

        for renderable in renderables:
            # Lines are left to the terminal to wrap, so that they can be copied.
            is_line = isinstance(renderable, str | Text)
            self.console.print(renderable, soft_wrap=is_line, markup=False, highlight=False)

    def note(self, text: str) -> None:
        """Say something that is not the result."""
        if not self.quiet:
            self.aside.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)

    def error(self, error: InfraGymError | str) -> None:
        """Say what went wrong; ``--json`` gets it as a document as well."""
        if self.json:
            self.result({"error": _error_document(error)})
        first, _, rest = str(error).partition("\n")
        self.aside.print(f"Error: {first}", style="bold red", **_AS_IT_IS)
        if rest:
            self.aside.print(rest, **_AS_IT_IS)


_AS_IT_IS: dict[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}


def command(app: typer.Typer, name: str, **settings: Any) -> Callable[[Function], Function]:
    """Register ``function(output, ...)`` as a command of ``app``."""

    def register(function: Function) -> Function:
        @functools.wraps(function)
        def run(*, json: bool, quiet: bool, debug: bool, **arguments: Any) -> None:
            output = Output(json=json, quiet=quiet, debug=debug)
            code = _run(output, functools.partial(function, output, **arguments))
            if code:
                raise typer.Exit(code)

        parameters = _parameters(function)
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name, **settings)(run)
        return function

    return register


def _parameters(function: Callable[..., None]) -> list[inspect.Parameter]:
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    common = {"json": _JSON, "quiet": _QUIET, "debug": _DEBUG}
    return [
        *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
        *(
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation
            )
            for name, annotation in common.items()
        ),
    ]


def _run(output: Output, function: Callable[[], None]) -> int:
    """The exit code of ``function``; errors are printed."""
    signals = Signals()
    try:
        with signals, _warnings_told(output):
            function()
    except InfraGymError as error:
        if output.debug:
            traceback.print_exception(error)
        output.error(error)
        return error.exit_code
    except KeyboardInterrupt as interruption:
        output.error(str(interruption) or str(Interrupted(signals.first or signal.SIGINT)))
        return 128 + (signals.first or signal.SIGINT)
    except BrokenPipeError:
        raise
    except OSError as error:
        if output.debug:
            traceback.print_exception(error)
        output.error(f"The operating system refused: {error}")
        return 1
    return 0


@contextmanager
def _warnings_told(output: Output) -> Iterator[None]:
    """A warning is a note: its place in the source helps nobody who typed a command."""

    def tell(message: Warning | str, *_: object, **__: object) -> None:
        output.note(f"Warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = tell
        yield


def table(*columns: str, rows: Iterable[Sequence[Any]], title: str | None = None) -> Table:
    """A plain table; a column whose name starts with ``>`` is aligned right."""
    from rich import box
    from rich.table import Table

    made = Table(
        title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False
    )
    for column in columns:
        made.add_column(
            column.removeprefix(">"),
            justify="right" if column.startswith(">") else "left",
            overflow="fold",
        )
    for row in rows:
        made.add_row(*(cell if hasattr(cell, "__rich__") else _cell(cell) for cell in row))
    return made


def mark(ok: bool | None) -> Text:
    """A tick, a cross, or for ``None`` a dash."""
    from rich.text import Text

    symbol, style = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("-", "dim")}[ok]
    return Text(symbol, style)


def styled(style: str, text: str, rest: str = "") -> Text:
    """``text`` in a style, and the rest plain."""
    from rich.text import Text

    return Text.assemble((text, style), rest)


def _cell(value: Any) -> Any:
    from rich.text import Text

    if isinstance(value, Text):
        return value
    return Text("" if value is None else shown(value))


def shown(value: Any) -> str:
    """A value for people: strings as they are, numbers short, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.4g}"
    return json.dumps(plain(value))


def plain(value: Any) -> Any:
    """``value`` as JSON has it: no NumPy, no models, ``null`` for a number that is not finite."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return plain(value.tolist())
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


def _error_document(error: InfraGymError | str) -> dict[str, Any]:
    if isinstance(error, str):
        return {"message": error}
    return {
        "type": type(error).__name__,
        "message": error.message,
        "environment": error.environment,
        "target": error.target,
        "layer": error.layer,
        "next": error.next_command,
    }
