"""A definition's metrics, as the web app's twin counts them.

Counters and histograms go by their selector, so that the twin answers what a live Prometheus would
be asked. A gauge is an expression, which only Prometheus can evaluate: the twin knows it by name.

A selector is read once, when the world is made; a step only evaluates what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import add
from typing import TypeVar

from infra_gym.definitions.models import (
    CounterMetric,
    Definition,
    FormulaMetric,
    GaugeMetric,
    HistogramMetric,
    Metric,
)
from infra_gym.errors import DefinitionError, MetricsError, did_you_mean
from infra_gym.metrics import quantile_of_rising
from infra_gym.simulators.webapp_counts import BUCKETS_S, CODES, Counts
from infra_gym.worlds.selectors import Selector

Number = Callable[[Counts], float | None]
"""One metric's value; ``None``: there was nothing to measure."""
NumbersByLabel = Callable[[Counts], dict[str, float]]
Answer = TypeVar("Answer")

_GAUGES: dict[str, Number] = {
    "backlog": lambda counts: float(counts.in_flight),
    "existing": lambda counts: float(len(counts.ready)),
    "ready": lambda counts: float(sum(counts.ready.values())),
}
_GAUGES_BY_REPLICA: dict[str, NumbersByLabel] = {
    "replica_ready": lambda counts: {name: float(up) for name, up in counts.ready.items()},
    "replica_started": lambda counts: dict(counts.started_s),
}

_REQUESTS = "siege_requests_total"
_LATENCY = "siege_request_duration_seconds"
_BUSY = "heater_busy_seconds_total"


class SimulatedMetrics:
    """Numbers for every metric of a definition that is no formula.

    Raises:
        DefinitionError: A metric that the twin does not have.
    """

    def __init__(self, definition: Definition) -> None:
        self._numbers: dict[str, tuple[Number, float | None]] = {}
        self._by_label: dict[str, NumbersByLabel] = {}
        for name, metric in definition.metrics.items():
            if isinstance(metric, FormulaMetric):
                continue
            asked = _Asked(definition, name, metric)
            if metric.by is None:
                self._numbers[name] = asked.number(), metric.empty
            else:
                self._by_label[name] = asked.by_replica()

    def values(
        self, counts: Counts
    ) -> tuple[dict[str, float], dict[str, dict[str, float]], frozenset[str]]:
        """Values, values by label, and the metrics that had nothing to measure.

        Raises:
            MetricsError: One of those declares no ``empty``.
        """
        values: dict[str, float] = {}
        empty = []
        for name, (number, otherwise) in self._numbers.items():
            value = number(counts)
            if value is None:
                empty.append(name)
                value = otherwise
                if value is None:
                    raise MetricsError(
                        f"metric {name} has nothing to measure",
                        next_command=f"give {name} an `empty:` value in the definition",
                    )
            values[name] = value
        by_label = {name: numbers(counts) for name, numbers in self._by_label.items()}
        empty += [name for name, numbers in by_label.items() if not numbers]
        return values, by_label, frozenset(empty)


class _Asked:
    """One metric of a definition, and what the twin has to evaluate for it."""

    def __init__(self, definition: Definition, name: str, metric: Metric) -> None:
        self._definition = definition
        self._name = name
        self._metric = metric

    def number(self) -> Number:
        """For a metric without ``by``."""
        metric = self._metric
        if isinstance(metric, GaugeMetric):
            return self._known(_GAUGES)
        if isinstance(metric, HistogramMetric):
            return self._quantile(metric)
        if isinstance(metric, CounterMetric):
            total = self._total(metric)
            return _rate(total) if metric.rate else total
        raise self._unknown()

    def by_replica(self) -> NumbersByLabel:
        """For a metric with ``by``."""
        metric = self._metric
        if isinstance(metric, GaugeMetric):
            return self._known(_GAUGES_BY_REPLICA)
        if not isinstance(metric, CounterMetric):
            raise self._unknown()
        asked = self._selector(metric.counter)
        if asked.name != _BUSY or asked.matchers:
            raise self._unknown()
        return _busy_rates if metric.rate else _busy_seconds

    def _known(self, gauges: Mapping[str, Answer]) -> Answer:
        if self._name not in gauges:
            raise self._unknown(did_you_mean(self._name, sorted(gauges)))
        return gauges[self._name]

    def _total(self, metric: CounterMetric) -> Callable[[Counts], float]:
        asked = self._selector(metric.counter)
        if asked.name == _BUSY and not asked.matchers:
            return lambda counts: reduce(add, counts.busy_s.values(), 0.0)
        if asked.name == _REQUESTS and asked.matchers.keys() <= {"code"}:
            return _requests(self._codes(asked), len(BUCKETS_S) - 1)
        if asked.name == f"{_LATENCY}_bucket" and asked.matchers.keys() <= {"code", "le"}:
            return _requests(self._codes(asked), self._bucket(asked))
        raise self._unknown()

    def _quantile(self, metric: HistogramMetric) -> Number:
        asked = self._selector(metric.histogram)
        if asked.name != _LATENCY or not asked.matchers.keys() <= {"code"}:
            raise self._unknown()
        first, *others = self._codes(asked)
        starved = None
        if metric.starved == "high":
            observed = self._definition.observations
            starved = next(entry.high for entry in observed if entry.metric == self._name)

        def number(counts: Counts) -> float | None:
            rising = counts.latencies[first]
            for code in others:
                rising = list(map(add, rising, counts.latencies[code]))
            if rising[-1]:
                return quantile_of_rising(metric.quantile, BUCKETS_S, rising)
            return starved if any(counts.requests.values()) else None

        return number

    def _bucket(self, asked: Selector) -> int:
        """The bucket whose ``le`` is asked for."""
        bucket = asked.bucket(BUCKETS_S)
        if bucket is None:
            bounds = ", ".join(f"{bound_s:g}" for bound_s in BUCKETS_S)
            raise self._unknown(f" Its bounds are {bounds}.")
        return bucket

    def _codes(self, asked: Selector) -> tuple[str, ...]:
        codes = asked.codes(CODES)
        if not codes:
            raise self._unknown(f" Its codes are {', '.join(CODES)}.")
        return codes

    def _selector(self, text: str) -> Selector:
        asked = Selector.parse(text)
        if asked is None:
            raise self._unknown()
        return asked

    def _unknown(self, hint: str = "") -> DefinitionError:
        asked = getattr(self._metric, "counter", None) or getattr(self._metric, "histogram", "")
        return DefinitionError(
            f"{self._definition.id}: the webapp simulator has no metric {self._name!r}"
            + (f", which asks for {asked}." if asked else ".")
            + hint
        )


def _requests(codes: tuple[str, ...], bucket: int) -> Callable[[Counts], float]:
    """Requests of these codes in the buckets up to this one."""
    if len(codes) == 1:
        (code,) = codes
        return lambda counts: float(counts.latencies[code][bucket])
    return lambda counts: float(sum([counts.latencies[code][bucket] for code in codes]))


def _rate(total: Callable[[Counts], float]) -> Number:
    def rate(counts: Counts) -> float | None:
        seconds = counts.until_s - counts.since_s
        return total(counts) / seconds if seconds else None

    return rate


def _busy_seconds(counts: Counts) -> dict[str, float]:
    """Of the replicas that are there."""
    return {name: counts.busy_s[name] for name in counts.ready}


def _busy_rates(counts: Counts) -> dict[str, float]:
    seconds = counts.until_s - counts.since_s
    return {name: counts.busy_s[name] / seconds for name in counts.ready} if seconds else {}
