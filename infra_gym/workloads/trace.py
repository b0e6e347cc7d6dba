"""A recorded load, read from a CSV or XLSX file."""

from __future__ import annotations

import csv
import io
import itertools
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np

from infra_gym.errors import UsageError
from infra_gym.workloads.profiles import Array, Positive, Profile

_COLUMNS = (("seconds", "rps"), ("timestamp", "value"))


class Trace(Profile):
    """A recorded load; after its end it begins again.

    The file, CSV or (with the extra ``xlsx``) XLSX, has a header with ``seconds,rps``, or
    ``timestamp,value`` with seconds since 1970 or ISO 8601; other columns are passed over. A row
    holds until the next one, the last as long as the one before it.
    """

    profile: Literal["trace"]
    path: Path
    """The file; a relative path starts at the definition's own folder."""
    mean_rps: Positive | None = None
    """Scale the recording to this mean, requests/s; left out, it is played as recorded."""

    def rate(self, t_s: Array, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """The recorded rate at each of ``t_s`` (modelled seconds), requests/s.

        Raises:
            UsageError: The file cannot be read; names the line.
        """
        starts, rates = self.rows()
        ends = np.append(starts[1:], 2 * starts[-1] - starts[-2])
        if self.mean_rps is not None:
            mean = float(np.dot(rates, ends - starts)) / ends[-1]
            if mean == 0:
                raise UsageError(f"{self.path}: all rates are 0, so no mean_rps can be had of it.")
            rates = rates * (self.mean_rps / mean)
        rows = np.searchsorted(starts, t_s % ends[-1], side="right") - 1
        return np.asarray(rates[rows], dtype=np.float64)

    def rows(self) -> tuple[Array, Array]:
        """Seconds since the first row, ascending from 0, and requests/s; at least two of each.

        Raises:
            UsageError: The file cannot be read; names the line.
        """
        try:
            rows = self._parsed(csv.DictReader(io.StringIO(self._text(), newline="")))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(f"The trace {self.path} cannot be read: {why}") from error
        if len(rows) < 2:
            raise UsageError(f"{self.path}: a trace needs at least two rows, not {len(rows)}.")
        for (line, before, _), (next_line, after, _) in itertools.pairwise(rows):
            if after <= before:
                raise UsageError(f"{self.path}:{next_line}: not later than line {line}.")
        times, rates = np.array([row[1:] for row in rows], dtype=np.float64).T
        return times - times[0], rates

    def _text(self) -> str:
        """The file as CSV."""
        if self.path.suffix.lower() != ".xlsx":
            with self.path.open(newline="", encoding="utf-8-sig") as file:
                return file.read()
        try:
            import pandas
        except ImportError as error:
            raise UsageError(
                f"{self.path}: reading XLSX needs pandas and openpyxl: {error}",
                next_command="pip install 'infra-gym[xlsx]', or save it as CSV",
            ) from error
        try:
            return str(pandas.read_excel(self.path).to_csv(index=False))
        except (ImportError, KeyError, ValueError, BadZipFile) as error:
            raise UsageError(f"The trace {self.path} cannot be read: {error}") from error

    def _parsed(self, reader: csv.DictReader[str]) -> list[tuple[int, float, float]]:
        header = reader.fieldnames or ()
        for time_column, rate_column in _COLUMNS:
            if time_column in header and rate_column in header:
                break
        else:
            raise UsageError(
                f"{self.path}:1: the header needs seconds,rps or timestamp,value, "
                f"not {','.join(header)!r}."
            )
        rows = []
        for row in reader:
            try:
                time, rate = _seconds(row[time_column]), float(row[rate_column])
            except (TypeError, ValueError) as error:
                raise UsageError(f"{self.path}:{reader.line_num}: {error}") from error
            if not (math.isfinite(time) and 0 <= rate < math.inf):
                raise UsageError(
                    f"{self.path}:{reader.line_num}: a finite time and a rate of at least 0 are "
                    f"needed, not {time}, {rate}."
                )
            rows.append((reader.line_num, time, rate))
        return rows


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
