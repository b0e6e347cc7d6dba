"""``infra-gym kubeconfig``: the way to a stack's cluster, for ``kubectl`` and others."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from infra_gym.cli.options import Environment, Project, Target
from infra_gym.cli.output import Output, command
from infra_gym.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add ``kubeconfig`` to the program."""
    command(app, "kubeconfig")(kubeconfig)


def kubeconfig(
    output: Output,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]",
            help="An environment's id; not needed where -e names a stack.",
            show_default=False,
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", show_default=False,
            help="Write it there, for its owner's eyes only; default: print it.",
        ),
    ] = None,
    target: Target = None,
    project: Project = None,
    environment: Environment = None,
) -> None:  # fmt: skip
    """Print a kubeconfig for a stack's cluster, with the stack's namespace as its default.

    It holds the same credentials as the one that the stack was made with; on target do new ones,
    got from the account, which end two hours after the stack's expiry.
    """
    from infra_gym.cli.reached import cluster_of, namespace_of
    from infra_gym.cli.selection import select

    selection = select(names or (), project=project, environment=environment, target=target)
    namespace = namespace_of(selection)
    with cluster_of(selection) as cluster:
        text = cluster.kubeconfig(namespace)
        context = cluster.context
    place = {"context": context, "namespace": namespace}
    if write is None:
        output.result({**place, "kubeconfig": text}, text.rstrip())
        return
    _write(write, text)
    output.result(
        {**place, "file": write.absolute()},
        f"export KUBECONFIG={shlex.quote(str(write.absolute()))}",
    )
    output.note(f"context {context}, namespace {namespace}")


def _write(file: Path, text: str) -> None:
    """Make the file so that nobody else can read it, not even for a moment."""
    from infra_gym.clouds.kubernetes_credentials import write_secret

    try:
        write_secret(file, text.encode())
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}", next_command="--output ANOTHER_FILE"
        ) from error
