"""The agent that knows nothing."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gymnasium as gym


class RandomAgent:
    """Samples the action space of any environment; the floor that every other agent must beat."""

    def reset(self, seed: int, env: gym.Env[Any, Any]) -> None:
        """See :class:`infra_gym.agents.base.Agent`."""
        self._space = deepcopy(env.action_space)  # its random state is ours, not the environment's
        self._space.seed(seed)

    def act(self, observation: Any, info: dict[str, Any]) -> Any:  # noqa: ARG002
        """See :class:`infra_gym.agents.base.Agent`."""
        return self._space.sample()
