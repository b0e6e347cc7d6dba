"""``infra-gym report``: run logs as one page for a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra_gym.cli.output import Output, command


def register(app: typer.Typer) -> None:
    """Add ``report`` to the program."""
    command(app, "report")(report)


def report(
    output: Output,
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run logs; several are compared.", dir_okay=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Where the page goes.",
            show_default="the first log's name, with .html",
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Make a page of what runs did: load, replicas, latency, cost, reward, actions, timings.

    The page is one HTML file. It needs no network and runs no script.
    """
    from infra_gym.evaluation.report import write_report

    path = write_report(runs, out or runs[0].with_suffix(".html"))
    output.result({"report": path, "runs": runs}, f"Report: {path}")
