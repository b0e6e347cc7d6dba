"""Worlds of many environments at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from infra_gym.errors import MetricsError

Masks = dict[str, NDArray[np.bool_]]
"""Where something is so, by name."""


class ColumnWorld(Protocol):
    """Many environments of one definition, each at a tick of its own."""

    @property
    def control(self) -> str:
        """The definition's control that sets the replicas."""

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that have one value and are no formulas, in the definition's order."""

    def begin(self, places: NDArray[np.int64], seeds: Sequence[int], replicas: int) -> None:
        """Begin episodes in some places, each with its seed."""

    def step(self, replicas: NDArray[np.int64], idle: NDArray[np.bool_]) -> None:
        """Let an interval pass in each environment that is not ``idle``.

        Args:
            replicas: The control of each, shape (num_envs,).
            idle: Which stay as they are, shape (num_envs,).
        """

    def read(self, rows: NDArray[np.float64], places: NDArray[np.int64] | slice) -> Masks:
        """The last interval's metrics, and where they had nothing to measure.

        Args:
            rows: Filled, one for each of :attr:`names`; shape (metrics, places).
            places: Of which environments.

        Raises:
            MetricsError: There was nothing to measure for a metric that declares no ``empty``.
        """

    @property
    def ticks(self) -> NDArray[np.int64]:
        """Intervals since each one's reset, shape (num_envs,)."""

    def by_label(self, place: int) -> dict[str, dict[str, float]]:
        """One environment's metrics with one value for each of a label's values."""

    def notes(self, place: int) -> dict[str, Any]:
        """What is told of one environment's episode when it begins: a hash of its load, and drawn
        parameters."""


def tell(
    rows: NDArray[np.float64],
    values: NDArray[np.float64],
    places: NDArray[np.int64] | slice,
    empty: Mapping[str, float | None],
) -> Masks:
    """Fill ``rows`` as :meth:`ColumnWorld.read` does.

    Args:
        rows: Shape (metrics, places).
        values: Of all environments; NaN where there was nothing to measure.
        places: Of which environments.
        empty: What is declared for each metric then.

    Raises:
        MetricsError: There was nothing to measure for a metric that declares no ``empty``.
    """
    rows[:] = values[:, places]
    if not math.isnan(np.add.reduce(rows, axis=None)):
        return {}  # a sum with a NaN is none, and most steps have none
    masks = {}
    for name, row in zip(empty, rows, strict=True):
        nothing = np.isnan(row)
        if nothing.any():
            row[nothing] = otherwise(name, empty)
            masks[name] = nothing
    return masks


def otherwise(name: str, empty: Mapping[str, float | None]) -> float:
    """What is declared for a metric that has nothing to measure.

    Raises:
        MetricsError: Nothing is.
    """
    declared = empty[name]
    if declared is None:
        raise MetricsError(
            f"metric {name} has nothing to measure",
            next_command=f"give {name} an `empty:` value in the definition",
        )
    return declared
