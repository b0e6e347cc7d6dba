"""Which simulated world stands in for a definition's live one."""

from __future__ import annotations

from infra_gym.definitions.models import Definition
from infra_gym.errors import DefinitionError
from infra_gym.simulators.webapp_parameters import WebAppParameters, WebAppSpread
from infra_gym.workloads import Workload
from infra_gym.worlds.base import World
from infra_gym.worlds.simulated import SimulatedWorld


def make_twin(
    definition: Definition,
    *,
    workload: Workload,
    interval_s: float,
    time_scale: float,
    parameters: WebAppParameters | WebAppSpread | None = None,
) -> World:
    """The world behind the target ``sim``, and behind a dry run.

    Args:
        definition: The environment.
        workload: The load.
        interval_s: Seconds of a step.
        time_scale: Modelled seconds in one second.
        parameters: Of the web app's twin: a point, or what is drawn from episode by episode.

    Raises:
        DefinitionError: No such simulator, or a control, metric or calibration that it does not
            have.
    """
    if definition.simulator != "faas":
        return SimulatedWorld(
            definition,
            workload=workload,
            interval_s=interval_s,
            time_scale=time_scale,
            parameters=parameters,
        )
    if parameters is not None:
        raise DefinitionError(f"{definition.id}: the simulator faas has no calibration")
    from infra_gym.worlds.simulated_faas import SimulatedFaas  # brings numba, which takes a while

    return SimulatedFaas(
        definition, workload=workload, interval_s=interval_s, time_scale=time_scale
    )
