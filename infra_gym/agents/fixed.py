"""The agent that provisions once."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from infra_gym.agents.lever import Lever
from infra_gym.errors import UsageError


class FixedAgent:
    """Goes to a number of replicas and stays there: what many operators do.

    Args:
        replicas: The number; left out, what the environment starts with.
    """

    def __init__(self, replicas: int | None = None) -> None:
        self._replicas = replicas

    def reset(self, seed: int, env: gym.Env[Any, Any]) -> None:  # noqa: ARG002
        """See :class:`infra_gym.agents.base.Agent`."""
        self._lever = Lever(env, "fixed")
        control = self._lever.control
        self._wanted = control.initial if self._replicas is None else self._replicas
        if not control.low <= self._wanted <= control.high:
            raise UsageError(
                f"The agent 'fixed' cannot keep {self._wanted} {self._lever.name}: "
                f"this environment has {control.low} to {control.high}."
            )

    def act(self, observation: Any, info: dict[str, Any]) -> Any:  # noqa: ARG002
        """See :class:`infra_gym.agents.base.Agent`."""
        return self._lever.towards(self._wanted, info)[0]
