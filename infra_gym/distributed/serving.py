"""The TCP server's environments as Ray actors.

The server makes its environments through an :class:`~infra_gym.remote.offer.Offer`. This one makes
each in an actor of its own, on whatever machine Ray chooses, and gives the server a stand-in. When
the actor is lost, what it had made is destroyed, by a task on its machine as long as there is that
machine; a step tells the client so, and a reset goes on in a new actor.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from infra_gym.distributed.cluster import (
    Cluster,
    explained,
    library,
    refuse_unshared,
    state_variables,
)
from infra_gym.distributed.leftovers import destroy_left
from infra_gym.distributed.worker import hear_interrupts
from infra_gym.errors import InfraGymError, NotReadyError, WorkerLostError
from infra_gym.remote.offer import AnyEnv, Offer
from infra_gym.settings import load_settings

_log = logging.getLogger(__name__)

_CONTROL = "control"
_ATTRIBUTES = (
    "action_space", "observation_space", "single_action_space", "single_observation_space",
    "metadata",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RayOffer(Offer):
    """As :class:`~infra_gym.remote.offer.Offer`, with each environment in a Ray actor.

    Attributes:
        cluster: Where.
        imports: Modules that register ids, imported in the actors as well.
    """

    cluster: Cluster
    imports: Sequence[str] = ()

    def check(self) -> None:
        """See :meth:`infra_gym.remote.offer.Offer.check`.

        Raises:
            SettingsError: Also, where several machines would not share the state.
        """
        super().check()
        refuse_unshared(load_settings(target=self.target), machines=self.cluster.machines)

    def make(self, name: str, count: int | None = None) -> AnyEnv:
        """See :meth:`infra_gym.remote.offer.Offer.make`."""
        plain = Offer(self.allow, self.target, self.spend_money)
        return cast("AnyEnv", StandIn(plain, self.find(name), count, imports=self.imports))

    def interrupt(self, env: AnyEnv | None) -> None:
        """See :meth:`infra_gym.remote.offer.Offer.interrupt`."""
        if isinstance(env, StandIn):
            env.interrupt()


@dataclass(frozen=True)
class Made:
    """What a host tells of the environment that it made.

    Attributes:
        machine: Ray's id of the machine.
        stacks: Project and name of each live environment in it.
        attributes: Spaces and metadata, by the names that Gymnasium gives them.
    """

    machine: str
    stacks: tuple[tuple[str, str], ...]
    attributes: dict[str, Any]


class Host:
    """The actor: one environment, or one vector of them.

    Args:
        offer: What may be made.
        imports: Modules that register ids.
    """

    def __init__(self, offer: Offer, imports: Sequence[str]) -> None:
        for module in imports:
            importlib.import_module(module)
        self._offer = offer
        self._env: Any = None

    def make(self, name: str, count: int | None) -> Made:
        """Make the environment; see :meth:`infra_gym.remote.offer.Offer.make`."""
        self._env = self._offer.make(name, count)
        return Made(
            machine=library().get_runtime_context().get_node_id(),
            stacks=tuple(_stacks(self._env)),
            attributes={name: getattr(self._env, name, None) for name in _ATTRIBUTES},
        )

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> Any:
        """As Gymnasium has it."""
        hear_interrupts()
        return self._env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        """As Gymnasium has it."""
        hear_interrupts()
        return self._env.step(action)

    def close(self) -> None:
        """As Gymnasium has it."""
        hear_interrupts()
        if self._env is not None:
            self._env.close()

    def interrupt(self) -> None:
        """See :meth:`infra_gym.remote.offer.Offer.interrupt`; while another call runs."""
        self._offer.interrupt(self._env)


class StandIn:
    """An environment, or a vector of them, that is elsewhere; made with its host.

    Args:
        offer: What may be made.
        name: A registered id.
        count: How many at once; ``None`` for one alone.
        imports: Modules that register ids.

    Raises:
        Exception: Whatever the environment raises when it is made.
    """

    action_space: Any
    observation_space: Any
    single_action_space: Any
    single_observation_space: Any
    metadata: dict[str, Any]

    def __init__(
        self, offer: Offer, name: str, count: int | None, *, imports: Sequence[str] = ()
    ) -> None:
        self._ray = library()
        self._recipe = (offer, imports, name, count)
        self._surroundings = {"env_vars": state_variables(load_settings(target=offer.target))}
        self._host: Any = None
        self._made = self._hire()
        self.__dict__.update(self._made.attributes)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """As Gymnasium has it; where the host is gone, in a new one.

        Raises:
            Exception: Whatever the environment raises.
        """
        if self._host is not None:
            try:
                return self._ask("reset", seed, options)
            except WorkerLostError as error:
                _log.warning("%s", error.message)
        self._made = self._hire()
        return self._ask("reset", seed, options)

    def step(self, action: Any) -> Any:
        """As Gymnasium has it.

        Raises:
            WorkerLostError: The host is gone, and what it had made is destroyed.
            Exception: Whatever the environment raises.
        """
        if self._host is None:
            raise NotReadyError("the worker of this environment was lost", next_command="reset")
        return self._ask("step", action)

    def close(self) -> None:
        """As Gymnasium has it; ends the host."""
        if self._host is None:
            return
        try:
            self._ask("close")
        except WorkerLostError as error:
            _log.warning("%s", error.message)
        finally:
            self._dismiss()

    def interrupt(self) -> None:
        """Have a live environment stop what it does now, gently; again: at once."""
        host = self._host
        if host is not None:
            host.interrupt.options(concurrency_group=_CONTROL).remote()

    def _hire(self) -> Made:
        offer, imports, name, count = self._recipe
        actor = self._ray.remote(
            num_cpus=0, scheduling_strategy="SPREAD", concurrency_groups={_CONTROL: 1}
        )(Host)
        self._host = actor.options(runtime_env=self._surroundings).remote(offer, imports)
        try:
            with explained("The new worker"):
                made: Made = self._ray.get(self._host.make.remote(name, count))
        except BaseException:
            self._dismiss()
            raise
        return made

    def _dismiss(self) -> None:
        host, self._host = self._host, None
        if host is not None:
            self._ray.kill(host)

    def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            with explained("The worker of this environment"):
                return self._ray.get(getattr(self._host, method).remote(*arguments))
        except WorkerLostError:
            self._dismiss()
            self._destroy_left()
            raise

    def _destroy_left(self) -> None:
        """Destroy, where the host was, what it had made; the log tells what could not be."""
        strategies = self._ray.util.scheduling_strategies
        there = strategies.NodeAffinitySchedulingStrategy(self._made.machine, soft=True)
        task = self._ray.remote(num_cpus=0, scheduling_strategy=there)(_destroy)
        for project, name in self._made.stacks:
            try:
                with explained("Who destroys"):
                    self._ray.get(
                        task.options(runtime_env=self._surroundings).remote(project, name)
                    )
            except InfraGymError as error:
                _log.error("%s/%s of a lost worker was not destroyed: %s", project, name, error)
            else:
                _log.warning("%s/%s of a lost worker was destroyed", project, name)


def _destroy(project: str, name: str) -> None:
    destroy_left(load_settings(project=project), name)


def _stacks(env: Any) -> Iterator[tuple[str, str]]:
    """The names of the live environments in ``env``."""
    for one in getattr(env, "envs", (env,)):
        place = getattr(getattr(one, "unwrapped", None), "place", None)
        if place is not None and place.target != "sim":
            yield place.project, place.environment
