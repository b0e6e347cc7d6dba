"""BatchScheduling-v0: an agent decides which job of a supercomputer's queue starts next."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from infra_gym.environments.batch_rules import BatchRules
from infra_gym.environments.vector import (
    Generators,
    autoreset,
    check_first,
    check_step,
    count,
    ends,
    reset_mask,
    seeds,
    whole_numbers,
)
from infra_gym.errors import ActionError, EpisodeOverError, NotReadyError, SettingsError
from infra_gym.simulators import batch_packed
from infra_gym.simulators.batch_machine import FIRST, FREE, SHOWN, WAITING

Observation = NDArray[np.float32]

_RESET = "env.reset()"


class BatchSchedulingEnv(gym.Env[Observation, Any]):
    """Let the jobs of a supercomputer wait as little as possible: say which starts next.

    The machine and its scheduler are those of
    [CQSim](https://github.com/SPEAR-UIC/CQSim), or the episodes those of
    [RLScheduler](https://github.com/DIR-LAB/deep-batch-scheduler) (SC'20), compiled. The jobs come
    from a trace in the
    [Standard Workload Format](https://www.cs.huji.ac.il/labs/parallel/workload/swf.html), plain or
    compressed with gzip; a small generated one comes with the package.

        import gymnasium as gym
        import infra_gym

        env = gym.make("BatchScheduling-v0", trace="lublin_256.swf", decision="head")

    ## Actions

    `Discrete(max_queue)`: a row of the observation; its job is meant. What that does depends on
    `decision`.

    `"queue"` follows CQSim: at every time at which something happened the agent names jobs. One
    that fits starts at once, and the agent names the next. The first that does not fit is given a
    reservation at its earliest slot by requested times, others are backfilled behind it in order of
    arrival, and time goes on to the next event at which a job waits. A row without a job lets time
    go on.

    `"head"` follows RLScheduler: the job is next, whatever happens. If it does not fit, time goes
    on, event by event, until it does; arrivals come before releases. With `backfill="easy"`, jobs
    that fit and by request end strictly before the time at which enough nodes are promised to it
    start meanwhile, tried in order of arrival before every event. If the queue is then empty, time
    goes on until a job arrives. A row without a job starts nothing: time goes on by 360 s, or to
    the next event if that comes first.

    `info["action_mask"]` (int8) and `env.unwrapped.action_masks()` (bool, as sb3-contrib's
    MaskablePPO asks), both of shape `(max_queue,)`, tell which rows have a job.

    ## Observations

    Float32 of shape `(max_queue, 8)`, a row a waiting job, everything between 0 and 1:

    | column | what | unknown |
    | --- | --- | --- |
    | 0 | time waited, over 12 hours | |
    | 1 | requested time, over the longest run time of the trace | |
    | 2 | processors, over those of the machine | |
    | 3 to 6 | requested memory, user, group, executable, over the largest of the trace | 1 |
    | 7 | 0.99999 if it fits now, else 0.00001 | |

    Shares end at 0.99999. A row without a job is `0, 1, 1, 1, 1, 1, 1, 0`. Rows are in order of
    arrival; of more than `max_queue` waiting jobs, in turn the one with the shortest requested time
    and the one with the fewest nodes are shown.

    ## Rewards

    0 until the last job has started. Then, by `reward`:

    | `reward` | what, over the episode's jobs |
    | --- | --- |
    | `bounded_slowdown` | minus the mean of `max(1, (wait + run) / max(run, 10 s))` |
    | `slowdown` | minus the mean of `(wait + run) / run` |
    | `wait`, `turnaround` | minus the mean of the wait, of wait + run, in seconds |
    | `utilisation` | processor-seconds of all jobs over those there were until the last start |

    ## Start

    An empty machine when the first of `jobs` consecutive jobs arrives. Which one is drawn anew at
    each reset, unless `start`, or `reset(options={"start": INDEX})`, says.

    ## End

    Terminated when every job has started. Then `info["metrics"]` has means of `wait_s`,
    `turnaround_s`, `slowdown` and `bounded_slowdown`, and `utilisation` and `makespan_s`;
    `info["start_s"]` has the start times. A step after the end is an error.

    ## Jobs

    With `"queue"`, jobs are read by CQSim's rules: processors and requested time from fields 8
    and 9, where unknown from 5 and 4; longer run times are cut to the requested one; sorted by
    submit time. With `"head"` by RLScheduler's: processors are the greater of fields 5 and 8; the
    requested time is field 9, else the run time; nothing is cut; sorted by job number; allocated
    in nodes of MaxProcs / MaxNodes. Jobs without run time or processors are dropped and counted
    in `info["notes"]` of a reset. A job larger than the machine, a malformed line or a missing
    size of the machine is an error that names it.

    ## Arguments

    | argument | default | what |
    | --- | --- | --- |
    | `trace` | the generated one | an SWF file |
    | `jobs` | 256 | jobs an episode |
    | `start` | drawn | place of the first one in the trace as it is sorted |
    | `backfill` | `"none"` | `"none"`, `"easy"`, with `"queue"` also `"conservative"` |
    | `decision` | `"queue"` | `"queue"` or `"head"` |
    | `reward` | `"bounded_slowdown"` | see above |
    | `max_queue` | 128 | rows |

    `gym.make_vec("BatchScheduling-v0", num_envs=N, vectorization_mode="vector_entry_point")` steps
    many at once; it also takes `autoreset_mode` and `info=True`, without which there are no infos.

    ## Rules to beat

    `make_agent("batch", score=...)` names the job with the highest score: `fcfs`, `sjf`, `wfp`,
    `uni`, `f1`, or an expression over `s` (submit time), `t` (requested time), `n` (processors),
    `w` (time waited), `z` (the longest `w`) and `l` (the least `t`); `-t*n` is the smallest area
    first. Mean bounded slowdown over the ten sequences of 1024 jobs that RLScheduler's comparison
    draws with seed 1, `decision="head"`, by `python benchmarks/batch_figures.py --table TRACE`:

    | trace | backfill | `fcfs` | `sjf` | `f1` | `wfp` | `uni` | `-t*n` |
    | --- | --- | --- | --- | --- | --- | --- | --- |
    | Lublin-1 | none | 7273.77 | 277.35 | 258.37 | 337.34 | 381.71 | 292.88 |
    | Lublin-1 | easy | 235.82 | 73.31 | 75.07 | 126.50 | 103.10 | 54.00 |
    | Lublin-2 | none | 7842.47 | 787.89 | 698.34 | 807.25 | 830.49 | 714.26 |
    | Lublin-2 | easy | 247.61 | 91.99 | 148.25 | 135.12 | 111.19 | 100.33 |
    | HPC2N | none | 297.18 | 157.71 | 118.01 | 213.14 | 113.86 | 103.26 |
    | HPC2N | easy | 127.38 | 122.04 | 71.95 | 143.36 | 82.45 | 70.74 |

    ## Version history

    v0: the first.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(self, *, render_mode: str | None = None, **arguments: Any) -> None:
        if render_mode is not None:
            raise SettingsError(
                "BatchScheduling-v0 draws no pictures.", next_command="leave render_mode out"
            )
        self.batch = BatchRules(**arguments)
        self.observation_space = self.batch.observation_space
        self.action_space = self.batch.action_space
        self._packed = self.batch.episodes(1)[0]
        self._episode = batch_packed.unpack_episode(self._packed)
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
        batch_packed.begin(batch.packed_jobs, self._packed, batch.jobs.total_nodes, first)
        self._state = "running"
        info: dict[str, Any] = {"action_mask": self._episode.mask.copy()}
        if batch.jobs.notes:
            info["notes"] = batch.jobs.notes
        return self._episode.observation.copy(), info

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
        reward, over = batch_packed.step(batch.packed_jobs, self._packed, chosen)
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
        return int(self._episode.machine.counts[FIRST])

    @property
    def time_s(self) -> float:
        """The machine's clock, in the trace's seconds."""
        return float(self._episode.machine.clock[0])

    @property
    def free_nodes(self) -> int:
        """Nodes on which nothing runs."""
        return int(self._episode.machine.counts[FREE])

    @property
    def waiting(self) -> NDArray[np.int64]:
        """The places in ``batch.jobs`` of the jobs that wait, in order of arrival."""
        return self._episode.machine.queue[: self._episode.machine.counts[WAITING]].copy()

    @property
    def shown(self) -> NDArray[np.int64]:
        """The places in ``batch.jobs`` of the jobs in the observation's rows."""
        return self._episode.visible[: self._episode.machine.counts[SHOWN]].copy()


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
        return EpisodeOverError("Every job has started.", next_command=_RESET)
    return NotReadyError("The environment was not reset.", next_command=_RESET)


class BatchSchedulingVectorEnv(VectorEnv[Observation, ArrayLike, NDArray[Any]]):
    """Many of :class:`BatchSchedulingEnv`, stepped in one compiled loop.

    Each gives the numbers that a single one gives that was reset with the same seed.

    Args:
        num_envs: How many; at least 1.
        autoreset_mode: What happens to an environment whose episode ended: ``NextStep`` (its next
            step is a reset), ``SameStep`` (it is reset at once, its last observation is in
            ``info["final_obs"]``), ``Disabled`` (``reset`` with a ``reset_mask`` is due).
        info: Whether infos have ``action_mask``, int8 of shape (num_envs, max_queue), and of ended
            episodes ``metrics`` (in ``final_info`` with ``SameStep``). :meth:`action_masks` has the
            masks in any case.
        arguments: As for :class:`BatchRules`.

    Raises:
        SettingsError: An argument that cannot be.
        UsageError: The trace cannot be used.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as Gymnasium declares it
        "render_modes": [],
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        info: bool = False,
        **arguments: Any,
    ) -> None:
        self.num_envs = count("num_envs", num_envs)
        self._autoreset = autoreset(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self._autoreset}
        self.batch = BatchRules(**arguments)
        self.single_observation_space = self.batch.observation_space
        self.single_action_space = self.batch.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._info = info
        self._packed = self.batch.episodes(num_envs)
        self._episodes = [batch_packed.unpack_episode(row) for row in self._packed]
        rows = self.batch.max_queue
        end = self._packed.shape[1]
        self._masks = self._packed[:, end - rows :].view(np.int8)[:, :rows]
        observations = self._packed[:, end - 5 * rows : end - rows].view(np.float32)
        self._observations = observations.reshape(num_envs, rows, -1)
        self._generators = Generators(num_envs)
        self._begun = False
        self._ended = np.zeros(num_envs, dtype=np.bool_)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin episodes.

        Args:
            seed: One for each environment; a single number s stands for s, s + 1, s + 2 and so on;
                left out, the generators go on.
            options: ``{"reset_mask": mask}``: only where the mask, bool of shape (num_envs,), is
                true. ``{"start": INDEX}``: all begin at that job.

        Raises:
            SettingsError: The seeds, the mask or the start do not fit.
        """
        options = dict(options or {})
        mask = reset_mask(options.pop("reset_mask", None), self.num_envs)
        if not self._begun:
            check_first(mask)
        places = np.flatnonzero(mask)
        self._generators.seed(seeds(seed, self.num_envs), places)
        self._begin(places, options)
        self._begun = True
        return self._observations.copy(), self._infos(np.zeros(self.num_envs, dtype=np.bool_))

    def step(
        self, actions: ArrayLike
    ) -> tuple[
        Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
    ]:
        """A step of each environment; all arrays are new ones.

        Raises:
            ActionError: The actions are not rows; nothing has moved.
            EpisodeOverError: Without autoreset: an environment's episode is over.
            NotReadyError: ``reset`` comes first.
        """
        check_step(begun=self._begun, ended=self._ended, mode=self._autoreset)
        idle = self._ended
        chosen = _rows(actions, self.num_envs, self.batch.max_queue)
        rewards = np.empty(self.num_envs, dtype=np.float64)
        over = np.empty(self.num_envs, dtype=np.bool_)
        batch_packed.step_all(self.batch.packed_jobs, self._packed, chosen, idle, rewards, over)
        self._ended = over.copy()
        if idle.any():
            self._begin(np.flatnonzero(idle), {})
        infos: dict[str, Any] = {}
        if self._autoreset == AutoresetMode.SAME_STEP and over.any():
            infos = self._finish(over)
        else:
            infos = self._infos(over)
        return self._observations.copy(), rewards, over, np.zeros_like(over), infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Which rows have a job; shape (num_envs, max_queue)."""
        return self._masks.astype(np.bool_)

    def _begin(self, places: NDArray[np.int64], options: dict[str, Any]) -> None:
        firsts = [self.batch.draw(self._generators[place], options) for place in places.tolist()]
        batch_packed.begin_all(
            self.batch.packed_jobs,
            self._packed,
            self.batch.jobs.total_nodes,
            places,
            np.array(firsts, dtype=np.int64),
        )
        self._ended[places] = False

    def _finish(self, over: NDArray[np.bool_]) -> dict[str, Any]:
        """Reset what has ended at once; the infos of its end."""
        infos = ends(self._observations, over, self._infos(over))
        self._begin(np.flatnonzero(over), {})
        return infos | self._infos(np.zeros_like(over))

    def _infos(self, over: NDArray[np.bool_]) -> dict[str, Any]:
        if not self._info:
            return {}
        infos: dict[str, Any] = {
            "action_mask": self._masks.copy(),
            "_action_mask": np.ones(self.num_envs, dtype=np.bool_),
        }
        if over.any():
            metrics: dict[str, NDArray[np.float64]] = {}
            for place in np.flatnonzero(over).tolist():
                machine = self._episodes[place].machine
                first = int(machine.counts[FIRST])
                for name, value in self.batch.metrics(first, machine.start).items():
                    metrics.setdefault(name, np.zeros(self.num_envs))[place] = value
            infos |= {"metrics": metrics, "_metrics": over.copy()}
        return infos


def _rows(actions: ArrayLike, number: int, rows: int) -> NDArray[np.int64]:
    given = whole_numbers(actions, (number,))
    if given.min() < 0 or given.max() >= rows:
        raise ActionError(f"The actions must be rows, 0 to {rows - 1}, not {actions!r}.")
    return given
