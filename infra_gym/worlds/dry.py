"""A dry run: the plan is shown, nothing is touched, and the numbers come from the simulator."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping

from infra_gym.stack import Stack
from infra_gym.worlds.base import Reading, ResetMode, World


class DryRun:
    """Plans where another world would apply.

    Args:
        stack: What is planned, and never applied.
        twin: Where the metrics come from.
    """

    def __init__(self, stack: Stack, twin: World) -> None:
        self.stack = stack
        self._twin = twin

    def reset(self, seed: int, controls: Mapping[str, int], mode: ResetMode) -> Reading:
        """Print the plan of the whole stack to standard error; ``info["plan"]`` has it as well."""
        plans = self.stack.plan()
        lines = [
            f"{layer}: {plan.adds} to add, {plan.modifies} to change, {plan.removes} to destroy"
            for layer, plan in plans.items()
        ]
        print("\n".join(["Dry run, nothing is touched:", *lines]), file=sys.stderr)  # noqa: T201
        reading = self._twin.reset(seed, controls, mode)
        return dataclasses.replace(reading, notes={**reading.notes, "plan": lines})

    def step(self, controls: Mapping[str, int]) -> Reading:
        """One interval of the simulator."""
        return self._twin.step(controls)

    def close(self, *, keep: bool = False) -> None:
        """Nothing was made."""
        self._twin.close(keep=keep)
