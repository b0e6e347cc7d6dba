"""The logs of a local stack's processes: their last lines, and new ones as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from infra_gym.errors import StackError

_LOOK_S = 0.2
_MOST_BYTES = 1_000_000


class ProcessLogs:
    """The logs below a run's ``processes`` folder, one a program.

    Args:
        folder: That folder.
        names: Layers' short names; a program's name begins with its layer's. All when left out.
    """

    def __init__(self, folder: Path, names: Sequence[str] | None = None) -> None:
        self._folder = folder / "programs"
        self._names = names

    def last(self, lines: int) -> dict[str, list[str]]:
        """At most so many last lines of each program.

        Raises:
            StackError: A log cannot be read.
        """
        return {name: _tail(file, lines)[0] for name, file in self._files().items()}

    def follow(self, lines: int) -> Iterator[tuple[str, str]]:
        """The last lines, then new ones as they come, each with its program; new programs as well.

        Never ends by itself.

        Raises:
            StackError: A log cannot be read.
        """
        read: dict[str, int] = {}
        while True:
            for name, file in self._files().items():
                if name not in read:
                    found, read[name] = _tail(file, lines)
                else:
                    found, read[name] = _new(file, read[name])
                yield from ((name, line) for line in found)
            time.sleep(_LOOK_S)

    def _files(self) -> dict[str, Path]:
        found = {file.parent.name: file for file in sorted(self._folder.glob("*/log"))}
        return {name: file for name, file in found.items() if self._wanted(name)}

    def _wanted(self, program: str) -> bool:
        if self._names is None:
            return True
        return any(program == name or program.startswith(f"{name}-") for name in self._names)


def _tail(file: Path, lines: int) -> tuple[list[str], int]:
    """The last lines, and where the next ones begin."""
    size = _size(file)
    found, end = _new(file, max(0, size - _MOST_BYTES))
    return found[-lines:], end


def _new(file: Path, begin: int) -> tuple[list[str], int]:
    """The whole lines from ``begin`` on, and where the next ones begin; all of a log made anew."""
    begin = 0 if _size(file) < begin else begin
    try:
        with file.open("rb") as opened:
            opened.seek(begin)
            content = opened.read(_MOST_BYTES)
    except FileNotFoundError:  # its program was just taken away
        return [], 0
    except OSError as error:
        raise StackError(f"The log {file} cannot be read: {error.strerror}.") from error
    whole = content[: content.rfind(b"\n") + 1]
    return whole.decode(errors="replace").splitlines(), begin + len(whole)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
