"""A definition's metrics, as the simulated function counts them.

Counters and histograms go by their selector, so that the simulator answers what a live Prometheus
would be asked. A gauge is an expression, which only Prometheus can evaluate: it goes by its name.

A selector is read once, when the world is made; a step only evaluates what came of it, for many
environments at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from infra_gym.metrics import quantile_of_rising
from infra_gym.simulators.faas_rules import BUCKETS_S, CODES, MIB, Rules
from infra_gym.worlds.selectors import Selector

if TYPE_CHECKING:
    from infra_gym.simulators.faas_reading import Counts, Replicas

Column = NDArray[np.float64]
Number = Callable[["Counts"], NDArray[np.float64] | NDArray[np.int64]]
"""One metric's values; NaN: there was nothing to measure."""

_INPUTS = {
    "function": (
        *("slots", "service_time_s", "queue_limit", "cpu_s", "memory_mib", "drain_s"),
        *("cpu_request", "memory_request_mib", "start_delay_s"),
    ),
    "gateway": ("timeout_s", "function", "namespace_label"),
    "siege-engine": ("max_in_flight",),
}
_START_S = 0.4
"""From the wish for a process until it listens; its own ``start_delay_s`` comes on top."""


@dataclass(frozen=True)
class Scenario:
    """What a definition's inputs say, for the layers of the target ``local``.

    Attributes:
        rules: The simulator's.
        function_name: ``NAME.NAMESPACE``.
        cpu_request: Cores.
        memory_request: Bytes.
    """

    rules: Rules
    function_name: str
    cpu_request: float
    memory_request: float

    @classmethod
    def of(cls, definition: Definition) -> Scenario:
        """Reads them; what is not there has the layers' own defaults.

        Raises:
            UsageError: A number that cannot be.
        """
        given = {
            name: value
            for layer, names in _INPUTS.items()
            for name, value in definition.inputs_of(f"local/{layer}").items()
            if name in names
        }
        function = given.pop("function", "hello")
        namespace = given.pop("namespace_label", "openfaas-fn")
        cpu_request = float(given.pop("cpu_request", 0.1))
        memory_request = MIB * float(given.pop("memory_request_mib", 64))
        boot_s = _START_S + float(given.pop("start_delay_s", 0))
        rules = Rules(boot_s=boot_s, **given)
        return cls(rules, f"{function}.{namespace}", cpu_request, memory_request)


_GAUGES: dict[str, Callable[[Counts, Scenario], NDArray[np.float64] | NDArray[np.int64]]] = {
    "backlog": lambda counts, _: counts.in_flight,
    "existing": lambda counts, _: counts.existing,
    "ready": lambda counts, _: counts.ready,
    "held": lambda counts, _: counts.held,
    "cpu_request": lambda counts, scenario: _of_replicas(counts, scenario.cpu_request),
    "memory_request": lambda counts, scenario: _of_replicas(counts, scenario.memory_request),
    "memory_bytes": lambda counts, _: counts.memory_bytes,
}
_GAUGES_BY_REPLICA: dict[str, Callable[[Replicas], dict[str, float]]] = {
    "replica_ready": lambda replicas: replicas.ready,
    "replica_started": lambda replicas: replicas.started_s,
}
_GATEWAY_COUNTERS: dict[str, Number] = {
    "gateway_function_invocation_started": lambda counts: counts.started,
    "gateway_function_inflight_seconds_total": lambda counts: counts.inflight_seconds,
    "gateway_function_cold_starts_total": lambda counts: counts.cold_starts,
    "gateway_function_cold_start_seconds_total": lambda counts: counts.cold_start_seconds,
}
_HISTOGRAM = "gateway_functions_seconds"
_CALLS = ("gateway_function_invocation_total", f"{_HISTOGRAM}_count")
_BUSY = "function_busy_seconds_total"
_CPU = "process_cpu_seconds_total"


class FaasMetrics:
    """Numbers for every metric of a definition that is no formula.

    Args:
        definition: The environment.
        scenario: What its inputs say.

    Raises:
        DefinitionError: A metric that the simulator does not have.
    """

    def __init__(self, definition: Definition, scenario: Scenario) -> None:
        self._definition = definition
        self._scenario = scenario
        self._own: dict[str, str | None] = {
            "job": "gateway",
            "function_name": scenario.function_name,
        }
        self._numbers: dict[str, Number] = {}
        self._by_label: dict[str, Callable[[Replicas, float], dict[str, float]]] = {}
        for name, metric in definition.metrics.items():
            if isinstance(metric, FormulaMetric):
                continue
            if metric.by is None:
                self._numbers[name] = self._number(name, metric)
            else:
                self._by_label[name] = self._number_by_replica(name, metric)
        self.empty = {name: definition.metrics[name].empty for name in self._numbers}
        """Of each metric with one value: what it is where there was nothing to measure."""

    def values(self, counts: Counts) -> Column:
        """The metrics with one value, NaN where they had nothing to measure; shape (metrics,
        environments)."""
        values = np.empty((len(self._numbers), len(counts.seconds)))
        for row, number in zip(values, self._numbers.values(), strict=True):
            row[:] = number(counts)
        return values

    def by_label(self, replicas: Replicas, seconds: float) -> dict[str, dict[str, float]]:
        """The metrics with one value a replica, of one environment.

        Args:
            replicas: Its replicas.
            seconds: Length of the time.
        """
        return {name: number(replicas, seconds) for name, number in self._by_label.items()}

    def _number(self, name: str, metric: Metric) -> Number:
        if isinstance(metric, GaugeMetric):
            if name not in _GAUGES:
                raise self._unknown_gauge(name)
            gauge = _GAUGES[name]
            return lambda counts: gauge(counts, self._scenario)
        if isinstance(metric, HistogramMetric):
            return self._quantile(name, metric)
        if isinstance(metric, CounterMetric):
            total = self._counter(name, metric)
            return (lambda counts: total(counts) / _per(counts.seconds)) if metric.rate else total
        raise self._unknown(name)

    def _number_by_replica(
        self, name: str, metric: Metric
    ) -> Callable[[Replicas, float], dict[str, float]]:
        if isinstance(metric, GaugeMetric):
            if name not in _GAUGES_BY_REPLICA:
                raise self._unknown_gauge(name)
            gauge = _GAUGES_BY_REPLICA[name]
            return lambda replicas, _: gauge(replicas)
        if isinstance(metric, CounterMetric):
            asked = self._selector(name, metric.counter)
            if asked.name == _BUSY and asked.asks_only(job="function"):
                if not metric.rate:
                    return lambda replicas, _: replicas.busy_s
                return lambda replicas, seconds: {
                    replica: busy_s / (seconds or 1.0)
                    for replica, busy_s in replicas.busy_s.items()
                }
            raise self._unknown(name, f" {metric.counter} is none of its counters.")
        raise self._unknown(name)

    def _counter(self, name: str, metric: CounterMetric) -> Number:
        asked = self._selector(name, metric.counter)
        if asked.asks_only(job="function"):
            if asked.name == _BUSY:
                return lambda counts: counts.busy
            if asked.name == _CPU:
                return lambda counts: np.where(np.isnan(counts.busy), np.nan, counts.cpu_seconds)
        if asked.name in _GATEWAY_COUNTERS and asked.asks_only(**self._own):
            return _GATEWAY_COUNTERS[asked.name]
        if asked.asks_only(**self._own, code=None):
            codes = _places(asked)
            if asked.name in _CALLS:
                return lambda counts: counts.durations[:, codes].sum(axis=(1, 2))
            if asked.name == f"{_HISTOGRAM}_sum":
                return lambda counts: _sum(counts.code_seconds, codes)
        bucket = asked.bucket(BUCKETS_S)
        if (
            asked.name == f"{_HISTOGRAM}_bucket"
            and bucket is not None
            and asked.asks_only(**self._own, code=None, le=None)
        ):
            codes = _places(asked)
            return lambda counts: counts.durations[:, codes, : bucket + 1].sum(axis=(1, 2))
        raise self._unknown(name, f" {metric.counter} is none of its counters.")

    def _quantile(self, name: str, metric: HistogramMetric) -> Number:
        asked = self._selector(name, metric.histogram)
        if asked.name != _HISTOGRAM or not asked.asks_only(**self._own, code=None):
            raise self._unknown(name, f" {metric.histogram} is none of its histograms.")
        codes = _places(asked)
        starved = np.nan
        if metric.starved == "high":
            observed = self._definition.observations
            starved = next(entry.high for entry in observed if entry.metric == name)

        def number(counts: Counts) -> Column:
            rising = counts.durations[:, codes].sum(axis=1).cumsum(axis=1)
            quantiles = [
                quantile_of_rising(metric.quantile, BUCKETS_S, row) if row[-1] else np.nan
                for row in rising.tolist()
            ]
            ended = counts.durations.sum(axis=(1, 2)) > 0
            return np.where((rising[:, -1] == 0) & ended, starved, quantiles)

        return number

    def _selector(self, name: str, text: str) -> Selector:
        asked = Selector.parse(text)
        if asked is None:
            raise self._unknown(name, f" {text} is no bare selector with = and =~ only.")
        return asked

    def _unknown_gauge(self, name: str) -> DefinitionError:
        return self._unknown(name, did_you_mean(name, sorted({*_GAUGES, *_GAUGES_BY_REPLICA})))

    def _unknown(self, name: str, hint: str = "") -> DefinitionError:
        return DefinitionError(
            f"{self._definition.id}: the faas simulator has no metric {name!r}.{hint}"
        )


def _places(asked: Selector) -> list[int]:
    return [place for place, code in enumerate(CODES) if asked.takes("code", code)]


def _sum(rows: Column, columns: list[int]) -> Column:
    """Of some columns, one after the other: the same in a batch of any size."""
    total = np.zeros(len(rows))
    for column in columns:
        total += rows[:, column]
    return total


def _per(seconds: Column) -> Column:
    """At a reset nothing has grown, in no time."""
    return np.where(seconds > 0, seconds, 1.0)


def _of_replicas(counts: Counts, value: float) -> Column:
    """What each replica tells, where there is one."""
    return np.where(counts.existing > 0, value, np.nan)
