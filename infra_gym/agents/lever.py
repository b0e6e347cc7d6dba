"""What an agent can do to an environment with one control: find the action that leads somewhere."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from infra_gym.definitions.models import Control
from infra_gym.errors import UsageError
from infra_gym.task.controls import Controls


class Lever:
    """The one control of an environment, whatever its action mode.

    Args:
        env: An infra-gym environment, possibly wrapped.
        agent: Who asks, for the error.

    Raises:
        UsageError: The environment is not ours, or has several controls.
    """

    def __init__(self, env: gym.Env[Any, Any], agent: str) -> None:
        inner: Any = env.unwrapped
        task = getattr(inner, "task", None)
        if task is None or len(inner.definition.controls) != 1:
            raise UsageError(
                f"The agent {agent!r} needs an infra-gym environment with exactly one control, "
                f"which {inner} is not.",
                next_command="use the agent 'random', which takes any environment",
            )
        self._moves: Controls = task.controls
        self.name: str
        self.control: Control
        ((self.name, self.control),) = inner.definition.controls.items()

    def current(self, info: dict[str, Any]) -> int:
        """The control's value as the last step left it."""
        return int(info["controls"][self.name])

    def towards(self, wanted: int, info: dict[str, Any]) -> tuple[int, int]:
        """The action that ends nearest to ``wanted``, and where it ends.

        With ``delta`` actions that is one change from the list, with ``absolute`` ones ``wanted``.
        """
        current = self.current(info)
        ends = [
            int(self._moves.move(action, {self.name: current}).controls[self.name])
            for action in range(self._moves.sizes[0])
        ]
        action = min(
            range(len(ends)), key=lambda each: (abs(ends[each] - wanted), abs(ends[each] - current))
        )
        return action, ends[action]
