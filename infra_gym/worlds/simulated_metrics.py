"""A definition's metrics, as the web app's twin counts them.

Counters and histograms go by their selector, so that the twin answers what a live Prometheus would
be asked. A gauge is an expression, which only Prometheus can evaluate: the twin knows it by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from infra_gym.definitions.models import (
    CounterMetric,
    Definition,
    FormulaMetric,
    GaugeMetric,
    HistogramMetric,
    Metric,
)
from infra_gym.errors import DefinitionError, MetricsError, did_you_mean
from infra_gym.metrics import quantile
from infra_gym.simulators.webapp_counts import BUCKETS_S, CODES, Counts

_GAUGES: dict[str, Callable[[Counts], float]] = {
    "backlog": lambda counts: counts.in_flight,
    "existing": lambda counts: len(counts.ready),
    "ready": lambda counts: sum(counts.ready.values()),
}
_GAUGES_BY_REPLICA: dict[str, Callable[[Counts], dict[str, float]]] = {
    "replica_ready": lambda counts: {name: float(up) for name, up in counts.ready.items()},
    "replica_started": lambda counts: dict(counts.started_s),
}
_SELECTOR = re.compile(r"^\s*(\w+)\s*(?:\{(.*)\})?\s*$")
_MATCHER = re.compile(r'^\s*(\w+)\s*(=~?)\s*"([^"]*)"\s*$')

_REQUESTS = "siege_requests_total"
_LATENCY = "siege_request_duration_seconds"
_BUSY = "heater_busy_seconds_total"


@dataclass(frozen=True)
class SimulatedMetrics:
    """Numbers for every metric of a definition that is no formula.

    Raises:
        DefinitionError: A metric that the twin does not have.
    """

    definition: Definition

    def __post_init__(self) -> None:
        nothing = Counts(0.0, 0.0, {code: (0,) * len(BUCKETS_S) for code in CODES}, {}, {}, {}, 0)
        for name, metric in self._measured():
            _Asked(self.definition, name, metric).answer(nothing)

    def values(
        self, counts: Counts
    ) -> tuple[dict[str, float], dict[str, dict[str, float]], frozenset[str]]:
        """Values, values by label, and the metrics that had nothing to measure.

        Raises:
            MetricsError: One of those declares no ``empty``.
        """
        values: dict[str, float] = {}
        by_label: dict[str, dict[str, float]] = {}
        empty = set()
        for name, metric in self._measured():
            answer = _Asked(self.definition, name, metric).answer(counts)
            if isinstance(answer, dict):
                by_label[name] = answer
            elif answer is not None:
                values[name] = float(answer)
            elif metric.empty is None:
                raise MetricsError(
                    f"metric {name} has nothing to measure",
                    next_command=f"give {name} an `empty:` value in the definition",
                )
            else:
                values[name] = metric.empty
            if answer is None or answer == {}:
                empty.add(name)
        return values, by_label, frozenset(empty)

    def _measured(self) -> Iterable[tuple[str, Metric]]:
        for name, metric in self.definition.metrics.items():
            if not isinstance(metric, FormulaMetric):
                yield name, metric


@dataclass(frozen=True)
class _Asked:
    """One metric, and the twin's answer: a number, numbers by label, or ``None`` for nothing."""

    definition: Definition
    name: str
    metric: Metric

    def answer(self, counts: Counts) -> float | dict[str, float] | None:
        if isinstance(self.metric, GaugeMetric):
            return self._gauge(counts)
        if isinstance(self.metric, HistogramMetric):
            return self._quantile(self.metric, counts)
        if isinstance(self.metric, CounterMetric):
            return self._counter(self.metric, counts)
        raise self._unknown()

    def _gauge(self, counts: Counts) -> float | dict[str, float]:
        known: Mapping[str, Callable[[Counts], float | dict[str, float]]] = (
            _GAUGES_BY_REPLICA if self.metric.by is not None else _GAUGES
        )
        if self.name not in known:
            raise self._unknown(did_you_mean(self.name, sorted(known)))
        return known[self.name](counts)

    def _counter(self, metric: CounterMetric, counts: Counts) -> float | dict[str, float] | None:
        seconds = counts.until_s - counts.since_s
        if metric.rate and seconds == 0:
            return None if metric.by is None else {}
        name, labels = self._selector(metric.counter)
        per = seconds if metric.rate else 1.0
        if name == _BUSY and not labels:
            busy = {
                replica: worked / per
                for replica, worked in counts.busy_s.items()
                if metric.by is None or replica in counts.ready
            }
            return sum(busy.values()) if metric.by is None else busy
        if metric.by is None and name == _REQUESTS and labels.keys() <= {"code"}:
            codes = labels.get("code", CODES)
            return sum(number for code, number in counts.requests.items() if code in codes) / per
        if metric.by is None and name == f"{_LATENCY}_bucket" and len(labels.get("le", ())) == 1:
            bound = float(labels["le"][0])
            codes = labels.get("code", CODES)
            return sum(counts.within(bound, code) for code in CODES if code in codes) / per
        raise self._unknown()

    def _quantile(self, metric: HistogramMetric, counts: Counts) -> float | None:
        name, labels = self._selector(metric.histogram)
        if name != _LATENCY or not labels.keys() <= {"code"} or metric.by is not None:
            raise self._unknown()
        codes = [code for code in CODES if code in labels.get("code", CODES)]
        cumulative, total = {}, 0
        for index, bound in enumerate(BUCKETS_S):
            total += sum(counts.latencies[code][index] for code in codes)
            cumulative[bound] = float(total)
        if total > 0:
            return quantile(metric.quantile, cumulative)
        if metric.starved == "high" and sum(counts.requests.values()) > 0:
            return next(e.high for e in self.definition.observations if e.metric == self.name)
        return None

    def _selector(self, text: str) -> tuple[str, dict[str, tuple[str, ...]]]:
        """Name and wanted label values of ``name{code=~"200|timeout"}``."""
        match = _SELECTOR.match(text)
        if match is None:
            raise self._unknown()
        labels = {}
        for part in filter(None, (match[2] or "").split(",")):
            matcher = _MATCHER.match(part)
            if matcher is None:
                raise self._unknown()
            label, operator, value = matcher.groups()
            labels[label] = tuple(value.split("|")) if operator == "=~" else (value,)
        return match[1], labels

    def _unknown(self, hint: str = "") -> DefinitionError:
        asked = getattr(self.metric, "counter", None) or getattr(self.metric, "histogram", "")
        return DefinitionError(
            f"{self.definition.id}: the webapp simulator has no metric {self.name!r}"
            + (f", which asks for {asked}." if asked else f".{hint}")
        )
