"""Web apps, request by request, and what a definition measures of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infra_gym.simulators import webapp_queue as queue
from infra_gym.simulators.compilation import compiled
from infra_gym.simulators.webapp_measures import Array, measure
from infra_gym.simulators.webapp_table import BUSY_SECONDS, IS_READY, OK, STARTED_AT

_NOW, _FLYING, _NUMBERS, _BUCKETS = queue.NOW, queue.FLYING, queue.NUMBERS, queue.BUCKETS
_advance = queue.advance


@compiled
def step(
    apps: queue.Apps,
    place: int,
    arrivals: Array,
    until_s: float,
    replicas: int,
    metrics: Array,
    bounds_s: Array,
    buckets: NDArray[np.int64],
    values: Array,
) -> None:
    """A step of one app; see :func:`~infra_gym.simulators.webapp_queue.advance`.

    Args:
        apps: All apps.
        place: Which of them.
        arrivals: Its schedule.
        until_s: When the step ends.
        replicas: That are wanted.
        metrics: See :func:`~infra_gym.simulators.webapp_measures.measure`; so, too, the others.
        bounds_s: See there.
        buckets: See there.
        values: See there.
    """
    since_s = apps.clock[place, _NOW]
    _advance(apps, place, arrivals, until_s, replicas)
    latencies = apps.latencies[place]
    totals, within = np.zeros(buckets.size), np.zeros(bounds_s.size)
    for bucket in range(within.size):
        within[bucket] = latencies[OK * _BUCKETS + bucket]
    for code in range(totals.size):
        totals[code] = latencies[(code + 1) * _BUCKETS - 1]
    busy_s = existing = ready = 0.0
    for number in range(apps.marks[place, _NUMBERS]):
        seen = apps.seen[place, number]
        busy_s += seen[BUSY_SECONDS] if seen[BUSY_SECONDS] == seen[BUSY_SECONDS] else 0.0
        existing += seen[STARTED_AT] == seen[STARTED_AT]
        ready += seen[IS_READY] == 1.0
    gauges = (busy_s, float(apps.marks[place, _FLYING]), existing, ready)
    measure(metrics, bounds_s, buckets, totals, within, gauges, until_s - since_s, values, place)


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
        buckets: See there, a row an app.
        values: See there.
    """
    for place in range(len(lengths)):
        if not idle[place]:
            step(
                apps, place, arrivals[place, : lengths[place]], until_s[place], replicas[place],
                metrics, bounds_s, buckets[place], values,
            )  # fmt: skip
