"""Writing a run log: a line is on its way to the disk before the call returns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from pydantic import ValidationError

from infra_gym.errors import InfraGymError, MetricsError, UsageError
from infra_gym.recording.schema import Close, Header, Line, Reset, Step


class RunLog:
    """One run's log.

    Args:
        path: A file that must not exist yet; its folder is made.
        header: What is run.

    Every method raises :class:`MetricsError` for a number that is not finite (nothing is written
    then), and :class:`InfraGymError` when the disk refuses.
    """

    def __init__(self, path: str | Path, header: Header) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("x", encoding="utf-8")
        except OSError as error:
            if not self.path.exists():
                raise self._refused(error) from error
            raise UsageError(
                f"The run log {self.path} exists already.",
                next_command="name another file, or move that one away",
            ) from error
        self._write(header)

    def reset(
        self,
        *,
        seed: int,
        schedule_sha256: str,
        observation: Sequence[float] | np.ndarray[Any, Any],
        metrics: Mapping[str, float],
        info: Mapping[str, Any] | None = None,
    ) -> None:
        """Write an episode's beginning; the fields are those of :class:`Reset`."""
        self._write_line(
            Reset,
            seed=seed,
            schedule_sha256=schedule_sha256,
            observation=observation,
            metrics=metrics,
            info=info or {},
        )

    def step(
        self,
        *,
        step: int,
        time_s: float,
        action: Any,
        observation: Sequence[float] | np.ndarray[Any, Any],
        reward: float,
        terms: Mapping[str, float],
        metrics: Mapping[str, float],
        terminated: bool = False,
        truncated: bool = False,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        """Write one step; the fields are those of :class:`Step`."""
        self._write_line(
            Step,
            step=step,
            time_s=time_s,
            action=action,
            observation=observation,
            reward=reward,
            terms=terms,
            metrics=metrics,
            terminated=terminated,
            truncated=truncated,
            info=info or {},
        )

    def close(self, reason: str = "closed", info: Mapping[str, Any] | None = None) -> None:
        """Write the last line and close the file; a second call does nothing."""
        if self._file.closed:
            return
        try:
            self._write(Close(reason=reason, info=_plain(info or {})))
        finally:
            self._file.close()

    def discard(self) -> None:
        """Close the file and remove it, where what it was begun for did not come about."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close("closed" if error is None else f"{type(error).__name__}: {error}")

    def _write_line(self, model: type[Reset] | type[Step], **fields: Any) -> None:
        try:
            line = model(**_plain(fields))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise MetricsError(
                f"The run log takes no {first['input']!r} for {place}: {first['msg']}."
            ) from error
        self._write(line)

    def _write(self, line: Line) -> None:
        try:
            text = json.dumps(line.model_dump(), allow_nan=False, separators=(",", ":"))
        except ValueError as error:
            raise MetricsError(
                f"The run log takes finite numbers only: {line.kind}: {error}."
            ) from error
        try:
            self._file.write(text + "\n")
            self._file.flush()
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> InfraGymError:
        return InfraGymError(
            f"The run log {self.path} cannot be written: {error.strerror or error}.",
            next_command="free some space, or name a file elsewhere",
        )


def _plain(value: Any) -> Any:
    """JSON's own types for arrays, NumPy's numbers, sets and mappings."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(_plain(inner) for inner in value)
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
