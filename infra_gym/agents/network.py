"""A trained policy as plain arrays: what it takes to act, without the library that trained it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from infra_gym.agents.senses import Floats

Activation = Literal["relu", "tanh"]


@dataclass(frozen=True)
class Network:
    """A perceptron whose outputs are scores of actions.

    Attributes:
        weights: Of each layer, shape (outputs, inputs).
        biases: Of each layer, shape (outputs,).
        activation: Between the layers.
        rows: Whether it scores one row of an observation at a time, by the same weights: then each
            row is an action.
    """

    weights: Sequence[Floats]
    biases: Sequence[Floats]
    activation: Activation
    rows: bool = False

    def scores(self, seen: Floats) -> Floats:
        """Of each action, for observations of shape (number, ...): shape (number, actions)."""
        values = seen if self.rows else seen.reshape(len(seen), -1)
        last = len(self.weights) - 1
        for layer, (weights, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = values @ weights.T + bias
            if layer < last:
                values = np.tanh(values) if self.activation == "tanh" else np.maximum(values, 0)
        return values[..., 0] if self.rows else values

    def arrays(self) -> dict[str, Floats]:
        """The arrays by name, as :meth:`from_arrays` takes them."""
        named = {f"weights{at}": one for at, one in enumerate(self.weights)}
        return named | {f"bias{at}": one for at, one in enumerate(self.biases)}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, Floats], *, activation: Activation, rows: bool
    ) -> Network:
        """The network of :meth:`arrays`; a missing array is a ``KeyError``."""
        layers = range(sum(name.startswith("bias") for name in arrays))
        return cls(
            [arrays[f"weights{at}"] for at in layers],
            [arrays[f"bias{at}"] for at in layers],
            activation,
            rows,
        )


def best(
    scores: Floats, sizes: Sequence[int], masks: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """The actions with the highest scores.

    Args:
        scores: Shape (number, sum of ``sizes``).
        sizes: How many actions there are of each kind.
        masks: What is allowed, of the shape of ``scores``; where nothing is, the first is taken.

    Returns:
        Shape (number, kinds).
    """
    allowed = scores if masks is None else np.where(masks, scores, -np.inf)
    parts = np.split(allowed, np.cumsum(sizes)[:-1], axis=1)
    return np.stack([part.argmax(axis=1) for part in parts], axis=1)
