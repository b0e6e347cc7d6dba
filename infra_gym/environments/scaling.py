"""Scaling-v0: gym-scaling's environment, alone and as a batch, over one compiled simulator."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Unpack

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from infra_gym.environments.scaling_picture import ScalingPicture
from infra_gym.environments.scaling_scenario import Options, make_scenario
from infra_gym.environments.vector import (
    Generators,
    autoreset,
    check_first,
    check_step,
    count,
    ends,
    not_reset,
    reset_mask,
    seeds,
    whole_numbers,
)
from infra_gym.errors import ActionError, NotReadyError, SettingsError
from infra_gym.simulators import scaling
from infra_gym.simulators.scaling import Array, step_one

_FIRST_STEPS = 256
"""How far an influx without end is worked out at first."""

_RESET = "env.reset()"
_CLEAR = "\x1b[2J\x1b[H"


class ScalingEnv(gym.Env[Array, Any]):
    r"""Keep a queue short with as few instances as possible.

    A service works off messages from a queue. Instances can be added and removed; each takes a step
    to boot. The dynamics are those of [gym-scaling](https://github.com/adobe/gym-scaling) (Adobe,
    2019), the same to the last digit, compiled.

        import gymnasium as gym
        import infra_gym

        env = gym.make("Scaling-v0", influx="sine", change_rate=1, max_episode_steps=1000)

    ## Actions

    `Discrete(len(actions))`: an index of `actions`, by default 0: one instance less, 1: as many as
    now, 2: one more. The change is made at the *end of the next step*, so it works on the queue
    from the step after that. One that would leave the bounds is not made, and costs 0.1.

    ## Observations

    A vector of float64, shape `(5,)`, at the end of a step:

    | index | what | unit | from | to |
    | --- | --- | --- | --- | --- |
    | 0 | instances, as a share of `max_instances` | | 0 | 1 |
    | 1 | load: the share of the capacity that was used, rounded up to whole per cent | | 0 | 1 |
    | 2 | capacity that there was in this step, before the change of instances | messages | 0 | `max_instances * capacity_per_instance` |
    | 3 | influx: messages that came | messages | 0 | |
    | 4 | queue: messages that wait | messages | 0 | |

    ## Rewards

    `-(1 - load) * instances / max_instances - penalty - queue / (1 + queue)`, with the instances
    after the change, and a penalty of 0.1 for a change that could not be made: at best 0.

    ## Start

    `int(max_instances / 2)` instances, an empty queue, no load.

    ## End

    Terminated when the queue is longer than ten times the messages that half of the instances can
    process in a step (43,500 by default). There is no limit of steps, as in the original; give
    `gym.make` (or `gym.make_vec`) a `max_episode_steps` for one. A step after the end goes on
    as before.

    ## Arguments

    | argument | default | meaning |
    | --- | --- | --- |
    | `influx` | `"random"` | where the messages come from, see below |
    | `trace` | | with `influx="trace"`: path of a CSV file, or XLSX with the extra `xlsx` |
    | `change_rate` | `10_000` | the influx changes at every so-manyth step. **The original's default all but freezes it**; its scripts use 1 and 100 |
    | `max_instances` | `100.0` | upper bound of instances, at least 2 |
    | `min_instances` | `2.0` | lower bound of instances, above 0 |
    | `capacity_per_instance` | `87` | messages that an instance can process in a step |
    | `offset` | `500` | lowest random influx, messages in a step |
    | `actions` | `(-1, 0, 1)` | for each action the instances to add, or to remove if negative |
    | `cost_per_instance_per_hour` | `0.192` | USD, for `info["cost_usd"]` only; a step stands for 300 s |
    | `render_mode` | | `"rgb_array"`, or `"human"`: a picture in a terminal of 24-bit colour |

    What cannot be is refused with a `SettingsError` that names the argument.

    ## Influx

    In step k, if k is a multiple of `change_rate`, the influx becomes f(k); a reset sets it to
    f(0). With `max_influx = max_instances / 2 * capacity_per_instance`:

    | `influx` | f(k) |
    | --- | --- |
    | `"sine"` | `ceil((sin(0.01 k) + 1) * max_influx / 2)` |
    | `"random"` | a whole number from `offset` to `max_influx`, from the environment's own generator: another series in every episode, the same for the same seed |
    | a sequence | its value at k, from 0; after its end its last value holds |
    | `"trace"` | the value in row k of the file, from 0, whatever its time; after its end its last value holds. The file has a header with `timestamp,value` or `seconds,rps`, and ascending times |
    | `"constant"`, `"daily"`, `"ramp"`, `"bursty"`, `"flash_crowd"` | that [load profile](definition.md#load-profiles) at 300 k seconds with its defaults, its mean `max_influx / 2` messages in a step, rounded up |

    A seed at `reset` decides every random influx from then on.

    ## Info

    `cost_usd`: what the instances that worked in the step cost.

    ## What simple rules reach

    Mean reward of 1000 steps with `influx="sine"` and `change_rate=1`:

    | rule | reward |
    | --- | --- |
    | nothing | -0.2016 |
    | one more from a load of 0.8, one less below 0.6 | -0.1404 |
    | one more from a load of 0.95 or with a queue, one less below 0.9 | -0.1231 |
    | with `need = (influx + queue) / 87`: one more below `need + 2`, one less above `need + 3` | -0.0257 |

    ## Batches

    `gym.make_vec("Scaling-v0", num_envs=4096, vectorization_mode="vector_entry_point", ...)` takes
    the same arguments but `render_mode`, and `max_episode_steps`, `autoreset_mode` (an
    `AutoresetMode` or its value) and `info=True` for infos. An environment of the batch gives the
    same numbers as a single one that was reset with the same seed.

    ## Differences from the original

    The numbers are the same. Mended: the declared observation space (the original's had another
    shape and type than its observations); a random influx is seeded by `reset(seed=...)`, not by
    Python's global generator, so that to compare one gives both the same sequence; the cost, which
    the original counted several times over and at 87 USD for its first instances; the missing
    production data, for which anyone's trace may stand.

    ## Version history

    - v0: the first.
    """  # noqa: E501

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, *, render_mode: str | None = None, **options: Unpack[Options]) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise SettingsError(
                f"render_mode {render_mode!r}: write one of {self.metadata['render_modes']}"
            )
        self.render_mode = render_mode
        self._scenario = make_scenario(**options)
        self.action_space = self._scenario.action_space
        self.observation_space = self._scenario.observation_space
        self._changes = self._scenario.changes
        self._rules = self._scenario.array
        self._endless = self._scenario.influx.endless
        self._state = np.zeros((scaling.FIELDS, 1))
        self._observation = self._state[: scaling.OBSERVATION, 0]
        self._series: Array | None = None  # until the first reset
        self._reach = 0  # the last step that the series knows, if it has no end
        self._picture = ScalingPicture()

    def reset(
        self,
        *,
        seed: int | None = None,
        options: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> tuple[Array, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: Of every random influx from now on; left out, the generator goes on.
            options: There are none.
        """
        super().reset(seed=seed)
        key = _key(self.np_random)
        if self._series is None or self._scenario.influx.drawn:
            self._reach = _FIRST_STEPS
            self._series = self._scenario.series([key], self._reach)
        scaling.begin(self._state, np.array([0]), np.array([key]), self._rules, self._series)
        if self.render_mode is not None:
            self._picture.begin(self._state)
            self._show()
        return self._observation.copy(), {"cost_usd": 0.0}

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Order a change of instances, and let a step pass.

        Raises:
            ActionError: The action is not of the action space.
            NotReadyError: ``reset`` comes first.
        """
        if self._series is None:
            raise NotReadyError("step is not possible: reset was not called", next_command=_RESET)
        try:
            change = self._changes[action] if action >= 0 else None
        except (IndexError, TypeError, ValueError):
            change = None
        if change is None:
            raise _no_action(action, self._changes)
        if self._endless:
            self._lengthen()
        reward, terminated, usd = step_one(self._state, change, self._rules, self._series)
        if self.render_mode is not None:
            self._picture.add(self._state)
            self._show()
        return self._observation.copy(), reward, terminated, False, {"cost_usd": usd}

    def render(self) -> NDArray[np.uint8] | None:
        """The last 300 steps: uint8, shape (400, 640, 3); nothing unless it is ``rgb_array``.

        Raises:
            NotReadyError: ``reset`` comes first.
        """
        if self._series is None:
            raise NotReadyError("there is no picture: reset was not called", next_command=_RESET)
        return self._picture.rgb() if self.render_mode == "rgb_array" else None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._observation = self._state[: scaling.OBSERVATION, 0]  # copied, it would be no view

    def _lengthen(self) -> None:
        """Know the series up to the next step."""
        step = int(self._state[scaling.STEP, 0]) + 1
        if step > self._reach:
            self._reach = 2 * step
            key = int(self._state[scaling.KEY, 0])
            self._series = self._scenario.series([key], self._reach)

    def _show(self) -> None:
        if self.render_mode == "human":
            begin = _CLEAR if sys.stdout.isatty() else ""
            print(begin + self._picture.terminal(), flush=True)  # noqa: T201


class ScalingVectorEnv(VectorEnv[Array, ArrayLike, NDArray[Any]]):
    """A batch of :class:`ScalingEnv`, stepped in one compiled loop.

    Each environment gives the numbers that a single one gives that was reset with the same seed.

    Args:
        num_envs: How many; at least 1.
        max_episode_steps: Truncate episodes after so many steps.
        autoreset_mode: What happens to an environment whose episode ended: ``NextStep`` (its next
            step is a reset), ``SameStep`` (it is reset at once, the end is in ``info["final_obs"]``
            and ``info["final_info"]``), ``Disabled`` (``reset`` with a ``reset_mask`` is due).
        info: Whether ``reset`` and ``step`` return infos: ``cost_usd``, shape (num_envs,).
        options: As for :class:`ScalingEnv`.

    Raises:
        UsageError: An argument that cannot be; names it.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": [],
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        info: bool = False,
        **options: Unpack[Options],
    ) -> None:
        self.num_envs = count("num_envs", num_envs)
        self._max_steps = (
            None if max_episode_steps is None else count("max_episode_steps", max_episode_steps)
        )
        self._autoreset = autoreset(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self._autoreset}
        self._info = info
        self._scenario = make_scenario(**options)
        self.single_action_space = self._scenario.action_space
        self.single_observation_space = self._scenario.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._changes = np.array(self._scenario.changes, dtype=np.int64)
        self._rules = self._scenario.array
        self._state = np.zeros((scaling.FIELDS, num_envs))
        self._series: Array | None = None  # until the first reset
        self._reach = 0  # the last step that the series knows, if it has no end
        self._generators = Generators(num_envs)
        self._ended = np.zeros(num_envs, dtype=np.bool_)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Array, dict[str, Any]]:
        """Begin episodes.

        Args:
            seed: One for each environment; a single number s stands for s, s + 1, s + 2 and so on;
                left out, the generators go on.
            options: ``{"reset_mask": mask}``: only where the mask, bool of shape (num_envs,), is
                true.

        Raises:
            SettingsError: The seeds or the mask do not fit.
        """
        mask = reset_mask((options or {}).get("reset_mask"), self.num_envs)
        if self._series is None:
            check_first(mask)
        places = np.flatnonzero(mask)
        if self._scenario.influx.drawn:
            self._generators.seed(seeds(seed, self.num_envs), places)
        self._begin(places)
        self._ended[places] = False
        infos = self._infos(np.zeros(self.num_envs), mask) if self._info else {}
        return self._observations(), infos

    def step(
        self, actions: ArrayLike
    ) -> tuple[Array, Array, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """A step of each environment; all arrays are new ones.

        Raises:
            ActionError: The actions are not of the action space; nothing has moved.
            EpisodeOverError: Without autoreset: an environment's episode is over.
            NotReadyError: ``reset`` comes first.
        """
        if self._series is None:
            raise not_reset()
        check_step(begun=True, ended=self._ended, mode=self._autoreset)
        before = np.flatnonzero(self._ended)
        if self._scenario.influx.endless:
            self._lengthen()
        observations = np.empty((self.num_envs, scaling.OBSERVATION))
        rewards, usd = np.empty((2, self.num_envs))
        terminations = np.empty(self.num_envs, dtype=np.bool_)
        indices = whole_numbers(actions, (self.num_envs,))
        if not scaling.step_all(
            self._state,
            indices,
            self._changes,
            self._rules,
            self._series,
            observations,
            rewards,
            terminations,
            usd,
        ):
            raise _no_action(actions, self._changes)
        truncations = self._truncations()
        if len(before):  # their step is the reset; whatever they did above is forgotten
            self._begin(before)
            observations[before] = self._observations(before)
            rewards[before] = usd[before] = 0.0
            terminations[before] = truncations[before] = False
        self._ended = terminations | truncations
        infos: dict[str, Any] = {}
        if self._autoreset == AutoresetMode.SAME_STEP and self._ended.any():
            infos |= self._finish(observations, usd)
        if self._info:
            infos |= self._infos(usd, np.ones(self.num_envs, dtype=np.bool_))
        return observations, rewards, terminations, truncations, infos

    def _finish(self, observations: Array, usd: Array) -> dict[str, Any]:
        """Reset what has ended at once; the infos of their ends."""
        ended, places = self._ended, np.flatnonzero(self._ended)
        last = self._infos(np.where(ended, usd, 0.0), ended) if self._info else {}
        infos = ends(observations, ended, last)
        self._begin(places)
        observations[places] = self._observations(places)
        usd[places] = 0.0
        self._ended = np.zeros_like(ended)
        return infos

    def _begin(self, places: NDArray[np.intp]) -> None:
        """Begin an episode of each of the environments ``places``."""
        keys = np.zeros(len(places), dtype=np.int64)
        drawn = self._scenario.influx.drawn
        if drawn:
            keys[:] = [_key(self._generators[place]) for place in places]
        if self._series is None or (drawn and len(places) == self.num_envs):
            self._reach = _FIRST_STEPS
            self._series = self._scenario.series(keys.tolist(), self._reach)
        elif self._scenario.influx.series_drawn:
            self._series[places] = self._scenario.series(keys.tolist(), self._reach)
        scaling.begin(self._state, places, keys, self._rules, self._series)

    def _lengthen(self) -> None:
        """Know the series up to the next step of all."""
        step = int(self._state[scaling.STEP].max()) + 1
        if step > self._reach:
            self._reach = 2 * step
            keys = self._state[scaling.KEY].astype(np.int64)
            self._series = self._scenario.series(keys.tolist(), self._reach)

    def _observations(self, places: NDArray[np.intp] | slice = slice(None)) -> Array:
        return self._state[: scaling.OBSERVATION, places].T.copy()

    def _truncations(self) -> NDArray[np.bool_]:
        if self._max_steps is None:
            return np.zeros(self.num_envs, dtype=np.bool_)
        return np.asarray(self._state[scaling.STEP] >= self._max_steps)

    def _infos(self, usd: Array, mask: NDArray[np.bool_]) -> dict[str, Any]:
        return {"cost_usd": usd, "_cost_usd": mask}


def _key(generator: np.random.Generator) -> int:
    """Chooses an episode's influx."""
    return int(generator.integers(scaling.KEYS))


def _no_action(action: object, changes: Sequence[int] | NDArray[np.int64]) -> ActionError:
    return ActionError(
        f"{action!r} is no action: write a whole number from 0 to {len(changes) - 1}"
    )
