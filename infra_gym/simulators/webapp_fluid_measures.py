"""What is told of the fluid form's environments: one metric of many environments after the other.

The rules are those of :func:`~infra_gym.simulators.webapp_measures.measure`. There, one environment
has all its metrics at a time, and each asks anew what it is; here, that is asked once for a block,
and one number of all its environments lies after the other, so that the processor takes several at
a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infra_gym.simulators.compilation import compiled, uncounted
from infra_gym.simulators.webapp_fluid_queue import Array
from infra_gym.simulators.webapp_table import (
    CODES,
    FULL,
    IS_RATE,
    KIND,
    OK,
    QUANTILE,
    QUANTILE_OF,
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
        totals: Ended requests by code, shape (codes, block).
        within: Answers within the bounds, and all answers; shape (known bounds + 1, block).
        gauges: Shape (4, block).
        seconds: Length of the time, shape (block,).
        values: Where they go, shape (metrics, environments); NaN where there is nothing to measure.
        places: Which environments; a block may have room for more.
    """
    size, last = places.size, bounds_s.size - 1
    counts, ranks, shares = np.empty(size), np.empty(size), np.empty(totals.shape[0])
    below, held = np.empty((last, size)), np.empty(last, dtype=np.int64)
    rows, told = 0, np.zeros(shares.size)
    for metric in range(metrics.shape[0]):
        kind = int(metrics[metric, KIND])
        if kind > QUANTILE:
            for slot in range(size):
                counts[slot] = gauges[kind - QUANTILE - 1, slot]
        else:
            up_to = int(metrics[metric, UP_TO])
            _share(metrics[metric], buckets, up_to, shares)
            _count(shares, up_to - low, totals, within, counts)
        if kind == QUANTILE:
            if rows == 0 or (shares != told).any():  # else they are as for the last quantile
                rows = _accumulate(shares, buckets, low, totals, within, below, held)
                told[:] = shares
            ranks[:] = metrics[metric, QUANTILE_OF] * counts
            starved = metrics[metric, STARVED]
            _quantiles(ranks, starved, bounds_s, totals, below[:rows], held, counts)
        if metrics[metric, IS_RATE] != 0:
            for slot in range(size):
                counts[slot] = counts[slot] / seconds[slot] if seconds[slot] > 0 else np.nan
        for slot in range(size):
            values[metric, places[slot]] = counts[slot]


@uncounted
def _share(metric: Array, buckets: Indices, up_to: int, shares: Array) -> None:
    """Whether the requests of each code count: 1 or 0."""
    for code in range(shares.size):
        counted = code == OK or buckets[code] <= up_to
        shares[code] = metric[CODES + code] if counted else 0.0


@uncounted
def _count(shares: Array, bound: int, totals: Array, within: Array, counts: Array) -> None:
    """Requests that count, with the answers up to a bound."""
    for slot in range(counts.size):
        counts[slot] = 0.0
    for code in range(FULL, shares.size):
        if shares[code] != 0:
            for slot in range(counts.size):
                counts[slot] += shares[code] * totals[code, slot]
    if bound >= 0:
        row, share = min(bound, within.shape[0] - 1), shares[OK]
        for slot in range(counts.size):
            counts[slot] += share * within[row, slot]


@uncounted
def _quantiles(
    ranks: Array,
    starved: float,
    bounds_s: Array,
    totals: Array,
    below: Array,
    held: Indices,
    values: Array,
) -> None:
    """Where in the buckets the request with each rank lies, as ``histogram_quantile`` has it.

    Args:
        ranks: Of a request in each environment; 0: none counts.
        starved: The value where requests ended, but none that counts.
        bounds_s: Upper bounds of the histogram's buckets.
        totals: Ended requests by code.
        below: Requests that count up to each bucket that is held.
        held: Which buckets these are.
        values: Where they go.
    """
    last = bounds_s.size - 1
    for slot in range(ranks.size):
        values[slot] = 0.0
    for row in range(below.shape[0]):
        for slot in range(ranks.size):
            values[slot] += 1.0 if below[row, slot] < ranks[slot] else 0.0
    for slot in range(ranks.size):
        row, rank = int(values[slot]), ranks[slot]
        if not rank > 0:
            ended = 0.0
            for code in range(totals.shape[0]):
                ended += totals[code, slot]
            values[slot] = starved if ended > 0 else np.nan
        elif row == below.shape[0]:
            values[slot] = bounds_s[last - 1]
        else:
            bucket = held[row]
            low_s = bounds_s[bucket - 1] if bucket > 0 else 0.0
            fewer = below[row - 1, slot] if row > 0 else 0.0
            part = (rank - fewer) / (below[row, slot] - fewer)
            values[slot] = low_s + (bounds_s[bucket] - low_s) * part


@compiled
def _accumulate(
    shares: Array,
    buckets: Indices,
    low: int,
    totals: Array,
    within: Array,
    below: Array,
    held: Indices,
) -> int:
    """Fill rows of ``below`` with the requests that count up to a bucket, and ``held`` with the
    buckets: those that are not empty in every environment. Returns how many."""
    size, rows = below.shape[1], 0
    failed = np.zeros(size)
    for bucket in range(held.size):
        bound, fails = bucket - low, False
        for code in range(FULL, shares.size):
            if shares[code] != 0 and buckets[code] == bucket:
                fails = True
                for slot in range(size):
                    failed[slot] += shares[code] * totals[code, slot]
        if fails or 0 <= bound < within.shape[0]:
            share = shares[OK] if bound >= 0 else 0.0
            bound = min(max(bound, 0), within.shape[0] - 1)
            for slot in range(size):
                below[rows, slot] = share * within[bound, slot] + failed[slot]
            held[rows] = bucket
            rows += 1
    return rows
