"""What is told of the fluid form's environments: one metric of many environments after the other.

The rules are those of :func:`~infra_gym.simulators.webapp_measures.measure`. There, one environment
has all its metrics at a time, and each asks anew what it is; here, that is asked once for a block.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infra_gym.simulators.compilation import compiled
from infra_gym.simulators.webapp_fluid_queue import Array
from infra_gym.simulators.webapp_measures import (
    CODES,
    FULL,
    IS_RATE,
    KIND,
    OK,
    QUANTILE,
    QUANTILE_OF,
    REQUESTS,
    STARVED,
    UP_TO,
)

Indices = NDArray[np.int64]


@compiled
def measure_block(
    metrics: Array,
    bounds_s: Array,
    buckets: Indices,
    low: int,
    totals: Array,
    within: Array,
    gauges: Array,
    seconds: Array,
    values: Array,
    places: Indices,
) -> None:
    """The values of all metrics of some environments.

    Args:
        metrics: What is asked for; for this and the next two, see
            :func:`~infra_gym.simulators.webapp_measures.measure`.
        bounds_s: Upper bounds of the histogram's buckets.
        buckets: In which bucket the requests of each code lie.
        low: The first bound that ``within`` knows. Within those before, there are no answers, and
            within those after the last that it knows, all.
        totals: Ended requests by code, shape (block, codes).
        within: Answers within the bounds, shape (block, known bounds).
        gauges: Shape (block, 4).
        seconds: Length of the time, shape (block,).
        values: Where they go, shape (metrics, environments); NaN where there is nothing to measure.
        places: Which environments; a block may have room for more.
    """
    counts = np.empty(places.size)
    shares = np.empty(totals.shape[1])
    for metric in range(metrics.shape[0]):
        kind = int(metrics[metric, KIND])
        if kind > QUANTILE:
            for slot in range(places.size):
                counts[slot] = gauges[slot, kind - QUANTILE - 1]
        else:
            up_to = int(metrics[metric, UP_TO])
            for code in range(totals.shape[1]):
                counted = code == OK or buckets[code] <= up_to
                shares[code] = metrics[metric, CODES + code] if counted else 0.0
            _count(shares, up_to - low, totals, within, counts)
        if kind == QUANTILE:
            goal, starved = metrics[metric, QUANTILE_OF], metrics[metric, STARVED]
            visited = _steps(shares, buckets, low, within.shape[1], bounds_s.size - 1)
            for slot in range(places.size):
                if counts[slot] > 0:
                    rank = goal * counts[slot]
                    counts[slot] = _quantile(
                        rank, shares, bounds_s, buckets, low, totals, within, slot, visited
                    )
                else:
                    counts[slot] = starved if totals[slot].sum() > 0 else np.nan
        if metrics[metric, IS_RATE] != 0:
            for slot in range(places.size):
                counts[slot] = counts[slot] / seconds[slot] if seconds[slot] > 0 else np.nan
        for slot in range(places.size):
            values[metric, places[slot]] = counts[slot]


@compiled
def _count(shares: Array, bound: int, totals: Array, within: Array, counts: Array) -> None:
    """Requests that count, with the answers up to a bound (which may lie before or after those
    that ``within`` knows)."""
    for slot in range(counts.size):
        counts[slot] = 0.0
        for code in range(FULL, totals.shape[1]):
            counts[slot] += shares[code] * totals[slot, code]
    if bound >= within.shape[1]:
        for slot in range(counts.size):
            counts[slot] += shares[OK] * totals[slot, OK]
    elif bound >= 0:
        for slot in range(counts.size):
            counts[slot] += shares[OK] * within[slot, bound]


@compiled
def _steps(shares: Array, buckets: Indices, low: int, known: int, last: int) -> Indices:
    """The buckets that may hold requests which count; the others are empty in every environment."""
    held = np.zeros(last, dtype=np.bool_)
    if shares[OK] != 0:
        held[low : low + known + 1] = True
    for code in range(FULL, shares.size):
        if shares[code] != 0 and buckets[code] < last:
            held[buckets[code]] = True
    return np.flatnonzero(held)


@compiled
def _quantile(
    rank: float,
    shares: Array,
    bounds_s: Array,
    buckets: Indices,
    low: int,
    totals: Array,
    within: Array,
    slot: int,
    visited: Indices,
) -> float:
    """Where in the buckets the request with that rank lies, as ``histogram_quantile`` has it."""
    others = below = 0.0
    for bucket in visited:
        for code in range(FULL, shares.size):
            if buckets[code] == bucket:
                others += shares[code] * totals[slot, code]
        known = bucket - low
        if known >= within.shape[1]:
            count = shares[OK] * totals[slot, OK] + others
        elif known >= 0:
            count = shares[OK] * within[slot, known] + others
        else:
            count = others
        if count >= rank:
            low_s = bounds_s[bucket - 1] if bucket > 0 else 0.0
            return float(low_s + (bounds_s[bucket] - low_s) * (rank - below) / (count - below))
        below = count
    return float(bounds_s[bounds_s.size - 2])
