"""Where one environment lives: its names, its clock and its load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra_gym.definitions.models import Definition
from infra_gym.errors import MissingProgramError, SettingsError
from infra_gym.recording import Header
from infra_gym.settings import Settings, Target
from infra_gym.stack import unique_name
from infra_gym.workloads import Workload, parse_workload


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


def find_place(
    definition: Definition,
    settings: Settings,
    interval_s: float | None,
    workload: Mapping[str, Any] | None,
    clock: Target | None = None,
) -> Place:
    """Where an environment of ``definition`` lives.

    Args:
        definition: The environment.
        settings: Target and names.
        interval_s: Another length of a step than the definition's, in seconds.
        workload: Another load than the definition's.
        clock: A target whose interval and time scale hold instead, for the target ``sim``.

    Raises:
        SettingsError: The definition has no such target, or the interval or clock cannot be.
        UsageError: The workload cannot be.
    """
    target = settings.target
    declared = definition.interval_s.get(target)
    has_target = target in definition.layers or (target == "sim" and definition.simulator)
    if declared is None or not has_target:
        targets = sorted([*definition.layers, *(["sim"] if definition.simulator else [])])
        other = "local" if "local" in targets else targets[0]
        raise SettingsError(
            f"{definition.id} has no target {target!r}. Its targets: {', '.join(targets)}.",
            next_command=definition.making(f'target="{other}"') + f", or --target {other}",
        )
    if clock is not None:
        declared = _clock(definition, target, clock)
    interval = declared if interval_s is None else interval_s
    if not isinstance(interval, int | float) or not 0.5 <= interval < float("inf"):
        raise SettingsError(f"interval_s must be at least 0.5 seconds, not {interval!r}")
    return Place(
        target=target,
        project=settings.project,
        environment=settings.environment or unique_name(definition.id, target),
        interval_s=float(interval),
        time_scale=definition.scale(clock or target),
        workload=definition.workload if workload is None else parse_workload(workload),
    )


def _clock(definition: Definition, target: Target, clock: Target) -> float:
    """The interval of another target, for the simulator."""
    declared = definition.interval_s.get(clock)
    if target != "sim" or declared is None:
        raise SettingsError(
            f"clock={clock!r}: only the target sim can go by another target's clock, of those that "
            f"{definition.id} has: {', '.join(definition.interval_s)}."
        )
    return declared


def recorded_place(header: Header, settings: Settings) -> Place:
    """Where a recording is played again: the clock and the load are those that were recorded."""
    told = header.info.get("workload")
    workload = told if isinstance(told, dict) else {}
    return Place(
        target="replay",
        project=settings.project,
        environment=settings.environment or unique_name(header.id, "replay"),
        interval_s=header.interval_s,
        time_scale=header.time_scale,
        workload=parse_workload(
            {key: value for key, value in workload.items() if value is not None}
        ),
    )


def without_programs(error: MissingProgramError, definition: Definition) -> MissingProgramError:
    """The same error, and how to go on without the program that is missing."""
    if definition.simulator is None:
        return error
    return MissingProgramError(
        error.message,
        next_command=f"{error.next_command or 'infra-gym doctor'}\n"
        "Without any program: " + definition.making('target="sim"') + ", or --target sim",
    )
