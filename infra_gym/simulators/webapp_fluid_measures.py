"""What is told of the fluid form's environments: one metric of many environments after the other.

The rules are those of :func:`~infra_gym.simulators.webapp_measures.measure`. There, one environment
has all its metrics at a time, and each asks anew what it is; here, that is asked once for a block,
and one number of all its environments lies after the other, so that the processor takes several at
a time.
"""

from __future__ import annotations

from typing import NamedTuple

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


class Room(NamedTuple):
    """Where the numbers of a block of environments are worked out; made once for many blocks.

    Attributes:
        totals: Ended requests by code, shape (codes, block).
        within: Answers within the known bounds, and all answers; shape (known bounds + 1, block).
        gauges: In the order of the kinds of metrics, shape (4, block).
        seconds: Length of the time, shape (block,).
        counts: Of a metric, shape (block,).
        ranks: Of a request in each environment, for a quantile; 0: none counts; shape (block,).
        sides: What is on both sides of these requests, shape (4, block).
        below: Requests up to each bucket that is not empty in every environment, after a row of
            zeros; shape (buckets + 1, block).
        edges_s: The bounds of each of these buckets, and at last those of what lies beyond, which
            is told as the last finite bound; shape (buckets + 1, 2).
        shares: Whether the requests of each code count, 1 or 0; shape (codes,).
        told: The ``shares`` that ``below`` is for.
    """

    totals: Array
    within: Array
    gauges: Array
    seconds: Array
    counts: Array
    ranks: Array
    sides: Array
    below: Array
    edges_s: Array
    shares: Array
    told: Array


@compiled
def make_room(block: int, codes: int, known_bounds: int, buckets: int) -> Room:
    """Room for so many environments."""
    return Room(
        np.zeros((codes, block)), np.zeros((known_bounds + 1, block)), np.empty((4, block)),
        np.empty(block), np.empty(block), np.empty(block), np.empty((4, block)),
        np.zeros((buckets + 1, block)), np.empty((buckets + 1, 2)), np.empty(codes),
        np.empty(codes),
    )  # fmt: skip


@uncounted
def measure_block(
    metrics: Array,
    bounds_s: Array,
    buckets: Indices,
    low: int,
    room: Room,
    values: Array,
    columns: Indices,
) -> int:
    """The values of all metrics of some environments.

    Args:
        metrics: What is asked for; for this and the next two, see
            :func:`~infra_gym.simulators.webapp_measures.measure`.
        bounds_s: Upper bounds of the histogram's buckets.
        buckets: In which bucket the requests of each code lie.
        low: The first bound that ``room.within`` knows. Within those before, there are no answers,
            and within those after the last that it knows, all.
        room: With what was counted.
        values: Where they go: a row for each metric, NaN where there is nothing to measure; there
            may be more rows.
        columns: To which columns, ascending, one for each environment; a block may have room for
            more.

    Returns:
        How many of the values are NaN.
    """
    size, rows, nothing, counts = columns.size, 0, 0, room.counts
    for metric in range(metrics.shape[0]):
        asked = metrics[metric]
        kind = int(asked[KIND])
        if kind > QUANTILE:
            for slot in range(size):
                counts[slot] = room.gauges[kind - QUANTILE - 1, slot]
        else:
            up_to = int(asked[UP_TO])
            _share(asked, buckets, up_to, room.shares)
            _count(room, up_to - low, size)
        if kind == QUANTILE:
            if rows == 0 or _differ(room.shares, room.told):  # else as for the last quantile
                rows = _accumulate(room, buckets, low, bounds_s, size)
            for slot in range(size):
                room.ranks[slot] = asked[QUANTILE_OF] * counts[slot]
            _quantiles(room, rows, size)
            nothing += _tell_empty(room, asked[STARVED], size)
        if asked[IS_RATE] != 0:
            for slot in range(size):
                some = room.seconds[slot] > 0
                counts[slot] = counts[slot] / room.seconds[slot] if some else np.nan
                nothing += not some
        _put(counts, columns, values[metric])
    return nothing


@uncounted
def _put(counts: Array, columns: Indices, row: Array) -> None:
    """Have ``counts`` in some columns of a row, all at a time where these lie side by side."""
    size = columns.size
    if size > 0 and columns[size - 1] - columns[0] == size - 1:
        part = row[columns[0] : columns[0] + size]
        for slot in range(size):
            part[slot] = counts[slot]
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
def _differ(these: Array, those: Array) -> bool:
    different = 0
    for code in range(these.size):
        different += these[code] != those[code]
    return different > 0


@uncounted
def _count(room: Room, bound: int, size: int) -> None:
    """Requests that count, with the answers up to a bound."""
    counts, shares = room.counts, room.shares
    for slot in range(size):
        counts[slot] = 0.0
    for code in range(FULL, shares.size):
        if shares[code] != 0:
            for slot in range(size):
                counts[slot] += shares[code] * room.totals[code, slot]
    if bound >= 0:
        row, share = min(bound, room.within.shape[0] - 1), shares[OK]
        for slot in range(size):
            counts[slot] += share * room.within[row, slot]


@uncounted
def _quantiles(room: Room, rows: int, size: int) -> None:
    """Where in the buckets the request with each rank lies, as ``histogram_quantile`` has it.

    Args:
        room: Its counts are filled.
        rows: How many rows of ``room.below`` are filled.
        size: Environments.
    """
    ranks, below, sides, values = room.ranks, room.below, room.sides, room.counts
    for slot in range(size):
        values[slot] = 0.0
    for row in range(1, rows):
        for slot in range(size):
            values[slot] += 1.0 if below[row, slot] < ranks[slot] else 0.0
    for slot in range(size):
        row = int(values[slot])
        sides[0, slot], sides[1, slot] = room.edges_s[row, 0], room.edges_s[row, 1]
        sides[2, slot] = below[row, slot]
        sides[3, slot] = below[row + 1, slot] if row + 1 < rows else np.inf
    for slot in range(size):
        part = (ranks[slot] - sides[2, slot]) / (sides[3, slot] - sides[2, slot])
        values[slot] = sides[0, slot] + (sides[1, slot] - sides[0, slot]) * part


@uncounted
def _tell_empty(room: Room, starved: float, size: int) -> int:
    """Have ``starved`` where no request counts, though some ended, and NaN where none ended.

    Returns:
        How many are NaN.
    """
    empty = nothing = 0
    for slot in range(size):
        empty += not room.ranks[slot] > 0
    if empty > 0:
        for slot in range(size):
            if not room.ranks[slot] > 0:
                ended = 0.0
                for code in range(room.totals.shape[0]):
                    ended += room.totals[code, slot]
                told = starved if ended > 0 else np.nan
                room.counts[slot] = told
                nothing += told != told
    return nothing


@uncounted
def _accumulate(room: Room, buckets: Indices, low: int, bounds_s: Array, size: int) -> int:
    """Count the requests up to each bucket that is not empty in every environment.

    Args:
        room: ``below``, ``edges_s`` and ``told`` are filled.
        buckets: For this and the next two, see :func:`measure_block`.
        low: See there.
        bounds_s: See there.
        size: Environments.

    Returns:
        Rows of ``below`` that are filled, with the first.
    """
    below, edges_s, shares, rows, last = room.below, room.edges_s, room.shares, 1, bounds_s.size - 1
    failed = room.ranks  # nothing else needs their place now
    for slot in range(size):
        failed[slot] = 0.0
    for code in range(shares.size):
        room.told[code] = shares[code]
    for bucket in range(last):
        bound, fails = bucket - low, False
        for code in range(FULL, shares.size):
            if shares[code] != 0 and buckets[code] == bucket:
                fails = True
                for slot in range(size):
                    failed[slot] += shares[code] * room.totals[code, slot]
        if fails or 0 <= bound < room.within.shape[0]:
            share = shares[OK] if bound >= 0 else 0.0
            bound = min(max(bound, 0), room.within.shape[0] - 1)
            for slot in range(size):
                below[rows, slot] = share * room.within[bound, slot] + failed[slot]
            edges_s[rows - 1, 0] = bounds_s[bucket - 1] if bucket > 0 else 0.0
            edges_s[rows - 1, 1] = bounds_s[bucket]
            rows += 1
    edges_s[rows - 1, 0] = edges_s[rows - 1, 1] = bounds_s[last - 1]
    return rows
