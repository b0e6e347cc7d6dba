"""What can be asked of the web app, as numbers that compiled code reads. Free of compiled code."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

OK, FULL, TIMEOUT, DROPPED, REFUSED = range(5)
"""Codes, in the order of :data:`~infra_gym.simulators.webapp_counts.CODES`."""

REQUESTS, QUANTILE, BUSY, BACKLOG, EXISTING, READY = range(6)
"""Kinds of metrics."""

KIND, UP_TO, QUANTILE_OF, IS_RATE, STARVED, CODES = range(6)
"""Columns of the table of metrics: what it is; the bucket up to which requests count (the last:
all); the quantile; whether the value is divided by the seconds; a quantile's value where requests
ended but none that counts, else NaN; from here on, whether each code counts."""
COLUMNS = CODES + 5

BUSY_SECONDS, IS_READY, STARTED_AT = range(3)
"""What is told of a replica: busy slot-seconds over slots; whether it was ready at the end (1 or
0); when it was started. NaN: there was none."""


class Asked(NamedTuple):
    """The metrics that a definition measures; see
    :func:`~infra_gym.simulators.webapp_measures.measure`."""

    metrics: NDArray[np.float64]
    bounds_s: NDArray[np.float64]
    buckets: NDArray[np.int64]


class Told(NamedTuple):
    """What was measured between two times."""

    since_s: float
    until_s: float
    values: list[float]
    """Of each metric; NaN where there was nothing to measure."""
    replicas: list[list[float]]
    """Of each replica number, what :data:`BUSY_SECONDS` and its like name."""
