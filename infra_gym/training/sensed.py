"""A ``VecEnv`` as a policy sees it: scaled, with memory, and with rewards of about 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnv,
    VecEnvStepReturn,
    VecEnvWrapper,
)

from infra_gym.agents.senses import Floats, Kind, Memory, Scale


class Moments:
    """Mean and variance of all that was ever added, number by number.

    Args:
        shape: Of one thing that is added.
    """

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.count = 0.0
        self.mean = np.zeros(shape)
        self.variance = np.ones(shape)

    def add(self, batch: NDArray[Any]) -> None:
        """Add a batch, shape (number, *shape): two sets of moments joined (Chan et al., 1979)."""
        number = len(batch)
        mean = batch.mean(axis=0, dtype=np.float64)
        variance = batch.var(axis=0, dtype=np.float64)
        total = self.count + number
        apart = mean - self.mean
        squares = self.variance * self.count + variance * number
        squares += apart**2 * self.count * number / total
        self.mean = self.mean + apart * number / total
        self.variance = squares / total
        self.count = total

    @property
    def deviation(self) -> NDArray[Any]:
        """The standard deviation; 1 where nothing ever changed."""
        deviation = np.sqrt(self.variance)
        return np.where(deviation < 1e-6, 1.0, deviation)


class Sensed(VecEnvWrapper):  # type: ignore[misc]
    """Scales observations, remembers the last ones, and scales rewards.

    The ``standard`` scale is learnt on the way. Rewards are divided by ``reward_unit``, or by the
    standard deviation of their discounted sum, which is learnt as well, and cut at
    ``reward_limit``: a step that went wholly wrong must not drown what a replica costs.

    Args:
        venv: What is wrapped.
        scale: See :class:`~infra_gym.agents.senses.Scale`.
        frames: How many observations the policy sees.
        gamma: Discount of the rewards.
        reward_unit: See above.
        reward_limit: See above; in units.
        endless: Treat every end of an episode as a cut. Where all rewards are negative, an end that
            comes early is a gain, and a policy learns to bring it about.
    """

    def __init__(
        self,
        venv: VecEnv,
        *,
        scale: Kind,
        frames: int,
        gamma: float,
        reward_unit: float | None = None,
        reward_limit: float = 10.0,
        endless: bool = False,
    ) -> None:
        shape: tuple[int, ...] = venv.observation_space.shape
        seen = shape if frames == 1 else (frames * int(np.prod(shape)),)
        super().__init__(venv, spaces.Box(-np.inf, np.inf, seen, np.float32))
        self.value: Callable[[Floats], Floats] | None = None
        """What the policy holds an observation for: if given, an episode that is only cut off earns
        its last observation's value, all of a step in one go; SB3 then does not do it one by one.
        """
        self.kind = scale
        self.frames = frames
        self.observed = Moments(shape)
        self.returned = Moments()
        self._gamma = gamma
        self._unit = reward_unit
        self._limit = reward_limit
        self._endless = endless
        self._returns = np.zeros(self.num_envs)
        self._memory = Memory(self.num_envs, frames, shape)
        self._shape = shape

    @property
    def scale(self) -> Scale:
        """The scale as it is now."""
        if self.kind != "standard":
            return Scale.plain(self.kind, self._shape)
        return Scale(
            self.kind,
            self.observed.mean.astype(np.float32),
            self.observed.deviation.astype(np.float32),
        )

    def reset(self) -> Floats:
        """Begin all episodes."""
        observations: Any = self.venv.reset()
        self._learn(observations)
        self._returns[:] = 0.0
        self._memory.begin(slice(None), self.scale(observations))
        return self._memory.seen()

    def step_wait(self) -> VecEnvStepReturn:
        """The wrapped step, as the policy sees it; last observations too."""
        observations: Any
        observations, rewards, dones, infos = self.venv.step_wait()
        self._learn(observations)
        scale = self.scale
        seen = scale(observations)
        ended = np.flatnonzero(dones)
        if len(ended):
            first = seen[ended]
            seen[ended] = scale(np.stack([infos[at]["terminal_observation"] for at in ended]))
            self._memory.add(seen)
            last = self._memory.seen(ended)
            for at, one in zip(ended.tolist(), last, strict=True):
                infos[at]["terminal_observation"] = one
                infos[at]["TimeLimit.truncated"] |= self._endless
            self._memory.begin(ended, first)
        else:
            self._memory.add(seen)
        scaled = self._scaled(rewards, dones)
        if self.value is not None and len(ended):
            cut = np.array([infos[at].pop("TimeLimit.truncated") for at in ended])
            scaled[ended[cut]] += self._gamma * self.value(last[cut])
        return self._memory.seen(), scaled, dones, infos

    def _learn(self, observations: NDArray[Any]) -> None:
        if self.kind == "standard":
            self.observed.add(observations)

    def _scaled(self, rewards: NDArray[Any], dones: NDArray[np.bool_]) -> Floats:
        unit: Any = self._unit
        if unit is None:
            self._returns = self._returns * self._gamma + rewards
            self.returned.add(self._returns)
            self._returns[dones] = 0.0
            unit = self.returned.deviation
        cut: Floats = np.clip(rewards / unit, -self._limit, self._limit).astype(np.float32)
        return cut
