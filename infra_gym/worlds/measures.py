"""What a definition measures of the web app, in the form that the compiled simulators take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from infra_gym.simulators import webapp_table as table
from infra_gym.simulators.webapp_counts import BUCKETS_S, CODES
from infra_gym.worlds.columns import otherwise
from infra_gym.worlds.selectors import Selector

_REQUESTS = "siege_requests_total"
_LATENCY = "siege_request_duration_seconds"
_BUSY = "heater_busy_seconds_total"
_GAUGES = {
    "backlog": table.BACKLOG,
    "existing": table.EXISTING,
    "ready": table.READY,
}

_GAUGES_BY_REPLICA = {"replica_ready": table.IS_READY, "replica_started": table.STARTED_AT}


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
        timeout_s: When the client gives up.

    Raises:
        DefinitionError: A metric that the web app's simulators do not have.
    """

    def __init__(self, definition: Definition, *, timeout_s: float) -> None:
        self._definition = definition
        self._timeout_s = timeout_s
        most = max((control.high for control in definition.controls.values()), default=0)
        self._replicas = [f"replica-{number}" for number in range(most)]
        self._by_label: dict[str, tuple[int, bool]] = {}  # what of a replica, and if it is a rate
        entries: dict[str, _Entry] = {}
        for name, metric in definition.metrics.items():
            if isinstance(metric, FormulaMetric):
                continue
            if metric.by is None:
                entries[name] = self._entry(name, metric)
            else:
                self._by_label[name] = self._entry_by_label(name, metric)
        self.names = tuple(entries)
        """Of the metrics with one value, in the order of the values."""
        self.empty = {name: definition.metrics[name].empty for name in entries}
        """Of each of them: its value where there was nothing to measure."""
        self.metrics = np.array([entry.row() for entry in entries.values()]).reshape(
            -1, table.COLUMNS
        )
        """See :func:`infra_gym.simulators.webapp_measures.measure`, as for the next."""
        self.bounds_s = np.array(BUCKETS_S)

    def buckets(self, overhead_s: float) -> NDArray[np.int64]:
        """See there, too.

        Args:
            overhead_s: How long a 503 takes.
        """
        return np.array([0, _bucket(overhead_s), _bucket(self._timeout_s), 0, 0], dtype=np.int64)

    def asked(self, overhead_s: float) -> table.Asked:
        """All three.

        Args:
            overhead_s: How long a 503 takes.
        """
        return table.Asked(self.metrics, self.bounds_s, self.buckets(overhead_s))

    def single(
        self, told: table.Told
    ) -> tuple[dict[str, float], dict[str, dict[str, float]], frozenset[str]]:
        """Of one environment: values, values by label, and the metrics that had nothing to measure.

        Raises:
            MetricsError: One of those declares no ``empty``.
        """
        values = dict(zip(self.names, told.values, strict=True))
        seen = {
            name: numbers
            for name, numbers in zip(self._replicas, told.replicas, strict=False)
            if numbers[table.STARTED_AT] == numbers[table.STARTED_AT]
        }
        by_label = self.by_label(seen, told.until_s - told.since_s)
        empty = {name for name, numbers in by_label.items() if not numbers}
        if math.isnan(sum(told.values)):  # and so is one of them
            for name, value in values.items():
                if math.isnan(value):
                    values[name] = otherwise(name, self.empty)
                    empty.add(name)
        return values, by_label, frozenset(empty)

    def by_label(
        self, seen: Mapping[str, Sequence[float]], seconds: float
    ) -> dict[str, dict[str, float]]:
        """Of one environment, the metrics with one value a replica.

        Args:
            seen: Of each replica that is seen: its numbers, as in
                :attr:`~infra_gym.simulators.webapp_table.Told.replicas`.
            seconds: Length of the time.
        """
        found = {}
        for name, (column, rate) in self._by_label.items():
            if not rate:
                found[name] = {replica: numbers[column] for replica, numbers in seen.items()}
            elif seconds:
                found[name] = {
                    replica: numbers[column] / seconds for replica, numbers in seen.items()
                }
            else:
                found[name] = {}
        return found

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
            return _Entry(table.BUSY, rate=metric.rate)
        codes = self._codes(name, metric, asked)
        if asked.name == _REQUESTS and asked.matchers.keys() <= {"code"}:
            return _Entry(table.REQUESTS, codes, rate=metric.rate)
        if asked.name == f"{_LATENCY}_bucket" and asked.matchers.keys() <= {"code", "le"}:
            bucket = asked.bucket(BUCKETS_S)
            if bucket is None:
                bounds = ", ".join(f"{bound_s:g}" for bound_s in BUCKETS_S)
                raise self._unknown(name, metric, f" Its bounds are {bounds}.")
            return _Entry(table.REQUESTS, codes, bucket, rate=metric.rate)
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
        return _Entry(table.QUANTILE, codes, quantile=metric.quantile, starved=starved)

    def _entry_by_label(self, name: str, metric: Metric) -> tuple[int, bool]:
        if isinstance(metric, GaugeMetric) and name in _GAUGES_BY_REPLICA:
            return _GAUGES_BY_REPLICA[name], False
        if isinstance(metric, CounterMetric):
            asked = self._selector(name, metric, metric.counter)
            if asked.name == _BUSY and not asked.matchers:
                return table.BUSY_SECONDS, metric.rate
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


def _bucket(latency_s: float) -> int:
    return next(place for place, bound_s in enumerate(BUCKETS_S) if latency_s <= bound_s + 1e-9)
