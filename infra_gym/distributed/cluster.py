"""Ray: found, started or reached, and left again."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from infra_gym.errors import MissingProgramError, SettingsError, WorkerLostError, WorkersError
from infra_gym.settings import Settings

_REACH_S = 5.0
_ROOM_S = 60.0
_ATTEMPTS = 3  # on a busy machine Ray's own patience of 30 s may end too early
_OTHER_ADDRESS = (
    "ray start --head --port 6379, and its address; or leave the address out, for Ray on this "
    "machine"
)
_IDS = ("class_name:", "actor_id:", "pid:", "namespace:", "ip:", "name:")
_GUESSES = "Some common causes include"
_OBJECTS_BYTES = 100 * 1024 * 1024


def library() -> Any:
    """The package ``ray``, imported when it is first needed.

    Raises:
        MissingProgramError: It is not installed.
    """
    try:
        # Not even an old habit of Ray's is worth an error to who turns warnings into them.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray
            import ray.exceptions
            import ray.util.scheduling_strategies
    except ImportError as error:
        raise MissingProgramError(
            f"Ray is not installed ({error}).", next_command='pip install "infra-gym[ray]"'
        ) from error
    return ray


class Cluster:
    """A connection to Ray, with room for a number of workers.

    Where Ray was connected before, that connection is used and left as it is; else it is made here,
    and shut down by :meth:`close`. Each worker has a place of its own, a bundle of a placement
    group that spreads over the machines: whoever replaces a worker, or destroys what it left, comes
    to the same machine as long as there is that machine.

    Args:
        address: Of a running cluster, ``HOST:PORT`` or ``auto``; ``None`` means RAY_ADDRESS, else
            Ray is started on this machine.
        workers: How many places; with 0, whoever comes finds a place of their own.
        verbose: Whether what workers print is shown.

    Raises:
        MissingProgramError: Ray is not installed.
        WorkersError: There is no cluster at the address, or no room in it.
    """

    def __init__(self, address: str | None, *, workers: int, verbose: bool = False) -> None:
        self.ray = library()
        self.workers = workers
        self._is_ours = not self.ray.is_initialized()
        self._places: Any = None
        try:
            if self._is_ours:
                self._connect(address or os.environ.get("RAY_ADDRESS"), verbose=verbose)
            if workers:
                self._find_room()
        except BaseException:
            self.close()
            raise

    @property
    def machines(self) -> int:
        """How many there are."""
        return sum(node["Alive"] for node in self.ray.nodes())

    def place(self, worker: int) -> dict[str, Any]:
        """Ray's options for what runs in the place of a worker, counted from 1."""
        strategy = self.ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(
            self._places, placement_group_bundle_index=worker - 1
        )
        return {"num_cpus": 1, "scheduling_strategy": strategy}

    def close(self) -> None:
        """Give the room back, and shut down what was started or connected here."""
        if self._places is not None and self.ray.is_initialized():
            self.ray.util.remove_placement_group(self._places)
        self._places = None
        if self._is_ours:
            self.ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self, address: str | None, *, verbose: bool) -> None:
        if address is None or address == "local":
            # A live environment waits most of the time, and a person who asks for more simulators
            # than there are cores gets them: here, a worker takes no more than its place.
            start_here(max(self.workers, os.cpu_count() or 1), verbose=verbose)
            return
        _reach(address)
        try:
            _init(address=address, log_to_driver=verbose)
        except Exception as error:
            raise WorkersError(
                f"No Ray cluster answers at {address}: {error}", next_command=_OTHER_ADDRESS
            ) from error

    def _find_room(self) -> None:
        ray = self.ray
        cpus = ray.cluster_resources().get("CPU", 0)
        if cpus >= self.workers:
            self._places = ray.util.placement_group([{"CPU": 1}] * self.workers, strategy="SPREAD")
            if self._places.wait(_ROOM_S):
                return
        free = ray.available_resources().get("CPU", 0)
        raise WorkersError(
            f"Ray has no room for {self.workers} workers: each takes one CPU, and of {cpus:g} "
            f"{free:g} are free.",
            next_command="ask for fewer --workers, or add machines: ray start --address HOST:PORT",
        )


def start_here(cpus: int, *, verbose: bool = False) -> None:
    """Start Ray on this machine, and connect to it; where this process ends, so does Ray.

    Args:
        cpus: How many Ray is to believe in.
        verbose: Whether what workers print is shown.

    Raises:
        MissingProgramError: Ray is not installed.
        WorkersError: It does not start.
    """
    ray = library()
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _init(
                address="local",
                num_cpus=cpus,
                object_store_memory=_OBJECTS_BYTES,
                include_dashboard=False,
                log_to_driver=verbose,
            )
        except Exception as error:
            ray.shutdown()
            if attempt == _ATTEMPTS:
                raise WorkersError(
                    f"Ray cannot be started: {error}",
                    next_command="see its logs, in /tmp/ray/session_latest/logs",
                ) from error
        else:
            return


def _init(**options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library().init(logging_level="ERROR", **options)


@contextmanager
def explained(who: str) -> Iterator[None]:
    """Ray's errors as what they mean: the error of a call, or the end of who was called.

    Args:
        who: Was called, as a sentence begins.

    Raises:
        Exception: Whatever the call raised, as it raised it.
        WorkerLostError: Its process or machine is gone.
    """
    exceptions = library().exceptions
    try:
        yield
    except exceptions.RayTaskError as error:
        raise error.cause from None
    except exceptions.RayActorError as error:
        raise WorkerLostError(
            f"{who} was lost: {_reason(error)}",
            next_command="look for its last words: the same command with --debug",
        ) from error


def _reason(error: BaseException) -> str:
    """What Ray says of a dead actor, without its ids and its guesses."""
    lines = [line.strip() for line in str(error).partition(_GUESSES)[0].splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(_IDS))


def refuse_unshared(settings: Settings, *, machines: int) -> None:
    """Refuse live environments whose ledgers one machine only would know.

    Raises:
        SettingsError: There are several machines, and the state lies in a folder of each.
    """
    if machines > 1 and settings.target in ("k8s", "do") and settings.state.backend == "local":
        raise SettingsError(
            f"the state lies in a folder of each machine, and there are {machines}: what a lost "
            "one made could be destroyed from nowhere else",
            next_command='write into infra-gym.toml: [state] backend = "s3", bucket = "NAME"',
        )


def state_variables(settings: Settings) -> dict[str, str]:
    """The environment variables by which a process on another machine finds the same state.

    Its credentials are not among them: each machine has its own.
    """
    if settings.state.backend == "local":
        return {}
    values = settings.state.model_dump(exclude_none=True)
    return {f"INFRA_GYM_STATE__{name.upper()}": str(value) for name, value in values.items()}


def _reach(address: str) -> None:
    """Tell within seconds what Ray would tell after a minute or more."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if address == "auto":
        return
    if not colon or not host or not port.isdecimal():
        raise SettingsError(
            f"the address of a Ray cluster cannot be {address!r}",
            next_command="write HOST:PORT as `ray start --head` tells it, or auto",
        )
    try:
        socket.create_connection((host, int(port)), _REACH_S).close()
    except (OSError, OverflowError) as error:
        raise WorkersError(
            f"No Ray cluster answers at {address}: {error}", next_command=_OTHER_ADDRESS
        ) from error
