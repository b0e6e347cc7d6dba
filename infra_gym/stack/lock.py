"""The stack's lock: one run at a time may change a project's environment.

The lock is an object ``lock/GENERATION.json`` that says who holds it. Only one of several racing
runs can create a generation. A run that dies leaves its object; the next run sees that the owner is
dead, creates the generation after it and removes the older. An owner who was only asleep finds, in
the check before its next apply, that the highest generation is not its own, and stops.

Whether an owner lives: on the same machine, whether its process does (process id and start time).
On another, whether its heartbeat goes on; because the clocks of two machines may differ, a
heartbeat that looks old, or is not yet due, is watched for one more beat before it counts as dead.
"""

from __future__ import annotations

import functools
import getpass
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from infra_gym.errors import OwnershipLostError, StackError, StackLockedError
from infra_gym.stack.storage import Storage

BEAT_S = 20.0
"""Seconds between two heartbeats."""
DEAD_AFTER_S = 120.0
"""Age of a heartbeat that looks dead."""

_ATTEMPTS = 10
_GIVEN_UP: set[str] = set()
"""Tokens of owners in this process whose lock could not be removed when they gave it back."""
_GENERATION = re.compile(r"/(\d{8,})\.json$")


class Owner(BaseModel):
    """A run that holds, or held, the lock."""

    model_config = ConfigDict(frozen=True)

    host: str
    machine: str
    """Tells machines with the same host name apart: the boot, and the namespace of process ids."""
    user: str
    pid: int
    process_start: float
    """Epoch seconds at which the process started; process ids are used again."""
    token: str
    """Random: tells two owners apart that have all else in common."""
    generation: int
    since: datetime

    @classmethod
    def of_this_process(cls, generation: int) -> Owner:
        """This process as the owner of a generation."""
        return cls(
            host=socket.gethostname(),
            machine=_machine(),
            user=_user(),
            pid=os.getpid(),
            process_start=psutil.Process().create_time(),
            token=secrets.token_hex(8),
            generation=generation,
            since=datetime.now(UTC),
        )

    def __str__(self) -> str:
        return (
            f"{self.user}@{self.host} (process {self.pid}) since {self.since:%Y-%m-%d %H:%M:%S} UTC"
        )

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, a run on this host."""
        return self.host == socket.gethostname()

    @property
    def is_visible(self) -> bool:
        """Whether its process, if it lives, can be seen from here."""
        return self.is_here and self.machine == _machine()


class _Beat(BaseModel):
    token: str
    at: float


class StackLock:
    """The lock of one project and environment. Thread-safe once acquired.

    Args:
        storage: Where it lies.
        project: The project.
        environment: The environment's name.
        sleep: Another one in tests.
    """

    def __init__(
        self,
        storage: Storage,
        project: str,
        environment: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._storage = storage
        self._names = (project, environment)
        self._prefix = f"infrastructure/{project}/{environment}/lock/"
        self._beat_key = f"infrastructure/{project}/{environment}/ledger/heartbeat.json"
        self._sleep = sleep
        self._stop = threading.Event()
        self._heart: threading.Thread | None = None
        self.owner: Owner | None = None
        """This run, while it holds the lock."""

    def acquire(self) -> None:
        """Take the lock; from a dead owner as well.

        Raises:
            StackLockedError: A live run holds it; says who, since when, and what to type.
        """
        for _ in range(_ATTEMPTS):
            keys = self._keys()
            holder = self._read(keys[-1]) if keys else None
            if keys and holder is None:
                continue  # released between the listing and the reading
            if holder is not None and self.is_alive(holder, watch=True):
                raise self._locked(holder)
            if self._create_after(keys):
                return
        raise self._contended()

    def seize(self) -> None:
        """Take the lock whoever holds it: somebody has said that the holder is dead."""
        for _ in range(_ATTEMPTS):
            if self._create_after(self._keys()):
                return
        raise self._contended()

    def check(self) -> None:
        """Make sure that the lock is still this run's: one listing and one reading.

        Raises:
            OwnershipLostError: Another run took it over.
        """
        owner, keys = self.owner, self._keys()
        if owner is None:
            raise StackError("The stack's lock is not held.", next_command="call acquire() first")
        if not keys or keys[-1] != self._key(owner.generation):
            raise self._lost(self._read(keys[-1]) if keys else None)
        holder = self._read(keys[-1])
        if holder is None or holder.token != owner.token:
            raise self._lost(holder)

    def release(self) -> None:
        """Give the lock back, if it is held and still this run's.

        Where the store fails, its object stays; for this process its owner is dead then.
        """
        owner = self.owner
        if owner is None:
            return
        self.owner = None
        self._stop.set()
        if self._heart is not None:
            self._heart.join()
        try:
            self._remove(owner)
        except BaseException:
            _GIVEN_UP.add(owner.token)
            raise

    def holder(self) -> Owner | None:
        """Who holds it, dead or alive."""
        keys = self._keys()
        return self._read(keys[-1]) if keys else None

    def is_alive(self, owner: Owner, *, watch: bool = False) -> bool:
        """Whether the owner's run goes on.

        Args:
            owner: Whose.
            watch: Doubt another host's clock, which takes longer than a beat.
        """
        if owner.token in _GIVEN_UP:
            return False
        if owner.is_visible:
            return _process_lives(owner.pid, owner.process_start)
        beat = self._read_beat()
        last = beat.at if beat and beat.token == owner.token else owner.since.timestamp()
        if abs(time.time() - last) < DEAD_AFTER_S:
            return True
        if not watch:
            return False
        self._sleep(BEAT_S * 1.5)
        return self._read_beat() != beat

    def _create_after(self, keys: list[str]) -> bool:
        """Create the generation after the highest; ``False`` when others were faster."""
        owner = Owner.of_this_process(1 + max((_generation(key) for key in keys), default=0))
        key = self._key(owner.generation)
        if not self._storage.create(key, owner.model_dump_json().encode()):
            return False
        self.owner = owner  # from here on, a release gives it back
        # A store that ignores conditions lets two create the same object: the last one has it.
        try:
            self.check()
        except OwnershipLostError:
            self.release()
            return False
        for older in keys:
            self._storage.delete(older)
        self._begin_to_beat(owner)
        return True

    def _remove(self, owner: Owner) -> None:
        key = self._key(owner.generation)
        holder = self._read(key)
        if holder is not None and holder.token == owner.token:
            beat = self._read_beat()
            if beat is not None and beat.token == owner.token:
                self._storage.delete(self._beat_key)
            self._storage.delete(key)

    def _begin_to_beat(self, owner: Owner) -> None:
        self._beat(owner)
        self._stop = threading.Event()
        self._heart = threading.Thread(
            target=self._keep_beating, args=(owner, self._stop), name="heartbeat", daemon=True
        )
        self._heart.start()

    def _keep_beating(self, owner: Owner, stop: threading.Event) -> None:
        while not stop.wait(BEAT_S):
            try:
                self.check()
                self._beat(owner)
            except OwnershipLostError:
                return
            except StackError:  # the store is away; if that lasts, the next apply says so
                continue

    def _beat(self, owner: Owner) -> None:
        beat = _Beat(token=owner.token, at=time.time())
        self._storage.write(self._beat_key, beat.model_dump_json().encode())

    def _read_beat(self) -> _Beat | None:
        data = self._storage.read(self._beat_key)
        with suppress(ValidationError):  # what cannot be understood is no beat
            return _Beat.model_validate_json(data) if data else None
        return None

    def _keys(self) -> list[str]:
        # Whatever else lies there, such as a file manager's, is no lock.
        return [key for key in self._storage.keys(self._prefix) if _GENERATION.search(key)]

    def _key(self, generation: int) -> str:
        return f"{self._prefix}{generation:08d}.json"

    def _read(self, key: str) -> Owner | None:
        data = self._storage.read(key)
        if data is None:
            return None
        try:
            return Owner.model_validate_json(data)
        except ValidationError:
            raise StackLockedError(
                f"The lock {key} cannot be understood.",
                environment="/".join(self._names),
                next_command=f"make sure that no run uses the stack, then {self._unlock_command()}",
            ) from None

    def _locked(self, holder: Owner) -> StackLockedError:
        return StackLockedError(
            f"Another run owns the stack: {holder}.",
            environment="/".join(self._names),
            next_command="wait until it ends, or choose another name with -e; if you are sure that "
            f"it is dead: {self._unlock_command()}",
        )

    def _contended(self) -> StackLockedError:
        return StackLockedError(
            "The lock changes hands all the time; other runs want the same stack.",
            environment="/".join(self._names),
            next_command="try again, or choose another environment name with -e",
        )

    def _lost(self, holder: Owner | None) -> OwnershipLostError:
        taken = f"by {holder}" if holder else "and given back since"
        return OwnershipLostError(
            f"This run was taken over {taken}; it must not change the stack any more.",
            environment="/".join(self._names),
            next_command=f"infra-gym layers status -p {self._names[0]} -e {self._names[1]}",
        )

    def _unlock_command(self) -> str:
        return f"infra-gym layers unlock -p {self._names[0]} -e {self._names[1]}"


def _process_lives(pid: int, start: float) -> bool:
    try:
        process = psutil.Process(pid)
        # The start is counted in clock ticks since the boot, whose time is known to a second or so.
        return abs(process.create_time() - start) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _generation(key: str) -> int:
    return int(key.rpartition("/")[2].removesuffix(".json"))


@functools.cache
def _machine() -> str:
    """What differs between machines, boots and containers, where the system tells; else nothing."""
    told = []
    with suppress(OSError):
        told.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        told.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(told)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
