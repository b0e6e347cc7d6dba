"""Options that several commands share."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer


class ActionMode(enum.Enum):
    """What an action is: a change of the control, or its value."""

    DELTA = "delta"
    ABSOLUTE = "absolute"


class Form(enum.Enum):
    """How a simulator goes: request by request, or by flows."""

    REFERENCE = "reference"
    FLUID = "fluid"


Identifier = Annotated[
    str, typer.Argument(metavar="ID", help="An environment's id, or the path of a YAML file.")
]
AnyIdentifier = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="An environment's id, MODULE:ID, or the path of a YAML file."
    ),
]
Steps = Annotated[
    int | None, typer.Option(min=1, help="At most so many.", show_default="all of the episode")
]
EpisodeSteps = Annotated[int, typer.Option(min=1, help="Steps of the episode.")]
Interval = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Length of a step.", show_default=False)
]
BudgetUsd = Annotated[
    float | None,
    typer.Option(
        help="Stop when so much is spent; on do with the teardown kept back, for which 10 minutes "
        "are assumed.",
        show_default=False,
    ),
]
SearchBudget = Annotated[
    int,
    typer.Option(min=1, metavar="STEPS", help="Of environments, for the search of one rule."),
]
Processes = Annotated[
    int | None,
    typer.Option(min=1, help="Processes at once, for simulators.", show_default="as many as cores"),
]

Action = Annotated[
    ActionMode | None,
    typer.Option(help="What an action is; default: the definition's.", show_default=False),
]
Fidelity = Annotated[
    Form | None,
    typer.Option(
        help="Of the simulator: request by request, or by flows.", show_default="reference"
    ),
]
Calibration = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH", help="Of the simulator, as `infra-gym calibrate` wrote it.",
        show_default=False, dir_okay=False,
    ),
]  # fmt: skip
Randomise = Annotated[
    bool,
    typer.Option("--randomise", help="Draw the simulator's parameters from the calibration."),
]

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
