"""What a trained policy sees: the last few observations, each on a scale that suits a network.

The same arithmetic for a batch in training and for one environment at play, on arrays alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
Kind = Literal["none", "shares", "standard"]

_LEAST = 1e-5  # the smallest share that the scale of shares tells from 0


@dataclass(frozen=True)
class Scale:
    """How one observation becomes what a network takes.

    Attributes:
        kind: ``standard``: less ``mean``, over ``deviation``, cut at ``limit``; ``shares``: numbers
            from 0 to 1 by their logarithm, from 0 for 0.00001 and less to 1 for 1; ``none``: as
            they are.
        mean: Of each number of an observation; only with ``standard``.
        deviation: Its standard deviation, above 0; only with ``standard``.
        limit: How many deviations are seen.
    """

    kind: Kind
    mean: Floats
    deviation: Floats
    limit: float = 10.0

    @classmethod
    def plain(cls, kind: Kind, shape: tuple[int, ...]) -> Scale:
        """The scale before anything was seen."""
        return cls(kind, np.zeros(shape, np.float32), np.ones(shape, np.float32))

    def __call__(self, observations: ArrayLike) -> Floats:
        """Observations, shape (..., *shape), on this scale; a new array."""
        if self.kind == "none":
            return np.array(observations, dtype=np.float32)
        if self.kind == "shares":
            shares = np.maximum(np.asarray(observations, dtype=np.float32), np.float32(_LEAST))
            return np.asarray(np.log10(shares) / 5 + 1, dtype=np.float32)
        # In double precision: a large count less a large mean keeps its last digits.
        seen = np.subtract(observations, self.mean, dtype=np.float64) / self.deviation
        return np.clip(seen, -self.limit, self.limit).astype(np.float32)


class Memory:
    """The last observations of many episodes, newest last; at an episode's start all are the first.

    Args:
        number: How many episodes at once.
        frames: How many observations are kept of each, at least 1.
        shape: Of one observation.
    """

    def __init__(self, number: int, frames: int, shape: tuple[int, ...]) -> None:
        self._kept = np.zeros((number, frames, *shape), np.float32)

    def begin(self, places: Any, first: Floats) -> None:
        """Forget the episodes in ``places``, and begin with their ``first`` observations."""
        self._kept[places] = first[:, None]

    def add(self, newest: Floats) -> None:
        """One more observation of every episode."""
        self._kept[:, :-1] = self._kept[:, 1:]
        self._kept[:, -1] = newest

    def seen(self, places: Any = slice(None)) -> Floats:
        """What the policy sees: shape (places, frames x numbers), or (places, *shape) of one frame;
        a new array.
        """
        kept: Floats = self._kept[places]
        seen: Floats = kept[:, 0] if kept.shape[1] == 1 else kept.reshape(len(kept), -1)
        return seen.copy()
