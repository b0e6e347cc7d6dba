"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Project = Annotated[
    str | None,
    typer.Option(
        "--project", "-p", help="First part of all names; default: settings, else infra-gym.",
        show_default=False,
    ),
]  # fmt: skip
Environment = Annotated[
    str | None,
    typer.Option(
        "--environment", "-e", help="Second part of all names; default: the settings'.",
        show_default=False,
    ),
]  # fmt: skip
Yes = Annotated[
    bool,
    typer.Option("--yes", help="On do: yes, the account may be billed; do not ask."),
]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="local|sim|k8s|do", help="Where it runs; default: the settings', else local.",
        show_default=False,
    ),
]  # fmt: skip
