"""``infra-gym logs``: what the programs of a stack say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from infra_gym.cli.options import Environment, Project, Target
from infra_gym.cli.output import Output, command, styled
from infra_gym.definitions.parts import short_name
from infra_gym.errors import UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from infra_gym.cli.selection import Selection


class Logs(Protocol):
    """What programs say."""

    def last(self, lines: int) -> dict[str, list[str]]:
        """At most so many last lines of each, by its name."""

    def follow(self, lines: int) -> Iterator[tuple[str, str]]:
        """The last lines, then new ones as they come."""


def register(app: typer.Typer) -> None:
    """Add ``logs`` to the program."""
    command(app, "logs")(logs)


def logs(
    output: Output,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="An environment's id, maybe with some of its layers; not needed where -e names "
            "a stack.",
            show_default=False,
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, help="Last lines of each program.")
    ] = 20,
    target: Target = None,
    project: Project = None,
    environment: Environment = None,
) -> None:
    """Show what a stack's programs said last: processes on local, pods on k8s and do."""
    from infra_gym.cli.selection import select

    if follow and output.json:
        raise UsageError("--follow has no end, and --json is one document")
    selection = select(names or (), project=project, environment=environment, target=target)
    with _logs_of(selection) as found:
        if follow:
            _go_on(output, found, lines)
            return
        last = found.last(lines)
    output.result(
        {"environment": selection.name, "target": selection.target, "logs": last},
        *(_line(source, text) for source, texts in last.items() for text in texts),
    )
    if not any(last.values()):
        output.note(f"{selection.name}: no program said anything.")


@contextmanager
def _logs_of(selection: Selection) -> Iterator[Logs]:
    names = None if selection.chosen is None else [short_name(layer) for layer in selection.chosen]
    if selection.target == "local":
        from infra_gym.stack.process_logs import ProcessLogs
        from infra_gym.stack.run_directory import RunFolder

        settings = selection.settings
        folder = RunFolder(settings.data_folder, settings.project, selection.environment)
        yield ProcessLogs(folder.processes, names)
        return
    from infra_gym.cli.reached import cluster_of, namespace_of
    from infra_gym.clouds.kubernetes_logs import PodLogs

    namespace = namespace_of(selection)
    with cluster_of(selection) as cluster:
        yield PodLogs(cluster.calls, namespace, names)


def _go_on(output: Output, found: Logs, lines: int) -> None:
    try:
        for source, text in found.follow(lines):
            output.result(None, _line(source, text))
    except KeyboardInterrupt:
        return  # Ctrl-C is how it ends


def _line(source: str, text: str) -> Text:
    return styled("dim", f"{source} | ", text)
