"""Which simulated world stands in for a definition's live one, alone or many at once."""

from __future__ import annotations

from typing import Literal

from infra_gym.definitions.models import Definition
from infra_gym.errors import DefinitionError, SettingsError
from infra_gym.simulators.webapp_parameters import WebAppParameters, WebAppSpread
from infra_gym.workloads import Workload
from infra_gym.worlds.base import World
from infra_gym.worlds.columns import ColumnWorld
from infra_gym.worlds.simulated import SimulatedWorld
from infra_gym.worlds.simulated_faas import FaasBatch
from infra_gym.worlds.single import SingleWorld

Fidelity = Literal["reference", "fluid"]
"""How a simulator goes: request by request, or by flows."""
Parameters = WebAppParameters | WebAppSpread | None
"""Of the web app's twin: a point, what is drawn from episode by episode, or the defaults."""


def make_twin(
    definition: Definition,
    *,
    workload: Workload,
    interval_s: float,
    time_scale: float,
    fidelity: Fidelity = "reference",
    parameters: Parameters = None,
) -> World:
    """The world behind the target ``sim``, and behind a dry run.

    Args:
        definition: The environment.
        workload: The load.
        interval_s: Seconds of a step.
        time_scale: Modelled seconds in one second.
        fidelity: Of the web app's twin.
        parameters: Of the web app's twin.

    Raises:
        DefinitionError: No such simulator, or a control, metric or calibration that it does not
            have.
        SettingsError: It has no fluid form.
    """
    if definition.simulator == "faas" or fidelity == "fluid":
        one = make_twins(
            definition,
            1,
            workload=workload,
            interval_s=interval_s,
            time_scale=time_scale,
            fidelity=fidelity,
            parameters=parameters,
        )
        return SingleWorld(one, interval_s=interval_s, time_scale=time_scale)
    return SimulatedWorld(
        definition,
        workload=workload,
        interval_s=interval_s,
        time_scale=time_scale,
        parameters=parameters,
    )


def make_twins(
    definition: Definition,
    num_envs: int,
    *,
    workload: Workload,
    interval_s: float,
    time_scale: float,
    fidelity: Fidelity = "reference",
    parameters: Parameters = None,
) -> ColumnWorld:
    """Many of :func:`make_twin`, each with the numbers of the single one."""
    if definition.simulator == "faas":
        if fidelity == "fluid":
            raise SettingsError(
                f"{definition.id} has the simulator faas, which has no fluid form.",
                next_command="leave fidelity out",
            )
        if parameters is not None:
            raise DefinitionError(f"{definition.id}: the simulator faas has no calibration")
        return FaasBatch(
            definition,
            num_envs,
            workload=workload,
            interval_s=interval_s,
            time_scale=time_scale,
        )
    # Both bring numba, which takes a while.
    if fidelity == "fluid":
        from infra_gym.worlds.fluid import FluidBatch

        return FluidBatch(
            definition,
            num_envs,
            workload=workload,
            interval_s=interval_s,
            time_scale=time_scale,
            parameters=parameters,
        )
    from infra_gym.worlds.reference import ReferenceBatch

    return ReferenceBatch(
        definition,
        num_envs,
        workload=workload,
        interval_s=interval_s,
        time_scale=time_scale,
        parameters=parameters,
    )
