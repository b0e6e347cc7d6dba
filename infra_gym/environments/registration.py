"""Every definition of the catalog, and every simulated environment, as an id of ``gym.make``."""

from __future__ import annotations

import gymnasium as gym

from infra_gym.definitions.catalog import definition_ids, find_definition
from infra_gym.errors import DefinitionError

ENTRY_POINT = "infra_gym.environments.make:make"

VECTOR_ENTRY_POINT = "infra_gym.environments.simulated:SimulatedVectorEnv"
"""Of the definitions that have a simulator."""

SIMULATED = {
    "BatchScheduling-v0": "infra_gym.environments.batch:BatchScheduling",
    "Scaling-v0": "infra_gym.environments.scaling:Scaling",
}
"""Ids of the environments that have no definition, and where they are: the single form there ends
with ``Env``, the batch with ``VectorEnv``. They are imported when one is made."""


def register_all() -> None:
    """Register what is not registered yet; importing :mod:`infra_gym` does it."""
    for environment_id, place in SIMULATED.items():
        if environment_id not in gym.registry:
            gym.register(
                environment_id,
                entry_point=f"{place}Env",
                vector_entry_point=f"{place}VectorEnv",
            )
    for environment_id in definition_ids():
        if environment_id in gym.registry:
            continue
        steps: int | None = None
        vector: str | None = None
        try:
            found = find_definition(environment_id)
            steps = found.max_episode_steps
            vector = VECTOR_ENTRY_POINT if found.simulator else None
        except DefinitionError:
            # Somebody's unfinished file must not take every other environment away, nor be talked
            # of by those who do not ask for it: making it tells what is wrong.
            steps = vector = None
        gym.register(
            environment_id,
            entry_point=ENTRY_POINT,
            vector_entry_point=vector,
            kwargs={"definition": environment_id},
            max_episode_steps=steps,
            nondeterministic=True,  # live targets are; the simulator is not
        )
