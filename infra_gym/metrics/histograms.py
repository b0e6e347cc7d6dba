"""Quantiles of classic Prometheus histograms."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence


def quantile(q: float, buckets: Mapping[float, float]) -> float:
    """The ``q`` quantile, linear inside a bucket: what Prometheus's ``histogram_quantile`` gives.

    Args:
        q: Between 0 and 1, exclusive.
        buckets: Cumulative counts by upper bound (``le``); the last must be infinite.

    Returns:
        A value in the observations' unit. In the last bucket it is the highest finite bound.
        ``nan`` without observations, without an infinite bucket or with no other bucket.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or bounds[-1] != math.inf:
        return math.nan
    counts = _rising([buckets[bound] for bound in bounds])
    if counts[-1] == 0:
        return math.nan
    return quantile_of_rising(q, bounds, counts)


def quantile_of_rising(q: float, bounds: Sequence[float], counts: Sequence[float]) -> float:
    """The same of cumulative counts that never fall and do not end with 0.

    Args:
        q: Between 0 and 1, exclusive.
        bounds: Upper bounds, ascending, at least two; the last is infinite.
        counts: Cumulative counts, one a bound.
    """
    rank = q * counts[-1]
    index = bisect_left(counts, rank)
    if index == len(counts) - 1:
        return bounds[-2]
    if index == 0 and bounds[0] <= 0:
        return bounds[0]
    low, below = (bounds[index - 1], counts[index - 1]) if index else (0.0, 0.0)
    return low + (bounds[index] - low) * (rank - below) / (counts[index] - below)


def _rising(counts: list[float]) -> list[float]:
    """Cumulative counts never fall: what float noise lowered is lifted, as Prometheus does."""
    highest = 0.0
    return [highest := max(highest, count) for count in counts]
