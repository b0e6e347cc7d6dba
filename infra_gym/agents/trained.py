"""The agent that ``infra-gym train`` made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from infra_gym.agents.model_file import read
from infra_gym.agents.network import best
from infra_gym.agents.senses import Memory
from infra_gym.errors import UsageError


class TrainedAgent:
    """Does what its policy holds for best.

    It needs neither Stable-Baselines3 nor PyTorch, and loads no pickle.

    Args:
        path: The ``model.zip`` of a training.

    Raises:
        UsageError: It is no model.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._model = read(path)
        self._fresh = True

    def reset(self, seed: int, env: gym.Env[Any, Any]) -> None:  # noqa: ARG002
        """See :class:`infra_gym.agents.base.Agent`.

        Raises:
            UsageError: The model is for another environment, or for other spaces.
        """
        document = self._model.document
        identifier, named = environment_id(env), _named(env)
        shape, sizes = env.observation_space.shape or (), action_sizes(env.action_space)
        if identifier != document.environment:
            raise UsageError(
                f"The model {self._path} is for {document.environment}, and this is {identifier}.",
                next_command=f"infra-gym train {named}",
            )
        if not self._fits(shape, sizes):
            raise UsageError(
                f"The model {self._path} takes observations of shape {document.observation_shape} "
                f"and chooses from {_times(document.actions)} actions; this environment gives "
                f"{shape} and has {_times(sizes)}.",
                next_command="make the environment as it was in training (its actions too), or "
                f"infra-gym train {named}",
            )
        self._sizes = sizes or ()
        self._memory = Memory(1, document.frames, shape)
        self._fresh = True
        self._env: Any = env.unwrapped

    def act(self, observation: Any, info: dict[str, Any]) -> Any:
        """See :class:`infra_gym.agents.base.Agent`."""
        seen = self._model.scale(np.asarray(observation)[None])
        if self._fresh:
            self._memory.begin(slice(None), seen)
            self._fresh = False
        else:
            self._memory.add(seen)
        document = self._model.document
        masks = self._masks(info) if document.masked else None
        actions = best(self._model.network.scores(self._memory.seen()), self._sizes, masks)[0]
        return int(actions[0]) if len(actions) == 1 else actions

    def _masks(self, info: dict[str, Any]) -> Any:
        mask = info["action_mask"] if "action_mask" in info else self._env.action_masks()
        return np.asarray(mask, dtype=np.bool_)[None]

    def _fits(self, shape: tuple[int, ...], sizes: tuple[int, ...] | None) -> bool:
        """Whether the spaces are the model's; one that scores rows takes any number of them."""
        document = self._model.document
        if document.rows:
            return shape[1:] == document.observation_shape[1:] and sizes == shape[:1]
        return shape == document.observation_shape and sizes == document.actions


def environment_id(env: gym.Env[Any, Any]) -> str | None:
    """The id of an environment, whoever made it."""
    definition = getattr(env.unwrapped, "definition", None)
    if definition is not None:
        return str(definition.id)
    return None if env.spec is None else env.spec.id


def _named(env: gym.Env[Any, Any]) -> str:
    """What to type for an environment in a shell, whoever made it."""
    definition = getattr(env.unwrapped, "definition", None)
    return str(environment_id(env) if definition is None else definition.named)


def action_sizes(space: spaces.Space[Any]) -> tuple[int, ...] | None:
    """How many actions there are of each kind; ``None``: they are no whole numbers from 0."""
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return (int(space.n),)
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1 and not space.start.any():
        return tuple(int(size) for size in space.nvec)
    return None


def _times(sizes: tuple[int, ...] | None) -> str:
    return "no countable" if sizes is None else " x ".join(str(size) for size in sizes)
