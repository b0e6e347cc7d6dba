"""What a definition measures of the web app, in the form that the compiled simulators take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra_gym.definitions.models import (
    CounterMetric,
    Definition,
    FormulaMetric,
    GaugeMetric,
    HistogramMetric,
    Metric,
)
from infra_gym.errors import DefinitionError, did_you_mean
from infra_gym.simulators import webapp_measures as compiled
from infra_gym.simulators.webapp_counts import BUCKETS_S, CODES
from infra_gym.worlds.columns import filled
from infra_gym.worlds.selectors import Selector

_REQUESTS = "siege_requests_total"
_LATENCY = "siege_request_duration_seconds"
_BUSY = "heater_busy_seconds_total"
_GAUGES = {
    "backlog": compiled.BACKLOG,
    "existing": compiled.EXISTING,
    "ready": compiled.READY,
}

BY_REPLICA = ("replica_ready", "replica_started", "busy")
"""What a metric with ``by`` can be: two gauges by their names, and the counter of busy seconds."""


@dataclass(frozen=True)
class _Entry:
    kind: int
    codes: tuple[bool, ...] = (False,) * len(CODES)
    bucket: int = len(BUCKETS_S) - 1
    quantile: float = 0.0
    rate: bool = False
    starved: float = math.nan

    def row(self) -> list[float]:
        return [self.kind, self.bucket, self.quantile, self.rate, self.starved, *self.codes]


class WebAppMeasures:
    """The metrics of a definition that are no formulas.

    Args:
        definition: The environment.

    Raises:
        DefinitionError: A metric that the web app's simulators do not have.
    """

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self.by_label: dict[str, tuple[str, bool]] = {}
        """For each metric with ``by``: which of :data:`BY_REPLICA`, and whether it is a rate."""
        entries: dict[str, _Entry] = {}
        for name, metric in definition.metrics.items():
            if isinstance(metric, FormulaMetric):
                continue
            if metric.by is None:
                entries[name] = self._entry(name, metric)
            else:
                self.by_label[name] = self._entry_by_label(name, metric)
        self.names = tuple(entries)
        """Of the metrics with one value, in the order of the values."""
        self._empty = {name: definition.metrics[name].empty for name in entries}
        self.metrics = np.array([entry.row() for entry in entries.values()]).reshape(
            -1, compiled.COLUMNS
        )
        """See :func:`infra_gym.simulators.webapp_measures.measure`, as for the next."""
        self.bounds_s = np.array(BUCKETS_S)

    def filled(
        self, values: NDArray[np.float64]
    ) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.bool_]]]:
        """Columns by name, and of those that had nothing to measure somewhere, where.

        Args:
            values: Shape (metrics, environments); what is NaN is filled.

        Raises:
            MetricsError: There was nothing to measure for a metric that declares no ``empty``.
        """
        columns = dict(zip(self.names, values, strict=True))
        if not math.isnan(np.add.reduce(values, axis=None)):
            return columns, {}  # a sum with a NaN is none, and most steps have none
        return columns, filled(columns, self._empty)

    def _entry(self, name: str, metric: Metric) -> _Entry:
        if isinstance(metric, GaugeMetric):
            if name not in _GAUGES:
                raise self._unknown(name, metric, did_you_mean(name, sorted(_GAUGES)))
            return _Entry(_GAUGES[name])
        if isinstance(metric, HistogramMetric):
            return self._histogram(name, metric)
        if isinstance(metric, CounterMetric):
            return self._counter(name, metric)
        raise self._unknown(name, metric)

    def _counter(self, name: str, metric: CounterMetric) -> _Entry:
        asked = self._selector(name, metric, metric.counter)
        if asked.name == _BUSY and not asked.matchers:
            return _Entry(compiled.BUSY, rate=metric.rate)
        codes = self._codes(name, metric, asked)
        if asked.name == _REQUESTS and asked.matchers.keys() <= {"code"}:
            return _Entry(compiled.REQUESTS, codes, rate=metric.rate)
        if asked.name == f"{_LATENCY}_bucket" and asked.matchers.keys() <= {"code", "le"}:
            bucket = asked.bucket(BUCKETS_S)
            if bucket is None:
                raise self._unknown(name, metric, f" Its bounds are {BUCKETS_S}.")
            return _Entry(compiled.REQUESTS, codes, bucket, rate=metric.rate)
        raise self._unknown(name, metric)

    def _histogram(self, name: str, metric: HistogramMetric) -> _Entry:
        asked = self._selector(name, metric, metric.histogram)
        if asked.name != _LATENCY or not asked.matchers.keys() <= {"code"}:
            raise self._unknown(name, metric)
        starved = math.nan
        if metric.starved == "high":
            observed = self._definition.observations
            starved = next(entry.high for entry in observed if entry.metric == name)
        codes = self._codes(name, metric, asked)
        return _Entry(compiled.QUANTILE, codes, quantile=metric.quantile, starved=starved)

    def _entry_by_label(self, name: str, metric: Metric) -> tuple[str, bool]:
        if isinstance(metric, GaugeMetric) and name in BY_REPLICA:
            return name, False
        if isinstance(metric, CounterMetric):
            asked = self._selector(name, metric, metric.counter)
            if asked.name == _BUSY and not asked.matchers:
                return "busy", metric.rate
        raise self._unknown(name, metric)

    def _codes(self, name: str, metric: Metric, asked: Selector) -> tuple[bool, ...]:
        """Which of the siege engine's codes are asked for."""
        wanted = asked.codes(CODES)
        if not wanted:
            raise self._unknown(name, metric, f" Its codes are {', '.join(CODES)}.")
        return tuple(code in wanted for code in CODES)

    def _selector(self, name: str, metric: Metric, text: str) -> Selector:
        asked = Selector.parse(text)
        if asked is None:
            raise self._unknown(name, metric)
        return asked

    def _unknown(self, name: str, metric: Metric, hint: str = "") -> DefinitionError:
        asked = getattr(metric, "counter", None) or getattr(metric, "histogram", "")
        return DefinitionError(
            f"{self._definition.id}: the webapp simulator has no metric {name!r}"
            + (f", which asks for {asked}.{hint}" if asked else f".{hint}")
        )


def labelled(
    by_label: Mapping[str, tuple[str, bool]],
    *,
    ready: dict[str, float],
    started: dict[str, float],
    worked: dict[str, float],
    seconds: float,
) -> dict[str, dict[str, float]]:
    """The metrics with ``by``, from numbers of the replicas that are seen.

    Args:
        by_label: See :attr:`WebAppMeasures.by_label`.
        ready: 1 or 0: whether it takes requests.
        started: When it started, in seconds.
        worked: Busy slot-seconds over slots.
        seconds: Length of the time.
    """
    known = {"replica_ready": ready, "replica_started": started, "busy": worked}
    found = {}
    for name, (which, rate) in by_label.items():
        numbers = dict(known[which])
        if rate:
            numbers = {r: number / seconds for r, number in numbers.items()} if seconds else {}
        found[name] = numbers
    return found


def code_buckets(*, overhead_s: float, timeout_s: float) -> list[int]:
    """In which bucket the requests of each code lie, as
    :func:`infra_gym.simulators.webapp_measures.measure` takes it.

    Args:
        overhead_s: How long a 503 takes.
        timeout_s: When the client gives up.
    """
    return [0, _bucket(overhead_s), _bucket(timeout_s), 0, 0]


def _bucket(latency_s: float) -> int:
    return next(place for place, bound_s in enumerate(BUCKETS_S) if latency_s <= bound_s + 1e-9)
