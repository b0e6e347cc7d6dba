"""What BatchScheduling-v0 is made with: a trace, an episode's rules, the spaces."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, get_args

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from infra_gym.errors import SettingsError
from infra_gym.simulators import batch as simulator
from infra_gym.simulators import batch_arrays as arrays
from infra_gym.simulators.batch import Backfill, Decision, Reward
from infra_gym.workloads.batch import BatchJobs, episode_jobs, scheduling_jobs
from infra_gym.workloads.generated import SHIPPED_TRACE
from infra_gym.workloads.swf import read_swf

FEATURES = 8
"""Columns of the observation."""


class BatchRules:
    """The arguments of the environment, checked, and what both of its forms share.

    Args:
        trace: An SWF file; default: a small generated one that comes with the package.
        jobs: Jobs an episode, at least 1.
        start: The place of the first one in the trace as it is sorted; left out, one is drawn.
        backfill: ``none``, ``easy``, or with ``decision="queue"`` also ``conservative``.
        decision: ``queue`` or ``head``.
        reward: ``bounded_slowdown``, ``slowdown``, ``turnaround``, ``utilisation`` or ``wait``.
        max_queue: Rows of the observation, at least 1.

    Raises:
        SettingsError: An argument that cannot be.
        UsageError: The trace cannot be used.
    """

    def __init__(
        self,
        *,
        trace: str | Path | None = None,
        jobs: int = 256,
        start: int | None = None,
        backfill: Backfill = "none",
        decision: Decision = "queue",
        reward: Reward = "bounded_slowdown",
        max_queue: int = 128,
    ) -> None:
        simulator.one_of("decision", decision, get_args(Decision))
        simulator.one_of("reward", reward, get_args(Reward))
        allowed = ("none", "easy") if decision == "head" else get_args(Backfill)
        simulator.one_of(f'with decision="{decision}", backfill', backfill, allowed)
        for name, number in (("jobs", jobs), ("max_queue", max_queue)):
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise SettingsError(f"{name} must be a whole number of at least 1, not {number!r}.")
        path = Path(trace) if trace is not None else SHIPPED_TRACE
        self.jobs = _jobs(path, _version(path), decision)
        self.length = jobs
        self.start = start
        self.max_queue = max_queue
        if jobs > len(self.jobs):
            raise SettingsError(
                f"jobs must be at most {len(self.jobs)}, for {path.name} has no more, not {jobs}."
            )
        if start is not None:
            self.first(start)
        self.packed_jobs = arrays.packed_jobs(self.jobs)
        self._rules = arrays.compiled_rules(self.jobs, decision, backfill, reward)
        self.observation_space = spaces.Box(0.0, 1.0, (max_queue, FEATURES), np.float32)
        self.action_space = spaces.Discrete(max_queue)

    def first(self, start: Any) -> int:
        """``start`` as the place of an episode's first job.

        Raises:
            SettingsError: No episode begins there.
        """
        last = len(self.jobs) - self.length
        if isinstance(start, bool) or not isinstance(start, int | np.integer):
            raise SettingsError(f"start must be a whole number, not {start!r}.")
        if not 0 <= start <= last:
            raise SettingsError(
                f"start must be 0 to {last}, for {self.length} of {len(self.jobs)} jobs follow, "
                f"not {start}."
            )
        return int(start)

    def draw(self, rng: np.random.Generator, options: dict[str, Any] | None) -> int:
        """Where an episode begins: by ``options``, by ``start``, or at random.

        Raises:
            SettingsError: No episode begins there, or there is no such option.
        """
        unknown = sorted({*(options or {})} - {"start"})
        if unknown:
            raise SettingsError(f"reset has no option {unknown[0]!r}; there is 'start'.")
        if options and "start" in options:
            return self.first(options["start"])
        if self.start is not None:
            return self.start
        return int(rng.integers(len(self.jobs) - self.length + 1))

    def episodes(self, number: int) -> NDArray[np.int64]:
        """Room for so many episodes, a row each."""
        return arrays.new_episodes(
            self.jobs, self._rules, length=self.length, rows=self.max_queue, number=number
        )

    def metrics(self, first: int, start_s: NDArray[np.float64]) -> dict[str, float]:
        """What came of an episode's start times."""
        return simulator.schedule_metrics(self.jobs, start_s, first=first)


def _version(path: Path) -> int:
    """Changes when the file does."""
    return path.stat().st_mtime_ns if path.is_file() else 0


@functools.lru_cache(maxsize=4)
def _jobs(path: Path, version: int, decision: Decision) -> BatchJobs:  # noqa: ARG001
    trace = read_swf(path)
    return episode_jobs(trace) if decision == "head" else scheduling_jobs(trace)
