"""Many web apps, request by request, and what a definition measures of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infra_gym.simulators import webapp_queue as queue
from infra_gym.simulators.compilation import compiled
from infra_gym.simulators.webapp_measures import OK, Array, measure

_NOW, _FLYING, _NUMBERS, _BUCKETS = queue.NOW, queue.FLYING, queue.NUMBERS, queue.BUCKETS
_BUSY, _READY, _STARTED = queue.BUSY_SECONDS, queue.IS_READY, queue.STARTED_AT
_advance = queue.advance


@compiled
def step_all(
    apps: queue.Apps,
    arrivals: Array,
    lengths: NDArray[np.int64],
    until_s: Array,
    replicas: NDArray[np.int64],
    idle: NDArray[np.bool_],
    metrics: Array,
    bounds_s: Array,
    buckets: NDArray[np.int64],
    values: Array,
) -> None:
    """A step of each app that is not ``idle``.

    Args:
        apps: All apps.
        arrivals: Their schedules, shape (apps, longest).
        lengths: Of the schedules, shape (apps,).
        until_s: When each one's step ends, shape (apps,).
        replicas: That are wanted of each, shape (apps,).
        idle: Which stay as they are, shape (apps,).
        metrics: See :func:`~infra_gym.simulators.webapp_measures.measure`; so, too, the others.
        bounds_s: See there.
        buckets: See there.
        values: See there.
    """
    totals, within = np.zeros(buckets.size), np.zeros(bounds_s.size)
    for place in range(len(lengths)):
        if idle[place]:
            continue
        since_s = apps.clock[place, _NOW]
        _advance(apps, place, arrivals[place, : lengths[place]], until_s[place], replicas[place])
        _sum_up(apps.latencies[place], totals, within)
        busy_s = existing = ready = 0.0
        for number in range(apps.marks[place, _NUMBERS]):
            seen = apps.seen[place, number]
            busy_s += seen[_BUSY] if seen[_BUSY] == seen[_BUSY] else 0.0
            existing += seen[_STARTED] == seen[_STARTED]
            ready += seen[_READY] == 1.0
        gauges = (busy_s, float(apps.marks[place, _FLYING]), existing, ready)
        seconds = until_s[place] - since_s
        measure(metrics, bounds_s, buckets, totals, within, gauges, seconds, values, place)


@compiled
def _sum_up(latencies: NDArray[np.int64], totals: Array, within: Array) -> None:
    """Of requests by code and bucket: how many of each code, and of answers within each bound."""
    for bucket in range(within.size):
        within[bucket] = latencies[OK * _BUCKETS + bucket]
    for code in range(totals.size):
        totals[code] = latencies[(code + 1) * _BUCKETS - 1]
