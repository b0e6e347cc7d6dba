"""What the web app's twin counts. Free of compiled code, so that it costs nothing to import."""

from __future__ import annotations

import math
from dataclasses import dataclass

from infra_gym.errors import UsageError

CODES = ("200", "503", "timeout", "dropped", "refused")
"""What a request can end with, as the siege engine's label ``code``."""

# fmt: off
BUCKETS_S = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25,
    0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, math.inf,
)
# fmt: on
"""Upper bounds (``le``) of the siege engine's latency histogram, in seconds."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened between two times of the twin. Requests are those that *ended* there."""

    since_s: float
    until_s: float
    latencies: dict[str, list[int]]
    """Per code: requests in the buckets up to each bound of :data:`BUCKETS_S`, as ``le`` counts."""
    busy_s: dict[str, float]
    """Per replica: busy slot-seconds divided by slots, as ``heater_busy_seconds_total``. Work in
    progress counts, and so do replicas that are gone by now but worked in this time."""
    ready: dict[str, bool]
    """Per replica that exists at the end (answers scrapes): whether it takes requests."""
    started_s: dict[str, float]
    """Per replica that exists at the end: when it was started."""
    in_flight: int
    """Requests that are sent and not ended at the end."""

    @property
    def requests(self) -> dict[str, int]:
        """Ended requests per code."""
        return {code: counts[-1] for code, counts in self.latencies.items()}

    def within(self, latency_s: float, code: str = "200") -> int:
        """Requests of ``code`` in buckets up to ``le=latency_s``, a bound of :data:`BUCKETS_S`."""
        if latency_s not in BUCKETS_S:
            raise UsageError(
                f"{latency_s} s is no bucket's bound.", next_command=f"choose one of {BUCKETS_S}"
            )
        return self.latencies[code][BUCKETS_S.index(latency_s)]
