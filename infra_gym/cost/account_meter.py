"""What an account is billed for a run, from looks at what stands in it.

DigitalOcean bills by the second: from when a thing is in service until it is gone, for at least 60
seconds and at least $0.01, and for at most 672 hours of a calendar month. Beginnings are told by
the account; an end is the first look at which a thing is gone, so that what is stated is never
less than what is billed, and more by the time between two looks at most, and by a cent for a thing
that went before it was seen in service.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from infra_gym.cost.price_table import HOURS_A_MONTH

LEAST_USD = 0.01
"""What a thing costs that lives for a moment."""
_LEAST_S = 60.0
_HOUR_S = 3600.0


@dataclass(frozen=True)
class Standing:
    """One thing that stands in the account, as one look sees it.

    Attributes:
        key: Tells it from all others, also from those that were there before.
        what: For people, such as ``node s-2vcpu-4gb app-1``.
        usd_per_hour: What it costs.
        since_s: When its billing began, in epoch seconds, as far as the account tells; ``None``: it
            is not in service yet.
    """

    key: str
    what: str
    usd_per_hour: float
    since_s: float | None


@dataclass(frozen=True)
class Line:
    """One thing's line; ``until_s`` is ``None`` while it stands."""

    key: str
    what: str
    usd_per_hour: float
    since_s: float
    until_s: float | None = None

    def usd(self, moment_s: float) -> float:
        """What it costs until ``moment_s``, epoch seconds."""
        end = moment_s if self.until_s is None else min(self.until_s, moment_s)
        if end <= self.since_s:
            return 0.0
        hours = max(_billed_s(self.since_s, end), _LEAST_S) / _HOUR_S
        return max(LEAST_USD, hours * self.usd_per_hour)


@dataclass(frozen=True)
class Bill:
    """What a run costs.

    Attributes:
        usd: So far.
        usd_per_hour: Of what stands now.
        waiting: Things that will cost as soon as they are in service.
    """

    usd: float
    usd_per_hour: float
    waiting: int = 0

    def reserve_usd(self, seconds: float) -> float:
        """What is still to come at least, if everything stands for so many seconds more."""
        return self.usd_per_hour * seconds / _HOUR_S + LEAST_USD * self.waiting


class AccountMeter:
    """Adds up what stands in an account.

    Args:
        lines: Those of an earlier meter of the same run, as :meth:`state` gave them.
    """

    def __init__(self, lines: Sequence[Mapping[str, Any]] = ()) -> None:
        self._lines = [Line(**line) for line in lines]
        self._waiting: dict[str, Standing] = {}
        self._looked_s = -np.inf

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines, those of things that are gone included."""
        return tuple(self._lines)

    def look(self, moment_s: float, standing: Sequence[Standing]) -> bool:
        """Take in what stands at a moment; whether any line is other than before.

        Args:
            moment_s: Epoch seconds, not before those of the last look.
            standing: All of the run.
        """
        seen = {one.key: one for one in standing}
        before = tuple(self._lines)
        self._lines = [self._ended(line, seen.get(line.key), moment_s) for line in self._lines]
        going_on = {line.key for line in self._lines if line.until_s is None}
        for one in standing:
            if one.key not in going_on and one.since_s is not None:
                self._lines.append(self._begun(one, one.since_s, moment_s))
        for one in self._waiting.values():
            if one.key not in seen:  # it may have served between the two looks
                line = Line(one.key, one.what, one.usd_per_hour, float(self._looked_s), moment_s)
                self._lines.append(line)
        self._waiting = {one.key: one for one in standing if one.since_s is None}
        self._looked_s = moment_s
        return tuple(self._lines) != before

    def bill(self, moment_s: float) -> Bill:
        """What the run costs until a moment, in epoch seconds."""
        return Bill(
            usd=sum(line.usd(moment_s) for line in self._lines),
            usd_per_hour=sum(line.usd_per_hour for line in self._lines if line.until_s is None),
            waiting=len(self._waiting),
        )

    def state(self) -> list[dict[str, Any]]:
        """The lines as JSON has them."""
        return [asdict(line) for line in self._lines]

    def _ended(self, line: Line, seen: Standing | None, moment_s: float) -> Line:
        """A line after a look: one whose thing is gone, or has another price now, is closed."""
        stays = seen is not None and seen.usd_per_hour == line.usd_per_hour
        return line if stays or line.until_s is not None else replace(line, until_s=moment_s)

    def _begun(self, one: Standing, since_s: float, moment_s: float) -> Line:
        """A new line. What was not in service at the last look began after it."""
        earliest = self._looked_s if one.key in self._waiting else -np.inf
        same = [line.until_s for line in self._lines if line.key == one.key]
        earliest = max([earliest, *(until for until in same if until is not None)])
        since_s = float(min(max(since_s, earliest), moment_s))
        return Line(one.key, one.what, one.usd_per_hour, since_s)


def _billed_s(since_s: float, until_s: float) -> float:
    """The seconds between two moments, at most 672 hours of each calendar month (UTC)."""
    first, last = (
        np.datetime64(int(moment), "s").astype("datetime64[M]") for moment in (since_s, until_s)
    )
    months = np.arange(first + 1, last + 1)
    turns = [since_s, *months.astype("datetime64[s]").astype(np.int64).tolist(), until_s]
    most = HOURS_A_MONTH * _HOUR_S
    return float(sum(min(end - begin, most) for begin, end in itertools.pairwise(turns)))
