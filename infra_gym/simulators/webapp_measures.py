"""What a definition measures of the web app, compiled: from counts to its metrics' values.

Only answers (code 200) have latencies of their own. A 503 comes at once, a timeout when the client
gives up, and what is dropped or refused has no latency: all requests of such a code lie in one
bucket of the histogram.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infra_gym.simulators.compilation import compiled
from infra_gym.simulators.webapp_table import (
    BUSY,
    CODES,
    DROPPED,
    FULL,
    IS_RATE,
    KIND,
    OK,
    QUANTILE,
    QUANTILE_OF,
    REFUSED,
    STARVED,
    TIMEOUT,
    UP_TO,
)

Array = NDArray[np.float64]


@compiled
def _quantile_of_answers(rank: float, bounds_s: Array, within: Array) -> float:
    """Where in the buckets the answer with that rank lies, as ``histogram_quantile`` has it."""
    last, bucket = bounds_s.size - 1, 0
    for place in range(last):
        bucket += within[place] < rank
    if bucket == last:
        return float(bounds_s[last - 1])
    low_s, below = (bounds_s[bucket - 1], within[bucket - 1]) if bucket else (0.0, 0.0)
    return float(low_s + (bounds_s[bucket] - low_s) * (rank - below) / (within[bucket] - below))


@compiled
def _quantile(
    rank: float,
    metrics: Array,
    metric: int,
    bounds_s: Array,
    buckets: NDArray[np.int64],
    totals: Array,
    within: Array,
) -> float:
    """The same where requests of other codes count too."""
    last = bounds_s.size - 1
    low_s = below = 0.0
    for bucket in range(last):
        count = metrics[metric, CODES + OK] * within[bucket]
        for code in range(FULL, totals.size):
            if buckets[code] <= bucket:
                count += metrics[metric, CODES + code] * totals[code]
        if count >= rank:
            return float(low_s + (bounds_s[bucket] - low_s) * (rank - below) / (count - below))
        low_s, below = bounds_s[bucket], count
    return float(bounds_s[last - 1])


@compiled
def measure(
    metrics: Array,
    bounds_s: Array,
    buckets: NDArray[np.int64],
    totals: Array,
    within: Array,
    gauges: tuple[float, float, float, float],
    seconds: float,
    values: Array,
    place: int,
) -> None:
    """The values of all metrics.

    Args:
        metrics: What is asked for, shape (metrics, COLUMNS).
        bounds_s: Upper bounds of the histogram's buckets, ascending; the last is infinite.
        buckets: In which bucket the requests of each code lie; nothing for :data:`OK`.
        totals: Ended requests of each code.
        within: Answers in the buckets up to each bound.
        gauges: Replica-seconds of work; requests that are sent and not ended; replicas that are
            seen, and that take requests.
        seconds: Length of the time.
        values: Where they go, shape (metrics, environments); NaN where there is nothing to measure.
        place: Of the environment.
    """
    failed = totals[FULL] + totals[TIMEOUT] + totals[DROPPED] + totals[REFUSED]
    for metric in range(metrics.shape[0]):
        kind = int(metrics[metric, KIND])
        if kind > QUANTILE:
            value = gauges[kind - BUSY]
        else:
            up_to = int(metrics[metric, UP_TO])
            others = 0.0
            if failed > 0:
                for code in range(FULL, totals.size):
                    if buckets[code] <= up_to:
                        others += metrics[metric, CODES + code] * totals[code]
            value = metrics[metric, CODES + OK] * within[up_to] + others
            if kind == QUANTILE and value > 0:
                rank = metrics[metric, QUANTILE_OF] * value
                if others > 0:
                    value = _quantile(rank, metrics, metric, bounds_s, buckets, totals, within)
                else:
                    value = _quantile_of_answers(rank, bounds_s, within)
            elif kind == QUANTILE:
                value = metrics[metric, STARVED] if failed + totals[OK] > 0 else np.nan
        if metrics[metric, IS_RATE] != 0:
            value = value / seconds if seconds > 0 else np.nan
        values[metric, place] = value
