"""What a command's bad end means, and what to type next."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra_gym.errors import TerraformError, TerraformInterruptedError, TerraformTimeoutError
from infra_gym.terraform.documents import Event, StateLock
from infra_gym.terraform.process import Process

ERRORED_STATE_FILE = "errored.tfstate"
"""Where Terraform saves a state that it could not store."""

_MAKE_ROOM = (
    "make room, or choose another folder with INFRA_GYM_DATA_FOLDER; then repeat the command"
)
_STATE_KEPT = (
    "when the state's store answers again, repeat the command: it first writes the state that "
    f"Terraform kept in {ERRORED_STATE_FILE}"
)
_AFTER_STOP = (
    "repeat the command: it goes on from where this one stopped, "
    "and says what to type if a lock stayed behind"
)

_AWAY = re.compile(
    r"connection refused|connection reset|TLS handshake timeout|i/o timeout|unexpected EOF|"
    r"no route to host|client connection lost|Client\.Timeout|server is currently unable|"
    r"the server was unable to return a response|etcdserver:"
)


def was_away(diagnostics: Iterable[str]) -> bool:
    """Whether a server did not answer: the same command may work a moment later."""
    return any(_AWAY.search(text) for text in diagnostics)


def failure(
    process: Process, *, program: Path, command: str, folder: Path, texts: Sequence[str]
) -> TerraformError:
    """The error of a process that ended badly.

    Args:
        process: Ended.
        program: Its path.
        command: Such as ``apply``.
        folder: Where it ran.
        texts: Its complaints, without secrets, the last useful one first.
    """
    what = f"{program.name} {command} in {folder}"
    why = f" {texts[0]}" if texts else ""
    if process.timed_out:
        return TerraformTimeoutError(
            f"{what} passed its deadline and was stopped after {process.seconds:.0f} s.{why}",
            diagnostics=texts,
            next_command=_AFTER_STOP,
        )
    if process.interrupted:
        return TerraformInterruptedError(
            f"{what} was interrupted.", diagnostics=texts, next_command=_AFTER_STOP
        )
    lock = next(filter(None, map(StateLock.find, texts)), None)
    if lock:
        return TerraformError(
            f"{what} found the state locked by {lock.who} since {lock.since} "
            f"({lock.operation}, lock {lock.id}).",
            diagnostics=texts,
            next_command="wait until it is done; if that run is dead: "
            f"cd {shlex.quote(str(folder))} && {shlex.quote(str(program))} force-unlock {lock.id}",
        )
    if (folder / ERRORED_STATE_FILE).exists():
        return TerraformError(f"{what} failed.{why}", diagnostics=texts, next_command=_STATE_KEPT)
    if any("no space left on device" in text for text in texts):
        return TerraformError(f"{what} failed.{why}", diagnostics=texts, next_command=_MAKE_ROOM)
    said = why or f" It {_end(process.returncode)} and did not say why."
    return TerraformError(f"{what} failed.{said}", diagnostics=texts)


def _end(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        return f"was killed by {signal.Signals(-returncode).name}"
    return f"ended with {returncode}"


def unheard(events_file: Path, what: str) -> TerraformError:
    """The error of a process whose words were lost on the way to the disk."""
    return TerraformError(
        f"{what}, but what it said did not all reach {events_file}: {_free(events_file.parent)}.",
        next_command=_MAKE_ROOM,
    )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say plainly why a file cannot be written."""
    try:
        yield
    except OSError as error:
        raise TerraformError(
            f"{path} cannot be written: {error.strerror} ({_free(path.parent)}).",
            next_command=_MAKE_ROOM,
        ) from error


def complaints(events: Iterable[Event]) -> list[str]:
    """The texts of all errors among the events; lines without form when there are none."""
    events = list(events)
    diagnostics = [event.diagnostic for event in events if event.diagnostic]
    errors = [found.text() for found in diagnostics if found.severity == "error"]
    return errors or plain("\n".join(event.message for event in events if event.type == "text"))


def plain(text: str) -> list[str]:
    """A message for people without its colours and frame; none when nothing is left."""
    lines = (re.sub(r"\x1b\[[0-9;]*m", "", line).strip("╷│╵ ") for line in text.splitlines())
    kept = "\n".join(line for line in lines if line)
    return [kept] if kept else []


def _free(folder: Path) -> str:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return f"its folder is unusable: {error.strerror}"
    return f"{free / 2**20:.1f} MiB are free on its disk"
