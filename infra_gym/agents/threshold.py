"""The classic rule: one more above a threshold, one fewer below another."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from infra_gym.agents.lever import Lever
from infra_gym.errors import UnknownNameError, UsageError


class ThresholdAgent:
    """Adds one replica while a metric is above ``high``, and removes one while it is below ``low``.

    The defaults are for utilisation. One replica fewer of three must not push it above ``high`` at
    once, or the rule would swing: ``low <= 2/3 high``. See :mod:`infra_gym.agents.hpa` for what
    utilisation a replica stands.

    Args:
        metric: The metric's name in ``info["metrics"]``.
        high: Above it, one is added.
        low: Below it, one is removed.
        patience: Turns in a row that the metric has to be below ``low`` before one is removed.

    Raises:
        UsageError: ``low`` is not below ``high``, or there is no patience.
    """

    def __init__(
        self,
        metric: str = "utilisation",
        high: float = 0.65,
        low: float = 0.4,
        patience: int = 1,
    ) -> None:
        if not low < high:
            raise UsageError(f"The agent 'threshold' needs low < high, not {low} and {high}.")
        if patience < 1:
            raise UsageError(f"The agent 'threshold' needs patience from 1, not {patience}.")
        self._metric = metric
        self._high = high
        self._low = low
        self._patience = patience

    def reset(self, seed: int, env: gym.Env[Any, Any]) -> None:  # noqa: ARG002
        """See :class:`infra_gym.agents.base.Agent`."""
        self._lever = Lever(env, "threshold")
        self._turns_below = 0

    def act(self, observation: Any, info: dict[str, Any]) -> Any:  # noqa: ARG002
        """See :class:`infra_gym.agents.base.Agent`."""
        value = info["metrics"].get(self._metric)
        if value is None:
            raise UnknownNameError("metric", self._metric, info["metrics"])
        self._turns_below = self._turns_below + 1 if value < self._low else 0
        step = int(value > self._high) - int(self._turns_below >= self._patience)
        return self._lever.towards(self._lever.current(info) + step, info)[0]
