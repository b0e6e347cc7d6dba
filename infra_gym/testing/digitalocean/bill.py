"""What an account owes, by DigitalOcean's rules of billing by the second (since 2026-01-01).

A resource costs from when it is in service until its deletion is asked for: for at least 60 seconds
and at least $0.01, and for at most 672 hours a month.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

_LEAST_S = 60.0
_CENT = Decimal("0.01")
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
        end = now_s if self.until_s is None else self.until_s
        if end <= self.since_s:
            return Decimal(0)
        hours = min(max(end - self.since_s, _LEAST_S) / 3600, HOURS_A_MONTH)
        return max(_CENT, Decimal(str(self.usd_per_hour)) * Decimal(str(hours)))


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
        """It costs no more."""
        line = self.lines.get(urn)
        if line is not None and line.until_s is None:
            line.until_s = until_s

    def usd(self, now_s: float) -> Decimal:
        """The sum in whole cents."""
        total = sum((line.usd(now_s) for line in self.lines.values()), Decimal(0))
        return total.quantize(_CENT, ROUND_HALF_UP)
