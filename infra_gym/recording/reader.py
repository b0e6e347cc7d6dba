"""Reading a run log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from infra_gym.errors import UsageError
from infra_gym.recording.schema import LINE, VERSION, Close, Header, Line, Reset, Step


@dataclass
class Episode:
    """A reset and the steps after it."""

    reset: Reset
    steps: list[Step] = field(default_factory=list)


@dataclass
class Run:
    """A run log's content."""

    header: Header
    episodes: list[Episode] = field(default_factory=list)
    closed: Close | None = None
    """The orderly end; ``None`` where the run was killed or still goes on."""
    cut: bool = False
    """Whether the last line was cut off and left out."""


def read_run(path: str | Path) -> Run:
    """Read a run log. A last line that was cut off, as by a kill, is left out and told.

    Raises:
        UsageError: There is no such file, it is not a run log, it was written by a newer version,
            or a line in it is broken.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(
            f"The run log {path} cannot be read: {error.strerror or error}."
        ) from error
    lines = _lines(path, text)
    header = next(lines, None)
    if not isinstance(header, Header):
        raise UsageError(f"{path} is not a run log: its first line is no header.")
    run = Run(header, cut=not text.endswith("\n"))
    for number, line in enumerate(lines, start=2):
        if isinstance(line, Reset):
            run.episodes.append(Episode(line))
        elif isinstance(line, Step) and run.episodes:
            run.episodes[-1].steps.append(line)
        elif isinstance(line, Close):
            run.closed = line
        else:
            raise UsageError(f"{path}:{number}: a {line.kind} line has no place here.")
    return run


def _lines(path: Path, text: str) -> Iterator[Line]:
    """The whole lines; what follows the last newline was cut off."""
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            content = json.loads(line)
            if number == 1:
                _check_version(path, content)
            yield LINE.validate_python(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            why = f"{place}: {first['msg']}" if place else first["msg"]
            raise UsageError(f"{path}:{number} is not a line of a run log: {why}.") from error
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{path}:{number} is not a line of a run log: {error}.") from error


def _check_version(path: Path, header: object) -> None:
    version = header.get("version") if isinstance(header, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise UsageError(
            f"{path} has version {version} of the run log; this infra-gym reads up to {VERSION}.",
            next_command="pip install --upgrade infra-gym",
        )
