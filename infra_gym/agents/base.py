"""What an agent is."""

from __future__ import annotations

from typing import Any, Protocol

import gymnasium as gym


class Agent(Protocol):
    """Something that acts: a rule, an autoscaler, a trained policy.

    An episode is one ``reset`` and then one ``act`` a step::

        observation, info = env.reset(seed=1)
        agent.reset(1, env)
        while not over:
            action = agent.act(observation, info)
            observation, reward, terminated, truncated, info = env.step(action)
    """

    def reset(self, seed: int, env: gym.Env[Any, Any]) -> None:
        """Begin an episode in ``env``, and forget the one before.

        Args:
            seed: Decides all that is random in the agent.
            env: What it will act in. Agents may read ``env.unwrapped``, and change nothing.

        Raises:
            UsageError: The agent cannot act in this environment.
        """

    def act(self, observation: Any, info: dict[str, Any]) -> Any:
        """The action for what ``env.reset`` or ``env.step`` returned last."""
