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
            _quantiles(goal, starved, shares, bounds_s, buckets, low, totals, within, counts)
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
def _quantiles(
    goal: float,
    starved: float,
    shares: Array,
    bounds_s: Array,
    buckets: Indices,
    low: int,
    totals: Array,
    within: Array,
    counts: Array,
) -> None:
    """From how many requests count to where in the buckets a share ``goal`` of them is reached, as
    ``histogram_quantile`` has it.

    One bucket of all environments after the other, without a branch, for the processor to take
    several environments at a time.
    """
    size, known = counts.size, within.shape[1]
    others, before, answers = np.zeros(size), np.zeros(size), np.zeros(size)
    fewer, more, low_s, high_s = np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size)
    for bucket in range(bounds_s.size - 1):
        fails = False
        for code in range(FULL, shares.size):
            if shares[code] != 0 and buckets[code] == bucket:
                fails = True
                for slot in range(size):
                    others[slot] += shares[code] * totals[slot, code]
        if not fails and not low <= bucket <= low + known:
            continue  # it is empty in every environment
        if low <= bucket < low + known:
            for slot in range(size):
                answers[slot] = shares[OK] * within[slot, bucket - low]
        elif bucket >= low:
            for slot in range(size):
                answers[slot] = shares[OK] * totals[slot, OK]
        below_s, until_s = bounds_s[bucket - 1] if bucket > 0 else 0.0, bounds_s[bucket]
        for slot in range(size):
            later, count = before[slot] < goal * counts[slot], answers[slot] + others[slot]
            fewer[slot] = before[slot] if later else fewer[slot]
            more[slot] = count if later else more[slot]
            low_s[slot] = below_s if later else low_s[slot]
            high_s[slot] = until_s if later else high_s[slot]
            before[slot] = count
    for slot in range(size):
        rank = goal * counts[slot]
        if not rank > 0:
            counts[slot] = starved if totals[slot].sum() > 0 else np.nan
        elif more[slot] < rank:
            counts[slot] = bounds_s[bounds_s.size - 2]
        else:
            part = (rank - fewer[slot]) / (more[slot] - fewer[slot])
            counts[slot] = low_s[slot] + (high_s[slot] - low_s[slot]) * part
