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

    def begin(
        self,
        places: NDArray[np.int64],
        seeds: Sequence[int],
        replicas: int,
        rows: NDArray[np.float64],
    ) -> Masks:
        """Begin episodes in some places, each with its seed.

        Args:
            places: Which.
            seeds: Of each.
            replicas: So many are ready at first.
            rows: Filled with the first metrics, one row for each of :attr:`names`, one column for
                each of the places; there may be room for more.

        Returns:
            Where a metric had nothing to measure.

        Raises:
            MetricsError: There was nothing to measure for a metric that declares no ``empty``.
        """

    def step(
        self, replicas: NDArray[np.int64], idle: NDArray[np.bool_], rows: NDArray[np.float64]
    ) -> Masks:
        """Let an interval pass in each environment that is not ``idle``.

        Args:
            replicas: The control of each, shape (num_envs,).
            idle: Which stay as they are, shape (num_envs,).
            rows: Filled with the interval's metrics as by :meth:`begin`, one column for each
                environment. Of those that are idle, they are what they were before, or those of
                the last interval.

        Returns:
            Where a metric had nothing to measure.

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
    rows: NDArray[np.float64], values: NDArray[np.float64], empty: Mapping[str, float | None]
) -> Masks:
    """Fill ``rows`` with ``values``, which may have fewer rows and columns; see
    :func:`fill_empty`."""
    part = rows[: values.shape[0], : values.shape[1]]
    part[:] = values
    return fill_empty(part, empty)


def fill_empty(rows: NDArray[np.float64], empty: Mapping[str, float | None]) -> Masks:
    """Put the declared values where metrics had nothing to measure.

    Args:
        rows: One for each metric; NaN where there was nothing to measure.
        empty: What is declared for each metric then.

    Returns:
        Where that was.

    Raises:
        MetricsError: There was nothing to measure for a metric that declares no ``empty``.
    """
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
