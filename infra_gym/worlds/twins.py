"""Which simulated world stands in for a definition's live one."""

from __future__ import annotations

from infra_gym.definitions.models import Definition
from infra_gym.workloads import Workload
from infra_gym.worlds.base import World
from infra_gym.worlds.simulated import SimulatedWorld
from infra_gym.worlds.simulated_faas import SimulatedFaas


def make_twin(
    definition: Definition, *, workload: Workload, interval_s: float, time_scale: float
) -> World:
    """The world behind the target ``sim``, and behind a dry run.

    Args:
        definition: The environment.
        workload: The load.
        interval_s: Seconds of a step.
        time_scale: Modelled seconds in one second.

    Raises:
        DefinitionError: No such simulator, or a control or metric that it does not have.
    """
    kind = SimulatedFaas if definition.simulator == "faas" else SimulatedWorld
    return kind(definition, workload=workload, interval_s=interval_s, time_scale=time_scale)
