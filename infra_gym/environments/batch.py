"""BatchScheduling-v0: an agent decides which job of a supercomputer's queue starts next.

**Actions.** ``Discrete(max_queue)``: the row of the observation whose job is meant. What that does
depends on ``decision``:

- ``"head"`` follows RLScheduler: the job is next, whatever happens. If it does not fit, time goes on,
  event by event, until it does; arrivals come before releases. With ``backfill="easy"`` jobs that fit
  and by request end strictly before the time at which enough nodes are promised to it start meanwhile,
  in order of arrival, tried before every event. If the queue is then empty, time goes on until a job
  arrives. A row without a job starts nothing: time goes on by 360 s or until the next event.
- ``"queue"`` follows CQSim's scan: at every time at which something happened the agent names jobs. One
  that fits starts at once, and the agent names the next. At the first that does not fit it is given
  its reservation, others behind it are backfilled in order of arrival, and time goes on to the next
  event, and to the next at which a job waits. A row without a job only lets time go on.

**Observations.** Float32 of shape (max_queue, 8) in [0, 1]. A row is a waiting job: time waited over
12 h; requested time over the longest run time of the trace; processors over the machine's; requested
memory, user, group, executable over the largest of the trace (1 where unknown); and 0.99999 if it fits
now, else 0.00001. Ratios end at 0.99999. Rows without a job are ``[0, 1, 1, 1, 1, 1, 1, 0]``. Rows are
in order of arrival; of more than ``max_queue`` waiting jobs, in turn the one with the shortest
requested time and the one with the fewest nodes are shown.

**Rewards.** 0 until the last job has started; then, by ``reward``, minus the mean over the episode's
jobs of ``bounded_slowdown`` (max(1, (wait + run) / max(run, 10 s))), ``slowdown``, ``turnaround``
(seconds) or ``wait`` (seconds), or plus ``utilisation`` (processor-seconds run over those there were
until the last start).

**Start.** An empty machine at the arrival of the first of ``jobs`` consecutive jobs, drawn anew at
each reset unless ``start`` or ``options={"start": INDEX}`` says which.

**End.** Terminated when every job has started. Then ``info["metrics"]`` has
:func:`infra_gym.simulators.batch.schedule_metrics` and ``info["start_s"]`` the start times.

**Info.** ``action_mask``, int8 of shape (max_queue,): 1 where a row has a job.

**Version history.** v0: the first.
"""

from __future__ import annotations

import functools
import operator
from pathlib import Path
from typing import Any, get_args

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from infra_gym.errors import ActionError, EpisodeOverError, NotReadyError, SettingsError
from infra_gym.simulators import batch as simulator
from infra_gym.simulators.batch import Backfill, Decision, Reward
from infra_gym.workloads.batch import BatchJobs, episode_jobs, scheduling_jobs
from infra_gym.workloads.generated import SHIPPED_TRACE
from infra_gym.workloads.swf import read_swf

FEATURES = 8
Observation = NDArray[np.float32]


class BatchRules:
    """The arguments of the environment, checked, and what both its forms make of them.

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
        self.packed_jobs = simulator.packed_jobs(self.jobs)
        self._rules = simulator.kernel_rules(self.jobs, decision, backfill, reward)
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
        """Where an episode begins: by ``options``, by ``start``, or at random."""
        if options and "start" in options:
            return self.first(options["start"])
        if self.start is not None:
            return self.start
        return int(rng.integers(len(self.jobs) - self.length + 1))

    def episodes(self, number: int) -> NDArray[np.int64]:
        """Room for so many episodes, a row each."""
        return simulator.new_episodes(
            self.jobs, self._rules, length=self.length, rows=self.max_queue, number=number
        )

    def metrics(self, first: int, start_s: NDArray[np.float64]) -> dict[str, float]:
        """What came of an episode's start times."""
        return simulator.schedule_metrics(self.jobs, start_s, first=first)


class BatchSchedulingEnv(gym.Env[Observation, Any]):
    """See the module; takes what :class:`BatchRules` takes."""

    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(self, *, render_mode: str | None = None, **arguments: Any) -> None:
        from infra_gym.simulators import batch_kernel as kernel

        self.batch = BatchRules(**arguments)
        self.render_mode = render_mode
        self.observation_space = self.batch.observation_space
        self.action_space = self.batch.action_space
        self._kernel = kernel
        self._packed = self.batch.episodes(1)[0]
        self._episode = kernel.unpack_episode(self._packed)
        self._state = "new"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: Decides where episodes begin, from this one on.
            options: ``{"start": INDEX}`` begins at that job.

        Raises:
            SettingsError: No episode begins at that job.
        """
        super().reset(seed=seed)
        batch = self.batch
        first = batch.draw(self.np_random, options)
        self._kernel.begin(batch.packed_jobs, self._packed, batch.jobs.total_nodes, first)
        self._state = "running"
        return self._episode.observation.copy(), {"action_mask": self._episode.mask.copy()}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Name a job.

        Raises:
            ActionError: Not one of the rows.
            NotReadyError: The environment was not reset.
            EpisodeOverError: Every job has started.
        """
        if self._state != "running":
            raise _not_running(self._state)
        batch, episode = self.batch, self._episode
        chosen = row(action, batch.max_queue)
        reward, over = self._kernel.step(batch.packed_jobs, self._packed, chosen)
        info: dict[str, Any] = {"action_mask": episode.mask.copy()}
        if over:
            self._state = "over"
            info["start_s"] = start_s = episode.machine.start.copy()
            info["metrics"] = batch.metrics(self.first, start_s)
        return episode.observation.copy(), reward, over, False, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Which rows have a job, as sb3-contrib's MaskablePPO asks; shape (max_queue,)."""
        return self._episode.mask.view(np.bool_).copy()

    @property
    def first(self) -> int:
        """The place of the episode's first job in ``batch.jobs``."""
        return int(self._episode.machine.counts[self._kernel.FIRST])

    @property
    def time_s(self) -> float:
        """The machine's clock, in the trace's seconds."""
        return float(self._episode.machine.clock[0])

    @property
    def free_nodes(self) -> int:
        """Nodes on which nothing runs."""
        return int(self._episode.machine.counts[self._kernel.FREE])

    @property
    def waiting(self) -> NDArray[np.int64]:
        """The places in ``batch.jobs`` of the jobs that wait, in order of arrival."""
        return self._episode.machine.queue[: self._episode.machine.counts[self._kernel.WAITING]].copy()

    @property
    def shown(self) -> NDArray[np.int64]:
        """The places in ``batch.jobs`` of the jobs in the observation's rows."""
        return self._episode.visible[: self._episode.machine.counts[self._kernel.SHOWN]].copy()


def row(action: Any, rows: int) -> int:
    """An action as a row.

    Raises:
        ActionError: It is none.
    """
    try:
        chosen = operator.index(action)
    except TypeError:
        chosen = -1
    if not 0 <= chosen < rows:
        raise ActionError(f"The action must be a row, 0 to {rows - 1}, not {action!r}.")
    return chosen


def _not_running(state: str) -> NotReadyError | EpisodeOverError:
    if state == "over":
        return EpisodeOverError("Every job has started.", next_command="env.reset()")
    return NotReadyError("The environment was not reset.", next_command="env.reset()")


def _version(path: Path) -> int:
    """Changes when the file does."""
    return path.stat().st_mtime_ns if path.is_file() else 0


@functools.lru_cache(maxsize=4)
def _jobs(path: Path, version: int, decision: Decision) -> BatchJobs:  # noqa: ARG001
    trace = read_swf(path)
    return episode_jobs(trace) if decision == "head" else scheduling_jobs(trace)
