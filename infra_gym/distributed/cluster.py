"""Ray: found, started or reached, and left again."""

from __future__ import annotations

import os
import socket
import warnings
from typing import Any, Self

from infra_gym.errors import ClusterError, MissingProgramError, SettingsError
from infra_gym.settings import Settings

_REACH_S = 5.0
_ROOM_S = 60.0
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
        workers: How many places.
        verbose: Whether what workers print is shown.

    Raises:
        MissingProgramError: Ray is not installed.
        ClusterError: There is no cluster at the address, or no room in it.
    """

    def __init__(self, address: str | None, *, workers: int, verbose: bool = False) -> None:
        self.ray = library()
        self.workers = workers
        self._is_ours = not self.ray.is_initialized()
        self._places: Any = None
        try:
            if self._is_ours:
                self._connect(address or os.environ.get("RAY_ADDRESS"), verbose=verbose)
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
        options: dict[str, Any] = {"log_to_driver": verbose, "logging_level": "ERROR"}
        if address is None or address == "local":
            # A live environment waits most of the time, and a person who asks for more simulators
            # than there are cores gets them: here, a worker takes no more than its place.
            options |= {
                "address": "local",
                "num_cpus": max(self.workers, os.cpu_count() or 1),
                "object_store_memory": _OBJECTS_BYTES,
                "include_dashboard": False,
            }
        else:
            _reach(address)
            options |= {"address": address}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.ray.init(**options)
        except (OSError, RuntimeError, ValueError) as error:
            raise _unreachable(address, str(error)) from error

    def _find_room(self) -> None:
        ray = self.ray
        cpus = ray.cluster_resources().get("CPU", 0)
        if cpus >= self.workers:
            self._places = ray.util.placement_group([{"CPU": 1}] * self.workers, strategy="SPREAD")
            if self._places.wait(_ROOM_S):
                return
        free = ray.available_resources().get("CPU", 0)
        raise ClusterError(
            f"Ray has no room for {self.workers} workers: each takes one CPU, and of {cpus:g} "
            f"{free:g} are free.",
            next_command="ask for fewer --workers, or add machines: ray start --address HOST:PORT",
        )


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
        raise _unreachable(address, str(error)) from error


def _unreachable(address: str | None, why: str) -> ClusterError:
    if address is None or address == "local":
        return ClusterError(
            f"Ray cannot be started: {why}", next_command="see the logs in /tmp/ray/session_latest"
        )
    return ClusterError(
        f"No Ray cluster answers at {address}: {why}",
        next_command="ray start --head --port 6379, and its address; or leave the address out, "
        "for Ray on this machine",
    )
