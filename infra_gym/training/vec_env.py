"""Gymnasium's vector environments as Stable-Baselines3's ``VecEnv``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvStepReturn

from infra_gym.errors import SettingsError


class VectorEnvs(VecEnv):  # type: ignore[misc]
    """One or more Gymnasium vector environments, as one ``VecEnv``.

    Several are for several loads at once: their spaces are the same, their environments follow one
    another. Every episode's last observation is in ``info["terminal_observation"]``, whether it was
    only cut off in ``info["TimeLimit.truncated"]``, and its sum of rewards and length in
    ``info["episode"]``, as SB3 asks.

    Args:
        envs: With ``autoreset_mode`` ``SameStep``.
        infos: Whether each step also gives each environment's own info; that costs more than the
            step.

    Raises:
        SettingsError: They have different spaces, or another mode.
    """

    def __init__(self, envs: Sequence[VectorEnv[Any, Any, Any]], *, infos: bool = False) -> None:
        self._envs = list(envs)
        first = self._envs[0]
        for one in self._envs:
            if one.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
                raise SettingsError(
                    "Stable-Baselines3 wants environments reset in the step that ends an episode.",
                    next_command="make the vector with autoreset_mode=AutoresetMode.SAME_STEP",
                )
            if (
                one.single_observation_space != first.single_observation_space
                or one.single_action_space != first.single_action_space
            ):
                raise SettingsError("The vector environments have different spaces.")
        ends = np.cumsum([one.num_envs for one in self._envs])
        self._parts = [
            slice(int(end) - one.num_envs, int(end))
            for one, end in zip(self._envs, ends, strict=True)
        ]
        self._with_infos = infos
        super().__init__(int(ends[-1]), first.single_observation_space, first.single_action_space)
        self._sums = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)
        self._actions: NDArray[Any] = np.zeros(self.num_envs, dtype=np.int64)

    def reset(self) -> NDArray[Any]:
        """Begin all episodes; with the seeds that :meth:`seed` chose, once."""
        observations = [
            one.reset(seed=None if self._seeds[part.start] is None else self._seeds[part])[0]
            for one, part in zip(self._envs, self._parts, strict=True)
        ]
        self._sums[:] = 0.0
        self._lengths[:] = 0
        self._reset_seeds()
        self._reset_options()
        return np.concatenate(observations)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions of the next step, one for each environment."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Make the step: observations, rewards (float32), dones and infos."""
        steps = [
            one.step(self._actions[part]) for one, part in zip(self._envs, self._parts, strict=True)
        ]
        rewards = np.concatenate([step[1] for step in steps])
        self._sums += rewards
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if self._with_infos:
            for (*_, info), part in zip(steps, self._parts, strict=True):
                infos[part] = _each(info, part.stop - part.start)
        for (_, _, terminated, truncated, info), part in zip(steps, self._parts, strict=True):
            for place in np.flatnonzero(terminated | truncated).tolist():
                infos[part.start + place] |= {
                    "terminal_observation": info["final_obs"][place],
                    "TimeLimit.truncated": bool(truncated[place] and not terminated[place]),
                    "episode": self._episode(part.start + place),
                }
        dones = np.concatenate([step[2] | step[3] for step in steps])
        observations = np.concatenate([step[0] for step in steps])
        return observations, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        """Close them all."""
        for one in self._envs:
            one.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of each environment; those of one vector share it."""
        if attr_name == "render_mode":
            return [None for _ in self._places(indices)]
        values = {id(one): getattr(one.unwrapped, attr_name) for one in self._envs}
        return [values[id(self._envs[self._whose(place)])] for place in self._places(indices)]

    def set_attr(self, attr_name: str, *_: Any, **__: Any) -> None:
        """Refused: what is compiled for a batch cannot differ in one of it."""
        raise AttributeError(f"{attr_name} of a vector's environments cannot be set.")

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """A method of the vectors that returns a row an environment, such as ``action_masks``."""
        rows = np.concatenate(
            [
                getattr(one.unwrapped, method_name)(*method_args, **method_kwargs)
                for one in self._envs
            ]
        )
        return list(rows) if indices is None else [rows[place] for place in self._places(indices)]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """None is: they are vectors."""
        del wrapper_class
        return [False for _ in self._places(indices)]

    def _episode(self, place: int) -> dict[str, float]:
        ended = {"r": float(self._sums[place]), "l": int(self._lengths[place])}
        self._sums[place] = 0.0
        self._lengths[place] = 0
        return ended

    def _places(self, indices: VecEnvIndices) -> Iterator[int]:
        return iter(self._get_indices(indices))

    def _whose(self, place: int) -> int:
        return next(index for index, part in enumerate(self._parts) if place < part.stop)


def _each(infos: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Gymnasium's infos of a vector as one of each environment; what an end tells is left out."""
    each: list[dict[str, Any]] = [{} for _ in range(number)]
    for key, value in infos.items():
        if key.startswith("_") or key in ("final_obs", "final_info"):
            continue
        there = infos.get(f"_{key}", np.ones(number, dtype=np.bool_))
        rows = _each(value, number) if isinstance(value, dict) else value
        for place in np.flatnonzero(there).tolist():
            each[place][key] = rows[place]
    return each
