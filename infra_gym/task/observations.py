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
        self._metrics = tuple((entry.metric, entry.change) for entry in observations)
        self.names = tuple(observation.name for observation in observations)
        self.space = spaces.Box(
            low=np.array([observation.low for observation in observations], dtype=np.float32),
            high=np.array([observation.high for observation in observations], dtype=np.float32),
            dtype=np.float32,
        )

    def build(self, values: Mapping[str, float], before: Mapping[str, float] | None) -> Vector:
        """The vector for ``values``; changes are against ``before`` (0 where there is none)."""
        earlier = before or values
        vector = np.array(
            [
                values[metric] - earlier[metric] if change else values[metric]
                for metric, change in self._metrics
            ],
            dtype=np.float32,
        )
        np.maximum(vector, self.space.low, out=vector)
        return np.minimum(vector, self.space.high, out=vector)
