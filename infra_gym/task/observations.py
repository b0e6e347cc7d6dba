"""From metrics to the observation vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from infra_gym.definitions.models import Observation

Vector = NDArray[np.float32]


class ObservationVector:
    """A flat float32 vector of shape ``(n,)`` in the definition's order, clipped to its bounds."""

    def __init__(self, observations: Sequence[Observation]) -> None:
        # One call picks them all, and the last one twice, so that there are always several.
        picked = [entry.metric for entry in observations]
        self._pick = itemgetter(*picked, picked[-1])
        self._changes = [
            (place, entry.metric) for place, entry in enumerate(observations) if entry.change
        ]
        self.names = tuple(observation.name for observation in observations)
        self.space = spaces.Box(
            low=np.array([observation.low for observation in observations], dtype=np.float32),
            high=np.array([observation.high for observation in observations], dtype=np.float32),
            dtype=np.float32,
        )
        self._low, self._high = self.space.low, self.space.high

    def build(self, values: Mapping[str, float], before: Mapping[str, float] | None) -> Vector:
        """The vector for ``values``; changes are against ``before`` (0 where there is none)."""
        entries, earlier = list(self._pick(values)), before or values
        for place, metric in self._changes:
            entries[place] -= earlier[metric]
        vector = np.array(entries[:-1], dtype=np.float32)
        np.maximum(vector, self._low, out=vector)
        return np.minimum(vector, self._high, out=vector)
