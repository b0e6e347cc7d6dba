"""``infra-gym validate``: whether the file of a benchmark says what was."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra_gym.cli.counting import counting
from infra_gym.cli.options import Processes
from infra_gym.cli.output import Output, command


def register(app: typer.Typer) -> None:
    """Add ``validate`` to the program."""
    command(app, "validate")(validate)


def validate(
    output: Output,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="As `infra-gym benchmark --out` wrote it.")
    ],
    workers: Processes = None,
) -> None:
    """Check a benchmark's file: play its episodes (target sim) or score its recordings again.

    A number that is another one is refused, with its place and both values; so is a file that was
    changed after it was written.
    """
    from infra_gym.evaluation.processes import cores
    from infra_gym.evaluation.results import read_results
    from infra_gym.evaluation.validate import validate as validated

    found = read_results(file)
    with counting(output, "Checking episodes") as told:
        verdict = validated(found, file.parent, workers=workers or cores(), progress=told)
    document = {
        "file": file,
        "holds": True,
        "how": verdict.how,
        "episodes": verdict.episodes,
        "notes": verdict.notes,
    }
    output.result(
        document,
        f"{file} holds: its {verdict.episodes} episodes on {found.target} were {verdict.how}, and "
        "every number is the same.",
        *(f"Note: {note}." for note in verdict.notes),
    )
