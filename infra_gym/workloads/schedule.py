"""The arrival schedule: when each request leaves, made once from a profile and a seed.

Twin and siege engine read the very same schedule, so it is written to a file that is small (a
Kubernetes ConfigMap holds 1 MiB), has the same bytes for the same workload, length and seed (and
the same build of zlib), and is read in a few lines by a program on the standard library.

The file is a gzip stream (no name, time 0) of, all little-endian::

    4 bytes   "IGS1"
    uint32    number of arrivals
    float64   length in seconds; a player begins again after it
    uint16    one step after another, in units of 50 microseconds since the arrival before (the
              first: since 0); 65535 is no arrival, it adds 65535 units to the next step

Times are rounded to those units when a schedule is made, so that writing loses nothing.

Arrivals are a Poisson process whose rate follows the profile: the rate is taken in the middle of
slices of 50 ms (of a millionth of the whole, if that is longer) and summed to the number of
arrivals expected by each slice's end; how many come in all is one Poisson draw, and when they come
is that many uniform draws on the axis of expected arrivals, mapped back to time (inversion; Cinlar,
*Introduction to Stochastic Processes*, 1975).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from infra_gym.errors import UsageError
from infra_gym.workloads.profiles import Array, Profile

MAGIC = b"IGS1"
UNITS_PER_SECOND = 20_000
MAX_ARRIVALS = 5_000_000
MAX_SECONDS = 10_000_000
"""More than this, on the wall or modelled, is a slip of the pen: refused, not tried."""

_SKIP = 0xFFFF
_HEAD = struct.Struct("<4sId")
_SLICE_S = 0.05
_MAX_SLICES = 1_000_000


@dataclass(frozen=True, eq=False)
class Schedule:
    """Arrivals before ``seconds``, ascending."""

    units: npt.NDArray[np.int64]
    """Arrivals in units of 50 microseconds from the start."""
    seconds: float
    """Length; a player begins again after it."""

    @cached_property
    def times(self) -> Array:
        """Arrivals in seconds from the start, ascending."""
        return self.units / UNITS_PER_SECOND

    @cached_property
    def content(self) -> bytes:
        """The bytes of its file, before they are compressed."""
        words = np.diff(self.units, prepend=0)
        if len(words) and words.max() >= _SKIP:
            steps, skips = words % _SKIP, words // _SKIP
            words = np.full(len(steps) + int(skips.sum()), _SKIP)
            words[np.arange(len(steps)) + np.cumsum(skips)] = steps
        head = _HEAD.pack(MAGIC, len(self.units), self.seconds)
        return head + words.astype("<u2").tobytes()

    @cached_property
    def data(self) -> bytes:
        """The bytes of its file."""
        packed = io.BytesIO()
        with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as file:
            file.write(self.content)
        return packed.getvalue()

    @cached_property
    def sha256(self) -> str:
        """Of :attr:`content`, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    def write(self, path: Path) -> None:
        """Writes the file; the folder must be there."""
        path.write_bytes(self.data)

    @classmethod
    def read(cls, path: Path) -> Schedule:
        """The schedule that :meth:`write` wrote to ``path``.

        Raises:
            UsageError: There is no such file, or it is no schedule.
        """
        try:
            raw = gzip.decompress(path.read_bytes())
            magic, count, seconds = _HEAD.unpack_from(raw)
            words = np.frombuffer(raw, dtype="<u2", offset=_HEAD.size).astype(np.int64)
        except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
            raise UsageError(f"The arrival schedule {path} cannot be read: {error}") from error
        units = np.cumsum(words)[words != _SKIP]
        if magic != MAGIC or len(units) != count:
            raise UsageError(f"{path} is no arrival schedule, or is cut off.")
        return cls(units, seconds)


def arrival_schedule(
    workload: Profile, *, seconds: float, time_scale: float, seed: int
) -> Schedule:
    """The arrivals of ``workload`` for ``seconds`` on the wall.

    Args:
        workload: A profile; its durations are modelled seconds.
        seconds: Length on the wall's clock, above 0, at most :data:`MAX_SECONDS`.
        time_scale: Modelled seconds in one second on the wall, above 0.
        seed: At least 0; the same seed gives the same bytes.

    Raises:
        UsageError: The length, scale or seed cannot be, or so many requests were never meant.
    """
    if not (0 < seconds <= MAX_SECONDS and 0 < seconds * time_scale <= MAX_SECONDS):
        raise UsageError(
            f"A schedule is above 0 and at most {MAX_SECONDS:,} seconds long, on the wall and "
            f"modelled, not {seconds:g} and {seconds * time_scale:g}."
        )
    if seed < 0:
        raise UsageError(f"A seed is at least 0, not {seed}.")
    rng = np.random.default_rng(seed)
    slices = min(math.ceil(seconds / _SLICE_S), _MAX_SLICES)
    edges = np.linspace(0, seconds, slices + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    # Rounded, so that a sine's last bit, which differs between machines, changes nothing.
    rates = np.round(workload.rate(middles * time_scale, rng), 6)
    expected = np.concatenate(([0.0], np.cumsum(rates * np.diff(edges))))
    if expected[-1] > MAX_ARRIVALS:
        raise UsageError(
            f"A schedule of {expected[-1]:,.0f} arrivals is too long; at most {MAX_ARRIVALS:,} are "
            "allowed. Lower mean_rps, or the number or length of steps."
        )
    count = rng.poisson(expected[-1])
    times = np.interp(np.sort(rng.uniform(0, expected[-1], count)), expected, edges)
    last = math.ceil(seconds * UNITS_PER_SECOND) - 1
    units = np.minimum((times * UNITS_PER_SECOND).astype(np.int64), last)
    return Schedule(units, float(seconds))
