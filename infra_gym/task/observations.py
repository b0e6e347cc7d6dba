"""From metrics to the observation vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from infra_gym.definitions.models import Observation

Vector = NDArray[np.float32]


class ObservationVector:
    """A flat float32 vector of shape ``(n,)`` in the definition's order, clipped to its bounds."""

    def __init__(self, observations: Sequence[Observation]) -> None:
        self._observations = tuple(observations)
        self.names = tuple(observation.name for observation in observations)
        self.space = spaces.Box(
            low=np.array([observation.low for observation in observations], dtype=np.float32),
            high=np.array([observation.high for observation in observations], dtype=np.float32),
            dtype=np.float32,
        )

    def build(self, values: Mapping[str, float], before: Mapping[str, float] | None) -> Vector:
        """The vector for ``values``; changes are against ``before`` (0 where there is none)."""
        raw = [
            values[entry.metric] - (before or values)[entry.metric]
            if entry.change
            else values[entry.metric]
            for entry in self._observations
        ]
        return np.clip(np.array(raw, dtype=np.float32), self.space.low, self.space.high)
