"""Batch job traces in the Standard Workload Format (SWF).

A line is a job of eighteen numbers; a line that begins with ``;`` is a comment, and such as
``; Name: value`` a header. Blank lines and tabs are taken as they come, and a file that is
compressed with gzip is known by its first bytes. The format: https://www.cs.huji.ac.il/labs/parallel/workload/swf.html
"""

from __future__ import annotations

import codecs
import gzip
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infra_gym.errors import UsageError

FIELDS = (
    "job number",
    "submit time",
    "wait time",
    "run time",
    "allocated processors",
    "average CPU time",
    "used memory",
    "requested processors",
    "requested time",
    "requested memory",
    "status",
    "user",
    "group",
    "executable",
    "queue",
    "partition",
    "preceding job",
    "think time",
)
"""What the fields 1 to 18 of a line mean; times are in seconds, -1 stands for unknown."""

_WHOLE = ("job number", "allocated processors", "requested processors")
_PARTIAL = (2, 3, 4)  # statuses of one part of a job that has a line of its own for the whole
_HEADER = re.compile(r";\s*([A-Za-z][\w ]*?)\s*:\s*(.*?)\s*$")
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, eq=False)
class SwfTrace:
    """A trace as it stands in its file.

    Attributes:
        name: Where it was read from.
        headers: The headers; of one that comes twice, the first.
        records: Float64 of shape (jobs, 18), in the file's order.
        lines: Int64 of shape (jobs,): the line of each.
        dropped: How many lines were left out while reading, by reason.
    """

    name: str
    headers: Mapping[str, str]
    records: NDArray[np.float64]
    lines: NDArray[np.int64]
    dropped: Mapping[str, int]

    def field(self, name: str) -> NDArray[np.float64]:
        """One of :data:`FIELDS` of every job; shape (jobs,)."""
        return self.records[:, FIELDS.index(name)]

    def header(self, name: str) -> int | None:
        """A header that counts something, or ``None`` where it is missing or not positive.

        Raises:
            UsageError: It is no number.
        """
        text = self.headers.get(name)
        if text is None:
            return None
        number = re.match(r"-?\d+", text)
        if number is None:
            raise UsageError(f"{self.name}: the header {name} is {text!r}; it must be a number.")
        return int(number[0]) if int(number[0]) > 0 else None


def read_swf(path: str | Path) -> SwfTrace:
    """Read a trace.

    Args:
        path: The file, plain or compressed with gzip.

    Raises:
        UsageError: It cannot be read, has no job, or a line is malformed; names line and field.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
    except (OSError, EOFError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"The trace {path} cannot be read: {why}") from error
    content = content.removeprefix(codecs.BOM_UTF8)
    # Names in comments are in any encoding; numbers are ASCII in all of them.
    return parse_swf(content.decode("latin-1"), name=str(path))


def parse_swf(text: str, *, name: str) -> SwfTrace:
    """Read a trace from its text.

    Args:
        text: The lines.
        name: What error messages call it.

    Raises:
        UsageError: It has no job, or a line is malformed; names line and field.
    """
    headers: dict[str, str] = {}
    rows: list[str] = []
    numbers: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        row = line.strip()
        if not row:
            continue
        if row[0] != ";":
            rows.append(row)
            numbers.append(number)
        elif found := _HEADER.match(row):
            headers.setdefault(found[1], found[2])
    if not rows:
        raise UsageError(f"{name}: the trace has no job.")
    lines = np.array(numbers, dtype=np.int64)
    records = _records(rows, lines, name)
    keep = _without_parts(records, lines, name)
    parts = int(len(keep) - keep.sum())
    return SwfTrace(
        name=name,
        headers=headers,
        records=records[keep],
        lines=lines[keep],
        dropped={"one part of a job that has a line for the whole": parts} if parts else {},
    )


def _records(rows: Sequence[str], lines: NDArray[np.int64], name: str) -> NDArray[np.float64]:
    try:
        records = np.loadtxt(rows, dtype=np.float64, comments=None, ndmin=2)
    except ValueError:
        records = np.empty((0, 0))
    if records.shape != (len(rows), len(FIELDS)) or not np.isfinite(records).all():
        records = _slowly(rows, lines, name)
    for field in _WHOLE:
        column = records[:, FIELDS.index(field)]
        fractions = np.flatnonzero(column != np.floor(column))
        if len(fractions):
            first = fractions[0]
            raise _malformed(name, int(lines[first]), field, f"{column[first]:g}", "a whole number")
    return records


def _slowly(rows: Sequence[str], lines: NDArray[np.int64], name: str) -> NDArray[np.float64]:
    """The same, line by line, to name the first that is wrong."""
    records = np.empty((len(rows), len(FIELDS)))
    for index, row in enumerate(rows):
        words = row.split()
        if len(words) != len(FIELDS):
            raise UsageError(
                f"{name}:{lines[index]}: a job has {len(FIELDS)} fields, this line {len(words)}."
            )
        for column, word in enumerate(words):
            try:
                value = float(word)
            except ValueError:
                value = math.nan
            if not math.isfinite(value):
                raise _malformed(name, int(lines[index]), FIELDS[column], word, "a finite number")
            records[index, column] = value
    return records


def _malformed(name: str, line: int, field: str, found: str, wanted: str) -> UsageError:
    place = FIELDS.index(field) + 1
    return UsageError(f"{name}:{line}: field {place} ({field}) must be {wanted}, not {found!r}.")


def _without_parts(
    records: NDArray[np.float64], lines: NDArray[np.int64], name: str
) -> NDArray[np.bool_]:
    """Which lines are jobs: the format lets a job's parts follow as lines with its number."""
    ids, status = records[:, 0], records[:, FIELDS.index("status")]
    keep = np.ones(len(ids), dtype=np.bool_)
    order = np.argsort(ids, kind="stable")
    repeated = np.zeros(len(ids), dtype=np.bool_)
    same = ids[order][1:] == ids[order][:-1]
    repeated[order[1:][same]] = repeated[order[:-1][same]] = True
    keep[repeated & np.isin(status, _PARTIAL)] = False
    rest = order[keep[order]]
    twice = np.flatnonzero(ids[rest][1:] == ids[rest][:-1])
    if len(twice):
        first, second = rest[twice[0]], rest[twice[0] + 1]
        raise UsageError(
            f"{name}:{lines[second]}: field 1 (job number) is {ids[second]:g}, and so it is on "
            f"line {lines[first]}. Number the jobs."
        )
    return keep
