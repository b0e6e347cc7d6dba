"""The run logs of an evaluation: one a worker, and one of them all.

``NAME.jsonl`` holds every episode in the evaluation's order (agent by agent, seed by seed), whoever
played it. It is a run log like any other (:mod:`infra_gym.recording.schema`); each ``reset`` and
``step`` tells in ``info.worker`` who played it, each ``reset`` in ``info.agent`` which agent, and
the header in ``info.workers`` the name of each worker's environment, or names, where it was
replaced. ``NAME.worker-1.jsonl`` and so on hold what each worker's environment wrote, as it came; a
worker that was replaced goes on in ``NAME.worker-1-2.jsonl``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from infra_gym.errors import UsageError
from infra_gym.evaluation.evaluate import Played
from infra_gym.recording import Header, Reset, RunLog, Step
from infra_gym.recording.schema import LINE


class Logs:
    """Writes the logs; without a path, nothing.

    Args:
        path: Of the log of all episodes; it must not exist yet. Its folder is made.
        workers: Whether each worker gets a log of its own as well.

    Raises:
        UsageError: The file exists, or its folder cannot be made.
    """

    def __init__(self, path: Path | None, *, workers: bool) -> None:
        self._path = path
        self._workers = workers
        self._played: list[Played] = []
        self._files: dict[int, list[Path]] = {}
        if path is None:
            return
        if path.exists():
            raise UsageError(
                f"The run log {path} exists already.",
                next_command="name another file, or move that one away",
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"The folder {path.parent} for the run log cannot be made: {error.strerror}.",
                next_command="name a file elsewhere: --log PATH",
            ) from error

    def add(self, played: Played) -> None:
        """Write an episode into its worker's log, and keep it for the log of all."""
        if self._path is None or not played.log:
            return
        self._played.append(played)
        if self._workers:
            with self._file(self._path, played).open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in played.log)

    def _file(self, path: Path, played: Played) -> Path:
        """The worker's log; a new one when a new environment begins it with a header."""
        number = played.result.worker
        files = self._files.setdefault(number, [])
        if isinstance(LINE.validate_json(played.log[0]), Header):
            again = f"-{len(files) + 1}" if files else ""
            files.append(path.with_name(f"{path.stem}.worker-{number}{again}{path.suffix}"))
        return files[-1]

    def close(self, reason: str) -> Path | None:
        """Write the log of all episodes that were played, and return where it is, if it is.

        Args:
            reason: Why the evaluation ended.
        """
        if self._path is None or not self._played:
            return None
        ordered = sorted(self._played, key=lambda one: one.case.index)
        with _open(self._path, self._played) as log:
            for played in ordered:
                _copy(log, played)
            log.close(reason)
        return self._path


def _open(path: Path, played: Iterable[Played]) -> RunLog:
    """The log of all, with the first header that a worker wrote and the names of all of them."""
    names: dict[str, list[str]] = {}
    headers: list[Header] = []
    for one in played:
        for line in map(LINE.validate_json, one.log):
            if isinstance(line, Header):
                headers.append(line)
                names.setdefault(str(one.result.worker), []).append(str(one.environment))
    info: dict[str, Any] = {**headers[0].info, "workers": dict(sorted(names.items()))}
    info.pop("environment", None)
    return RunLog(path, headers[0].model_copy(update={"info": info}))


def _copy(log: RunLog, played: Played) -> None:
    worker, agent = played.result.worker, played.case.contestant.name
    for text in played.log:
        line = LINE.validate_python(json.loads(text))
        fields = line.model_dump(exclude={"kind"})
        if isinstance(line, Reset):
            log.reset(**{**fields, "info": {**line.info, "worker": worker, "agent": agent}})
        elif isinstance(line, Step):
            log.step(**{**fields, "info": {**line.info, "worker": worker}})
