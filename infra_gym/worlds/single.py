"""A batch of one, as a world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra_gym.errors import NotReadyError
from infra_gym.worlds.base import Reading, ResetMode
from infra_gym.worlds.columns import ColumnWorld, Masks


class SingleWorld:
    """The only environment of a batch.

    Args:
        batch: The batch.
        interval_s: Seconds of a step.
        time_scale: Modelled seconds in one second.
    """

    def __init__(self, batch: ColumnWorld, *, interval_s: float, time_scale: float) -> None:
        self.batch = batch
        self._interval_s, self._time_scale = interval_s, time_scale
        self._begun = False

    def reset(self, seed: int, controls: Mapping[str, int], mode: ResetMode) -> Reading:  # noqa: ARG002
        """All modes are alike: it starts anew with every replica ready."""
        rows = np.empty((len(self.batch.names), 1))
        empty = self.batch.begin(np.array([0]), [seed], controls[self.batch.control], rows)
        self._begun = True
        return self._reading(rows, empty, self.batch.notes(0))

    def step(self, controls: Mapping[str, int]) -> Reading:
        """One interval.

        Raises:
            NotReadyError: ``reset`` was not called.
        """
        if not self._begun:
            raise NotReadyError("step before reset", next_command="call env.reset() first")
        replicas = np.array([controls[self.batch.control]])
        rows = np.empty((len(self.batch.names), 1))
        empty = self.batch.step(replicas, np.array([False]), rows)
        return self._reading(rows, empty, {})

    def close(self, *, keep: bool = False) -> None:  # noqa: ARG002
        """Nothing was made."""
        self._begun = False

    def _reading(
        self, rows: NDArray[np.float64], empty: Masks, notes: Mapping[str, Any]
    ) -> Reading:
        by_label = self.batch.by_label(0)
        tick = int(self.batch.ticks[0])
        until_s = tick * self._interval_s
        return Reading(
            tick=tick,
            seconds=until_s - max(0, tick - 1) * self._interval_s,
            time_s=until_s * self._time_scale,
            values=dict(zip(self.batch.names, rows[:, 0].tolist(), strict=True)),
            by_label=by_label,
            empty=frozenset(empty) | {name for name, values in by_label.items() if not values},
            notes={
                "seconds": {"apply": 0.0, "sample": 0.0},
                "pending": [],
                "mismatch": {},
                **notes,
            },
        )
