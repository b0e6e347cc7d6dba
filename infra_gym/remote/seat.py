"""What one connection has of environments, and does with them."""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any

import gymnasium as gym

from infra_gym.errors import NotReadyError, UsageError
from infra_gym.remote.encoding import read_action
from infra_gym.remote.offer import AnyEnv, Offer
from infra_gym.remote.protocol import Call

_log = logging.getLogger(__name__)

_INSTANCE_DIGITS = 13


class Seat:
    """At most one environment, or one vector of them, made again when it is needed after a close.

    One thread at a time; only :meth:`interrupt` may come from another.

    Args:
        offer: What may be made.
    """

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._made: tuple[str, int | None] | None = None
        self._env: AnyEnv | None = None
        self._statistics = False
        self._begin_episode()

    @property
    def taken(self) -> bool:
        """Whether there is an environment to be freed."""
        return self._env is not None

    def run(self, call: Call) -> Any:
        """Do what was asked, and return what :meth:`Conversation.succeed` takes.

        Raises:
            Exception: Whatever the environment raises.
        """
        if call.row.name == "step":
            if self._env is None:
                raise NotReadyError("the environment is closed")
            action = call.value
            if not (type(action) is int and action in self._usual_actions):
                action = read_action(self._actions, action)
            result = self._env.step(action)
            return self._counted(*result) if self._statistics else result
        match call.row.name:
            case "reset":
                return self._reset(call.value, call.options)
            case "sample":
                return self._there().action_space.sample()
            case "make":
                return self._make(call.value, call.count)
            case "close":
                return self._close()
            case "statistics":
                return self._start_statistics()
            case "actionspace" | "observationspace" as which:
                return self._space(which)
        raise RuntimeError(f"nothing does {call.row.name}")

    def free(self) -> None:
        """Close what there is. An error is told in the log: nobody else is there to hear it."""
        try:
            self._close()
        except Exception as error:  # noqa: BLE001 - an environment may raise anything
            _log.error("%s was not closed: %s", self._made and self._made[0], error)

    def interrupt(self) -> None:
        """Have a live environment stop what it does now, gently; again: at once."""
        self._offer.interrupt(self._env)

    # ---------------------------------------------------------------- the commands

    def _make(self, name: str, count: int | None) -> dict[str, Any]:
        self._close()
        self._made = None
        self._statistics = False
        env = self._open(name, count)
        self._made = (name, count)
        made = {"instance": secrets.token_hex(_INSTANCE_DIGITS)[:_INSTANCE_DIGITS]}
        if count is not None:
            mode = env.metadata.get("autoreset_mode", gym.vector.AutoresetMode.NEXT_STEP)
            made["autoreset"] = getattr(mode, "value", str(mode))
        return made

    def _open(self, name: str, count: int | None) -> AnyEnv:
        self._env = self._offer.make(name, count)
        self._actions = space = self._env.action_space
        if type(space) is gym.spaces.Discrete:
            self._usual_actions = range(int(space.start), int(space.start + space.n))
        else:
            self._usual_actions = range(0)
        return self._env

    def _there(self) -> AnyEnv:
        """The environment, made again if it was closed."""
        if self._env is not None:
            return self._env
        if self._made is None:
            raise NotReadyError("no environment was made")
        return self._open(*self._made)

    def _reset(self, seed: int | None, options: dict[str, Any] | None) -> Any:
        env = self._there()
        if seed is not None:
            self._actions.seed(seed % 2**32)
        self._begin_episode()
        return env.reset(seed=seed, options=options)

    def _space(self, which: str) -> gym.Space[Any]:
        """Of one environment, also where there is a batch."""
        env = self._there()
        kind = "action_space" if which == "actionspace" else "observation_space"
        one: gym.Space[Any] = getattr(env, f"single_{kind}", None) or getattr(env, kind)
        return one

    def _close(self) -> None:
        env, self._env = self._env, None
        if env is not None:
            env.close()

    # ---------------------------------------------------------------- statistics

    def _start_statistics(self) -> None:
        if self._made is not None and self._made[1] is not None:
            raise UsageError("episode statistics are for one environment, not for a batch")
        self._statistics = self._made is not None

    def _begin_episode(self) -> None:
        self._return, self._length, self._began = 0.0, 0, time.perf_counter()

    def _counted(
        self, observation: Any, reward: Any, terminated: Any, truncated: Any, info: Any
    ) -> Any:
        """The step, with the episode's return, length and seconds in the info of its last one."""
        self._return += float(reward)
        self._length += 1
        if terminated or truncated:
            seconds = round(time.perf_counter() - self._began, 6)
            info = {**info, "episode": {"r": self._return, "l": self._length, "t": seconds}}
        return observation, reward, terminated, truncated, info
