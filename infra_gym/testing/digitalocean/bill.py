"""What an account owes, by DigitalOcean's rules of billing by the second (since 2026-01-01).

A node costs from when it is in service, anything else from its creation, until it is gone: for at
least 60 seconds and at least $0.01, and for at most 672 hours of each calendar month. Nothing of
this is shared with :mod:`infra_gym.cost`, which has to come to the same sum from outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

_LEAST_S = Decimal(60)
_CENT = Decimal("0.01")
_HOUR_S = Decimal(3600)
HOURS_A_MONTH = 672
"""After so many hours a month costs no more."""


@dataclass
class Line:
    """One resource's line."""

    name: str
    usd_per_hour: float
    since_s: float
    until_s: float | None = None

    def usd(self, now_s: float) -> Decimal:
        """What it costs until ``now_s``; nothing before it is in service."""
        end = now_s if self.until_s is None else min(self.until_s, now_s)
        if end <= self.since_s:
            return Decimal(0)
        most = HOURS_A_MONTH * _HOUR_S
        seconds = sum((min(part, most) for part in _by_month(self.since_s, end)), Decimal(0))
        rate = Decimal(str(self.usd_per_hour)) / _HOUR_S
        return max(_CENT, rate * max(seconds, _LEAST_S))


@dataclass
class Bill:
    """All lines, those of resources that are gone included."""

    lines: dict[str, Line] = field(default_factory=dict)

    def open(self, urn: str, name: str, usd_per_hour: float, since_s: float) -> None:
        """A resource costs from ``since_s`` on."""
        self.lines[urn] = Line(name, usd_per_hour, since_s)

    def change(self, urn: str, name: str, usd_per_hour: float, at_s: float) -> None:
        """It costs something else from ``at_s`` on; 0: nothing."""
        line = self.lines.pop(urn, None)
        if line is not None and at_s > line.since_s:
            line.until_s = at_s if line.until_s is None else line.until_s
            self.lines[f"{urn} until {at_s}"] = line
        if usd_per_hour:
            self.open(urn, name, usd_per_hour, at_s)

    def close(self, urn: str, until_s: float) -> None:
        """It costs until then, and no more."""
        line = self.lines.get(urn)
        if line is not None and line.until_s is None:
            line.until_s = until_s

    def usd(self, now_s: float) -> Decimal:
        """The sum in whole cents."""
        total = sum((line.usd(now_s) for line in self.lines.values()), Decimal(0))
        return total.quantize(_CENT, ROUND_HALF_UP)


def _by_month(since_s: float, until_s: float) -> Iterator[Decimal]:
    """The seconds of each calendar month (UTC) that a time touches."""
    while since_s < until_s:
        begins = datetime.fromtimestamp(since_s, UTC)
        year, month = divmod(begins.year * 12 + begins.month, 12)
        next_month = datetime(year, month + 1, 1, tzinfo=UTC).timestamp()
        end = min(until_s, next_month)
        yield Decimal(str(end)) - Decimal(str(since_s))
        since_s = end
