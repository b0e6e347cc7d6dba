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
    columns: Indices,
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
        values: Where they go: a row for each metric, NaN where there is nothing to measure; there
            may be more rows.
        columns: To which columns, ascending, one for each environment; a block may have room for
            more.
    """
    size, last = columns.size, bounds_s.size - 1
    counts, ranks, shares = np.empty(size), np.empty(size), np.empty(totals.shape[0])
    below, edges_s, sides = np.zeros((last + 1, size)), np.empty((last + 1, 2)), np.empty((4, size))
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
                rows = _accumulate(shares, buckets, low, bounds_s, totals, within, below, edges_s)
                told[:] = shares
            ranks[:] = metrics[metric, QUANTILE_OF] * counts
            _quantiles(ranks, below, rows, edges_s, sides, counts)
            _tell_empty(ranks, metrics[metric, STARVED], totals, counts)
        if metrics[metric, IS_RATE] != 0:
            for slot in range(size):
                counts[slot] = counts[slot] / seconds[slot] if seconds[slot] > 0 else np.nan
        _put(counts, columns, values[metric])


@uncounted
def _put(counts: Array, columns: Indices, row: Array) -> None:
    """Have ``counts`` in some columns of a row, all at a time where these lie side by side."""
    size = columns.size
    if size > 0 and columns[size - 1] - columns[0] == size - 1:
        first = columns[0]
        for slot in range(size):
            row[first + slot] = counts[slot]
    else:
        for slot in range(size):
            row[columns[slot]] = counts[slot]


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
    ranks: Array, below: Array, rows: int, edges_s: Array, sides: Array, values: Array
) -> None:
    """Where in the buckets the request with each rank lies, as ``histogram_quantile`` has it.

    Args:
        ranks: Of a request in each environment.
        below: For this, ``rows`` and ``edges_s``, see :func:`_accumulate`.
        rows: See there.
        edges_s: See there.
        sides: Room for numbers, shape (4, environments).
        values: Where they go.
    """
    for slot in range(ranks.size):
        values[slot] = 0.0
    for row in range(1, rows):
        for slot in range(ranks.size):
            values[slot] += 1.0 if below[row, slot] < ranks[slot] else 0.0
    for slot in range(ranks.size):
        row = int(values[slot])
        sides[0, slot], sides[1, slot] = edges_s[row, 0], edges_s[row, 1]
        sides[2, slot] = below[row, slot]
        sides[3, slot] = below[row + 1, slot] if row + 1 < rows else np.inf
    for slot in range(ranks.size):
        part = (ranks[slot] - sides[2, slot]) / (sides[3, slot] - sides[2, slot])
        values[slot] = sides[0, slot] + (sides[1, slot] - sides[0, slot]) * part


@uncounted
def _tell_empty(ranks: Array, starved: float, totals: Array, values: Array) -> None:
    """Have ``starved`` where no request counts, though some ended, and NaN where none ended."""
    empty = 0
    for slot in range(ranks.size):
        empty += not ranks[slot] > 0
    if empty > 0:
        for slot in range(ranks.size):
            if not ranks[slot] > 0:
                ended = 0.0
                for code in range(totals.shape[0]):
                    ended += totals[code, slot]
                values[slot] = starved if ended > 0 else np.nan


@compiled
def _accumulate(
    shares: Array,
    buckets: Indices,
    low: int,
    bounds_s: Array,
    totals: Array,
    within: Array,
    below: Array,
    edges_s: Array,
) -> int:
    """Count the requests up to each bucket that is not empty in every environment.

    Args:
        shares: Whether the requests of each code count.
        buckets: For this and the next four, see :func:`measure_block`.
        low: See there.
        bounds_s: See there.
        totals: See there.
        within: See there.
        below: From its second row on, filled with the requests up to each of these buckets; the
            first row is 0.
        edges_s: Filled with the bounds of each of them, and at last with those of what lies beyond,
            which is told as the last finite bound.

    Returns:
        Rows of ``below`` that are filled, with the first.
    """
    size, rows, last = below.shape[1], 1, bounds_s.size - 1
    failed = np.zeros(size)
    for bucket in range(last):
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
            edges_s[rows - 1, 0] = bounds_s[bucket - 1] if bucket > 0 else 0.0
            edges_s[rows - 1, 1] = bounds_s[bucket]
            rows += 1
    edges_s[rows - 1, 0] = edges_s[rows - 1, 1] = bounds_s[last - 1]
    return rows
