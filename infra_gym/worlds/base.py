"""What every world does: apply controls, let one interval pass, and tell what was measured.

A world knows nothing of observations, rewards and ends; a task nothing of how the numbers came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from infra_gym.cost import Bill

ResetMode = Literal["soft", "layer", "full"]
"""``soft`` changes inputs back, ``layer`` replaces the app and its load, ``full`` destroys all
first."""


@dataclass(frozen=True)
class Reading:
    """What was measured over one interval.

    Attributes:
        tick: Number of the interval's end; 0 at reset.
        seconds: Length of the interval on the world's clock, in seconds (0 at reset).
        time_s: Modelled seconds since reset at the interval's end.
        values: One number a metric; formulas are not among them.
        by_label: For metrics with ``by``: one number for each of the label's values.
        empty: Metrics that had nothing to measure, and so have their declared value.
        bill: What an account has been billed since the stack's beginning, where one is.
        notes: What else there is to tell: seconds of apply and sample, pending layers, mismatches,
            vanished series, disturbances, overruns. Goes into ``info`` as it is.
        last: Whether the world has nothing after it, as at a recording's end.
    """

    tick: int
    seconds: float
    time_s: float
    values: Mapping[str, float]
    by_label: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    empty: frozenset[str] = frozenset()
    bill: Bill | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    last: bool = False


class World(Protocol):
    """A live stack, a simulator or a recording."""

    def reset(self, seed: int, controls: Mapping[str, int], mode: ResetMode) -> Reading:
        """Bring the world to its start with these controls and this arrival schedule.

        Raises:
            InfraGymError: The world did not get there; nothing was guessed.
        """

    def step(self, controls: Mapping[str, int]) -> Reading:
        """Apply the controls and let one interval pass."""

    def close(self, *, keep: bool = False) -> None:
        """Tear down what was made, or leave it if ``keep``; harmless when done twice."""
