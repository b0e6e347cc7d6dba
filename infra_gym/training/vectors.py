"""The simulated environments that a training steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode, VectorEnv

from infra_gym.definitions.catalog import definition_ids, find_definition
from infra_gym.environments.simulated import SimulatedVectorEnv
from infra_gym.errors import UnknownNameError

_YAML = (".yaml", ".yml")


def is_stack(environment: str) -> bool:
    """Whether it is a definition's id or file, and not an environment without layers."""
    return environment in definition_ids() or environment.endswith(_YAML)


def make_vector(
    environment: str,
    number: int,
    arguments: Mapping[str, Any],
    *,
    episode_steps: int | None = None,
) -> VectorEnv[Any, Any, Any]:
    """Simulated environments, reset in the step in which their episode ends.

    Args:
        environment: An id, ``MODULE:ID``, or the path of a YAML file.
        number: How many.
        arguments: What they are made with.
        episode_steps: Another limit of an episode's steps.

    Raises:
        UnknownNameError: There is no such environment.
        SettingsError: An argument that cannot be, or it cannot be simulated.
    """
    if is_stack(environment):
        return SimulatedVectorEnv(
            number,
            definition=environment,
            target="sim",
            max_episode_steps=episode_steps or find_definition(environment).max_episode_steps,
            autoreset_mode=AutoresetMode.SAME_STEP,
            **arguments,
        )
    try:
        spec = gym.spec(environment)
    except gym.error.Error:
        raise UnknownNameError(
            "environment", environment, {*definition_ids(), *gym.registry}
        ) from None
    limit: dict[str, Any] = {} if episode_steps is None else {"max_episode_steps": episode_steps}
    if spec.vector_entry_point is not None:
        return gym.make_vec(
            environment,
            num_envs=number,
            vectorization_mode="vector_entry_point",
            autoreset_mode=AutoresetMode.SAME_STEP,
            **arguments,
            **limit,
        )
    return gym.make_vec(
        environment,
        num_envs=number,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        **arguments,
        **limit,
    )
