"""From growths and gauges to a step's numbers. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from infra_gym.definitions.models import CounterMetric, GaugeMetric, HistogramMetric, Metric
from infra_gym.errors import MetricsError, StaleMetricsError
from infra_gym.metrics.histograms import quantile
from infra_gym.metrics.prometheus import Series
from infra_gym.metrics.readings import Growth


class Values:
    """One reading's numbers, while they are gathered metric by metric.

    Attributes:
        single: The metrics with one value.
        by_label: The metrics with ``by``.
        empty: Those that had nothing to measure.

    A metric that cannot be measured raises :class:`StaleMetricsError` where nothing is there to be
    measured, and :class:`MetricsError` where something is wrong with it.
    """

    def __init__(self) -> None:
        self.single: dict[str, float] = {}
        self.by_label: dict[str, dict[str, float]] = {}
        self.empty: set[str] = set()

    def counter(self, name: str, metric: CounterMetric, growths: Sequence[Growth]) -> None:
        """Sum what the series grew by, or their rates."""
        if metric.by is not None:
            found: dict[str, float] = {}
            for growth in growths:
                value = growth.own_rate if metric.rate else growth.difference
                if value is not None:
                    label = _label(name, metric.by, growth.labels)
                    found[label] = found.get(label, 0.0) + value
            self._keep_by_label(name, found)
        elif growths:
            self.single[name] = math.fsum(
                growth.rate if metric.rate else growth.difference for growth in growths
            )
        else:
            self._nothing(name, metric, "no series has a new sample since the last reading")

    def histogram(
        self,
        name: str,
        metric: HistogramMetric,
        buckets: Sequence[Growth],
        counts: Sequence[Growth],
        bound: float | None,
    ) -> None:
        """The quantile of what ``buckets`` grew by.

        Where they did not grow though ``counts`` did (everything failed), the value is ``bound``.
        """
        sums: dict[float, float] = {}
        for growth in buckets:
            le = float(_label(name, "le", growth.labels))
            sums[le] = sums.get(le, 0.0) + growth.difference
        value = quantile(metric.quantile, sums)
        if not math.isnan(value):
            self.single[name] = value
        elif sums.get(math.inf, 0.0) > 0:
            raise MetricsError(f"metrics.{name}: {metric.histogram} has no finite buckets.")
        elif bound is not None and any(g.difference for g in counts):
            self.single[name] = bound
        else:
            self._nothing(name, metric, "nothing was counted since the last reading")

    def gauge(self, name: str, metric: GaugeMetric, series: Sequence[Series]) -> None:
        """The expression's one value, or one for each value of its label."""
        if metric.by is not None:
            found: dict[str, float] = {}
            for one in series:
                label = _label(name, metric.by, one.labels)
                if label in found:
                    raise MetricsError(
                        f"metrics.{name}: {metric.gauge} has several series with "
                        f"{metric.by}={label!r}.",
                        next_command=f"aggregate it, such as sum by ({metric.by}) (...)",
                    )
                if not math.isnan(one.value):
                    found[label] = _finite(name, metric.gauge, one.value)
            self._keep_by_label(name, found)
        elif len(series) > 1:
            raise MetricsError(
                f"metrics.{name}: {metric.gauge} has {len(series)} series, not one.",
                next_command="aggregate it, such as sum(...), or say by which label it is split",
            )
        elif not series or math.isnan(series[0].value):
            self._nothing(name, metric, "it is NaN" if series else "Prometheus has no such series")
        else:
            self.single[name] = _finite(name, metric.gauge, series[0].value)

    def _keep_by_label(self, name: str, found: dict[str, float]) -> None:
        self.by_label[name] = found
        if not found:
            self.empty.add(name)

    def _nothing(self, name: str, metric: Metric, why: str) -> None:
        if metric.empty is None:
            raise StaleMetricsError(
                f"metrics.{name} has nothing to measure: {why}.",
                next_command="check that its program runs and is scraped (`up`), "
                f"or declare `empty` for {name} in the definition",
            )
        self.single[name] = metric.empty
        self.empty.add(name)


def _label(name: str, label: str, labels: Mapping[str, str]) -> str:
    if label not in labels:
        raise MetricsError(f"metrics.{name}: a series has no label {label!r}: {dict(labels)}.")
    return labels[label]


def _finite(name: str, query: str, value: float) -> float:
    if not math.isfinite(value):
        raise MetricsError(f"metrics.{name}: {query} is {value}.")
    return value
