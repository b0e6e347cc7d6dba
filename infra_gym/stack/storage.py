"""Where ledger and lock lie: beside Terraform's state, in the same folder or bucket.

Keys look like paths (``infrastructure/PROJECT/ENVIRONMENT/ledger/stack.json``). All that the stack
needs of a store is whole objects, a listing, and a ``create`` of which exactly one of several
racing callers succeeds.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import psutil

from infra_gym.errors import StateBackendError
from infra_gym.settings import Settings

_PARTIAL = ".partial"
_ATTEMPTS = 100


class Storage(Protocol):
    """A store of small objects.

    Every method raises :class:`~infra_gym.errors.StateBackendError` when the store cannot be used.
    """

    def read(self, key: str) -> bytes | None:
        """The object, or ``None`` when there is none."""

    def write(self, key: str, data: bytes) -> None:
        """Make or replace the object; a reader sees the old or the new one, whole."""

    def create(self, key: str, data: bytes) -> bool:
        """Make the object; ``False``, and nothing done, when there is one. Atomic."""

    def delete(self, key: str) -> None:
        """Remove the object, if there is one."""

    def keys(self, prefix: str) -> list[str]:
        """All keys that begin with ``prefix``, sorted."""


class FolderStorage:
    """A folder as a store; objects are files, written beside their place and then moved there.

    Args:
        path: The folder; made when the first object is written, for its user only.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, key: str) -> bytes | None:
        """See :class:`Storage`."""
        with self._explained("read", key):
            try:
                return (self.path / key).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write(self, key: str, data: bytes) -> None:
        """See :class:`Storage`."""
        with self._explained("write", key), self._partial(key, data) as partial:
            partial.replace(self.path / key)

    def create(self, key: str, data: bytes) -> bool:
        """See :class:`Storage`."""
        with self._explained("create", key), self._partial(key, data) as partial:
            try:
                (self.path / key).hardlink_to(partial)
            except FileExistsError:
                return False
            return True

    def delete(self, key: str) -> None:
        """See :class:`Storage`; folders that are empty then are removed as well."""
        file = self.path / key
        with self._explained("delete", key):
            file.unlink(missing_ok=True)
            _remove_dead_partials(file.parent)
            with suppress(OSError):  # the first that is not empty ends it
                for folder in file.parents:
                    if folder == self.path:
                        break
                    folder.rmdir()

    def keys(self, prefix: str) -> list[str]:
        """See :class:`Storage`."""
        start = self.path / prefix.rpartition("/")[0]
        with self._explained("list", prefix):
            found = (
                (Path(folder) / name).relative_to(self.path).as_posix()
                for folder, _, names in os.walk(start, onerror=_unless_missing)
                for name in names
                if not name.endswith(_PARTIAL)
            )
            return sorted(key for key in found if key.startswith(prefix))

    @contextmanager
    def _partial(self, key: str, data: bytes) -> Iterator[Path]:
        """The data, safe on disk, in a file beside its place that is gone afterwards."""
        file = self.path / key
        partial = file.with_name(f".{file.name}.{threading.get_ident()}.{os.getpid()}{_PARTIAL}")
        descriptor = self._open(partial)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            yield partial
        finally:
            partial.unlink(missing_ok=True)

    def _open(self, partial: Path) -> int:
        """Open a new file for writing, and make the folders that it needs."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(_ATTEMPTS):
            # Another run's delete may remove the empty folder in between: before the file is
            # opened, or after mkdir found the folder there and before it looked what it is.
            with suppress(FileNotFoundError, FileExistsError):
                partial.parent.mkdir(parents=True, exist_ok=True)
                return os.open(partial, flags, 0o600)
        return os.open(partial, flags, 0o600)

    @contextmanager
    def _explained(self, what: str, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StateBackendError(
                f"The state folder cannot be used: {what} {self.path / key}: {error.strerror}.",
                next_command=f"make {self.path} writable and its disk not full, or name another "
                "folder with INFRA_GYM_DATA_FOLDER; then repeat the command",
            ) from error


def open_storage(settings: Settings) -> Storage:
    """The store that the settings name; nothing is touched yet."""
    if settings.state.backend == "local":
        return FolderStorage(settings.data_folder.absolute() / "state")
    from infra_gym.clouds.buckets import BucketStorage  # boto3 is slow to import

    return BucketStorage(settings.state)


def _remove_dead_partials(folder: Path) -> None:
    """Remove what writers left that were killed; the writer's process is in the name."""
    with suppress(FileNotFoundError):  # another run has removed the empty folder
        for file in folder.iterdir():
            writer = file.name.removesuffix(_PARTIAL).rpartition(".")[2]
            is_partial = file.name.endswith(_PARTIAL) and writer.isdecimal()
            if is_partial and not psutil.pid_exists(int(writer)):
                file.unlink(missing_ok=True)


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
