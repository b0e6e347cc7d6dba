"""An agent for BatchScheduling-v0 that always names the job with the highest score."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from infra_gym.agents.base import Agent
from infra_gym.environments.batch import BatchSchedulingEnv
from infra_gym.errors import UsageError
from infra_gym.simulators.batch import score_jobs, score_program


class BatchRuleAgent(Agent):
    """First come first served, shortest job first, WFP3, UNICEF, F1, or any other score.

    Args:
        score: A name of :data:`infra_gym.simulators.batch.SCORES`, or an expression over
            :data:`infra_gym.simulators.batch.NAMES`. Of equals the first row is named.

    Raises:
        ExpressionError: The score is malformed or uses another name.
    """

    def __init__(self, score: str = "fcfs") -> None:
        score_program(score)
        self.score = score

    def reset(self, seed: int, env: gym.Env[Any, Any]) -> None:  # noqa: ARG002
        """See :class:`~infra_gym.agents.Agent`.

        Raises:
            UsageError: The environment is not a BatchScheduling-v0.
        """
        if not isinstance(env.unwrapped, BatchSchedulingEnv):
            raise UsageError("The agent 'batch' acts in BatchScheduling-v0 only.")
        self._env = env.unwrapped

    def act(self, observation: Any, info: dict[str, Any]) -> int:  # noqa: ARG002
        """The row of the job with the highest score.

        Raises:
            ExpressionError: The score of a job is no number.
        """
        shown = self._env.shown
        if not len(shown):
            return 0
        scores = score_jobs(self._env.batch.jobs, self.score, shown, self._env.time_s)
        return int(np.argmax(scores))
