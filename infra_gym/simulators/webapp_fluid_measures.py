"""What is told of the fluid form's environments: one metric of many environments after the other.

The rules are those of :func:`~infra_gym.simulators.webapp_measures.measure`. There, one environment
has all its metrics at a time, and each asks anew what it is; here, that is asked once for a block.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infra_gym.simulators.compilation import compiled
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
        totals: Ended requests by code, shape (block, codes).
        within: Answers within the bounds, shape (block, known bounds).
        gauges: Shape (block, 4).
        seconds: Length of the time, shape (block,).
        values: Where they go, shape (metrics, environments); NaN where there is nothing to measure.
        places: Which environments; a block may have room for more.
    """
    ended, answers = _by_number(totals, within, places.size)
    counts, shares = np.empty(places.size), np.empty(totals.shape[1])
    for metric in range(metrics.shape[0]):
        kind = int(metrics[metric, KIND])
        if kind > QUANTILE:
            for slot in range(places.size):
                counts[slot] = gauges[slot, kind - QUANTILE - 1]
        else:
            up_to = int(metrics[metric, UP_TO])
            for code in range(shares.size):
                counted = code == OK or buckets[code] <= up_to
                shares[code] = metrics[metric, CODES + code] if counted else 0.0
            _count(shares, up_to - low, ended, answers, counts)
        if kind == QUANTILE:
            goal, starved = metrics[metric, QUANTILE_OF], metrics[metric, STARVED]
            _quantiles(goal, starved, shares, bounds_s, buckets, low, ended, answers, counts)
        if metrics[metric, IS_RATE] != 0:
            for slot in range(places.size):
                counts[slot] = counts[slot] / seconds[slot] if seconds[slot] > 0 else np.nan
        for slot in range(places.size):
            values[metric, places[slot]] = counts[slot]


@compiled
def _by_number(totals: Array, within: Array, size: int) -> tuple[Array, Array]:
    """One number of all environments after the other, which the processor takes several at a time:
    requests by code, and answers within each bound, the last row being all answers."""
    known = within.shape[1]
    ended, answers = np.empty((totals.shape[1], size)), np.empty((known + 1, size))
    for slot in range(size):
        for code in range(totals.shape[1]):
            ended[code, slot] = totals[slot, code]
        for bound in range(known):
            answers[bound, slot] = within[slot, bound]
        answers[known, slot] = totals[slot, OK]
    return ended, answers


@compiled
def _count(shares: Array, bound: int, ended: Array, answers: Array, counts: Array) -> None:
    """Requests that count, with the answers up to a bound."""
    counts[:] = 0.0
    for code in range(FULL, shares.size):
        if shares[code] != 0:
            for slot in range(counts.size):
                counts[slot] += shares[code] * ended[code, slot]
    if bound >= 0:
        row, share = min(bound, answers.shape[0] - 1), shares[OK]
        for slot in range(counts.size):
            counts[slot] += share * answers[row, slot]


@compiled
def _quantiles(
    goal: float,
    starved: float,
    shares: Array,
    bounds_s: Array,
    buckets: Indices,
    low: int,
    ended: Array,
    answers: Array,
    counts: Array,
) -> None:
    """From how many requests count to where in the buckets a share ``goal`` of them is reached, as
    ``histogram_quantile`` has it."""
    size, last = counts.size, bounds_s.size - 1
    ranks, places, below = np.empty(size), np.zeros(size), np.empty((last, size))
    for slot in range(size):
        ranks[slot] = goal * counts[slot]
    held = _accumulate(shares, buckets, low, ended, answers, below)
    for place in range(held.size):
        for slot in range(size):
            places[slot] += 1.0 if below[place, slot] < ranks[slot] else 0.0
    for slot in range(size):
        place = int(places[slot])
        if not ranks[slot] > 0:
            counts[slot] = starved if ended[:, slot].sum() > 0 else np.nan
        elif place == held.size:
            counts[slot] = bounds_s[last - 1]
        else:
            bucket = held[place]
            low_s = bounds_s[bucket - 1] if bucket > 0 else 0.0
            fewer = below[place - 1, slot] if place > 0 else 0.0
            part = (ranks[slot] - fewer) / (below[place, slot] - fewer)
            counts[slot] = low_s + (bounds_s[bucket] - low_s) * part


@compiled
def _accumulate(
    shares: Array, buckets: Indices, low: int, ended: Array, answers: Array, below: Array
) -> Indices:
    """Fill the first rows of ``below`` with the requests that count up to a bucket, and return the
    buckets: those that are not empty in every environment."""
    size, held, rows = below.shape[1], np.empty(below.shape[0], dtype=np.int64), 0
    failed = np.zeros(size)
    for bucket in range(held.size):
        bound, fails = bucket - low, False
        for code in range(FULL, shares.size):
            if shares[code] != 0 and buckets[code] == bucket:
                fails = True
                for slot in range(size):
                    failed[slot] += shares[code] * ended[code, slot]
        if fails or 0 <= bound < answers.shape[0]:
            share = shares[OK] if bound >= 0 else 0.0
            bound = min(max(bound, 0), answers.shape[0] - 1)
            for slot in range(size):
                below[rows, slot] = share * answers[bound, slot] + failed[slot]
            held[rows] = bucket
            rows += 1
    return held[:rows]
