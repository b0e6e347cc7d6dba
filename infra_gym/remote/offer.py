"""Which environments a server makes for whoever connects, and how."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import gymnasium as gym

from infra_gym.environments.registration import ENTRY_POINT
from infra_gym.errors import SettingsError, UnknownNameError
from infra_gym.settings import Target, load_settings
from infra_gym.worlds.live import LiveWorld

_RENDER = "-render"

AnyEnv = gym.Env[Any, Any] | gym.vector.VectorEnv[Any, Any, Any]


@dataclass(frozen=True)
class Offer:
    """The ids that are served. Only registered ones are: an id never imports code.

    Attributes:
        allow: Patterns as a shell's (``CartPole-*``), one of which an id must fit; all when empty.
        target: Where the environments of this package run; the settings' when ``None``.
        spend_money: On ``do``: yes, the account may be billed; else the setting of that name.
    """

    allow: Sequence[str] = ()
    target: Target | None = None
    spend_money: bool | None = None

    def check(self) -> None:
        """Refuse what would surprise whoever pays.

        Raises:
            SettingsError: The settings say ``do`` and nobody named it for this server, or the
                patterns fit no id.
        """
        if self.target is None and load_settings().target == "do":
            raise SettingsError(
                "the settings' target is do, where clients would spend money",
                next_command="infra-gym serve --target do, if that is meant; else --target sim",
            )
        if not self.ids():
            raise SettingsError(f"no registered environment fits {', '.join(self.allow)}")

    def ids(self) -> list[str]:
        """What there is, in order."""
        return sorted(filter(self._allows, gym.registry))

    def _allows(self, name: str) -> bool:
        return not self.allow or any(fnmatchcase(name, pattern) for pattern in self.allow)

    def find(self, name: str) -> str:
        """The registered id that is meant by ``name``; see :meth:`make`.

        Raises:
            UnknownNameError: There is none of that name here.
        """
        known = name if name in gym.registry else name.removesuffix(_RENDER)
        if known not in gym.registry or not self._allows(known):
            raise UnknownNameError("environment", name, self.ids())
        return known

    def make(self, name: str, count: int | None = None) -> AnyEnv:
        """An environment.

        Args:
            name: A registered id, also with ``-render`` behind it, as old clients ask for what
                they want to see; nothing is shown.
            count: How many at once, as one vector environment; ``None`` for one alone.

        Raises:
            UnknownNameError: There is none of that name here.
        """
        spec = copy.copy(gym.registry[self.find(name)])
        spec.disable_env_checker = True  # it checks each step again, for those who write one
        spec.order_enforce = False  # the protocol does
        arguments: dict[str, Any] = {}
        if spec.entry_point == ENTRY_POINT:
            arguments["target"] = self.target
            if self.spend_money is not None:
                arguments["spend_money"] = self.spend_money
        if count is None:
            return gym.make(spec, **arguments)
        own = spec.vector_entry_point is not None
        mode = "vector_entry_point" if own else "sync"
        return gym.make_vec(spec, num_envs=count, vectorization_mode=mode, **arguments)

    def interrupt(self, env: AnyEnv | None) -> None:
        """Have a live environment stop what it does now, gently; again: at once."""
        for one in getattr(env, "envs", (env,)):
            world = getattr(getattr(one, "unwrapped", None), "world", None)
            if isinstance(world, LiveWorld):
                world.interrupt()
