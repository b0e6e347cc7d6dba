"""Writing a file in one go: a reader finds what was there before, or all of the new."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from infra_gym.errors import UsageError


def write_whole(path: Path, text: str) -> None:
    """Write a text file in UTF-8, and make its folder if it is not there.

    What UTF-8 has no bytes for (half a surrogate pair) becomes a question mark. However the process
    ends on the way, ``path`` is not half written, and it keeps its mode. What is no regular file,
    such as ``/dev/null``, and a link, such as ``/dev/stdout``, is written into, not replaced.

    Raises:
        UsageError: The disk refuses.
    """
    data = text.encode("utf-8", errors="replace")
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or (path.exists() and not path.is_file()):
            path.write_bytes(data)
        else:
            _replace(path, beside, data)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}.",
            next_command="name another place: --out PATH",
        ) from error


def _replace(path: Path, beside: Path, data: bytes) -> None:
    try:
        beside.write_bytes(data)
        if path.exists():
            shutil.copymode(path, beside)
        beside.replace(path)
    except BaseException:  # Ctrl-C as well
        with suppress(OSError):
            beside.unlink()
        raise
