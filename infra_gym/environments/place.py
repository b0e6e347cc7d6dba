"""Where one environment lives: its names, its clock and its load."""

from __future__ import annotations

from dataclasses import dataclass

from infra_gym.definitions.models import Definition
from infra_gym.errors import MissingProgramError
from infra_gym.settings import Target
from infra_gym.workloads import Workload


@dataclass(frozen=True)
class Place:
    """Where one environment lives.

    Attributes:
        target: ``local``, ``sim``, ...
        project: First part of all names.
        environment: Second part.
        interval_s: Seconds of a step on the target's clock.
        time_scale: Modelled seconds in one of the target's seconds.
        workload: The load.
    """

    target: Target
    project: str
    environment: str
    interval_s: float
    time_scale: float
    workload: Workload


def without_programs(error: MissingProgramError, definition: Definition) -> MissingProgramError:
    """The same error, and how to go on without the program that is missing."""
    if definition.simulator is None:
        return error
    return MissingProgramError(
        error.message,
        next_command=f"{error.next_command or 'infra-gym doctor'}\n"
        f'Without any program: gym.make("{definition.id}", target="sim"), or --target sim',
    )
