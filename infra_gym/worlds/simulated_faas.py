"""The simulated world of a function: its gateway and replicas under the schedule of a live load.

Counters and histograms go by their selector, so that the simulator answers what a live Prometheus
would be asked. A gauge is an expression, which only Prometheus can evaluate: it goes by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from infra_gym.definitions.models import (
    CounterMetric,
    Definition,
    FormulaMetric,
    GaugeMetric,
    HistogramMetric,
    Metric,
)
from infra_gym.errors import DefinitionError, MetricsError, NotReadyError, did_you_mean
from infra_gym.metrics import quantile
from infra_gym.simulators.faas import BUCKETS_S, CODES, Rules
from infra_gym.simulators.faas_reading import MIB, Counts, Function, cumulative
from infra_gym.workloads import Workload, arrival_schedule
from infra_gym.worlds.base import Reading, ResetMode
from infra_gym.worlds.replica_control import replica_control

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


class SimulatedFaas:
    """The simulator of a definition whose simulator is ``faas``.

    Args:
        definition: The environment.
        workload: The load.
        interval_s: Seconds of a step.
        time_scale: Modelled seconds in one second.

    Raises:
        DefinitionError: A control or metric that the simulator does not have.
    """

    def __init__(
        self, definition: Definition, *, workload: Workload, interval_s: float, time_scale: float
    ) -> None:
        self._definition = definition
        self._workload = workload
        self._interval_s = interval_s
        self._time_scale = time_scale
        self._scenario = Scenario.of(definition)
        self._replicas = replica_control(definition)
        self._most = definition.controls[self._replicas].high
        self._metrics = FaasMetrics(definition, self._scenario)
        self._function: Function | None = None
        self._tick = 0

    def reset(self, seed: int, controls: Mapping[str, int], mode: ResetMode) -> Reading:  # noqa: ARG002
        """All modes are alike: everything begins anew with every replica ready."""
        schedule = arrival_schedule(
            self._workload,
            seconds=(self._definition.max_episode_steps + 2) * self._interval_s,
            time_scale=self._time_scale,
            seed=seed,
        )
        self._function = Function(
            self._scenario.rules,
            schedule.times,
            replicas=controls[self._replicas],
            max_replicas=self._most,
            schedule_s=schedule.seconds,
            seed=seed,
        )
        self._tick = 0
        reading = self._reading(self._function.advance(0.0, controls[self._replicas]))
        return replace(reading, notes={**reading.notes, "schedule_sha256": schedule.sha256})

    def step(self, controls: Mapping[str, int]) -> Reading:
        """One interval.

        Raises:
            NotReadyError: ``reset`` was not called.
        """
        if self._function is None:
            raise NotReadyError("step before reset", next_command="call env.reset() first")
        self._tick += 1
        until_s = self._tick * self._interval_s
        return self._reading(self._function.advance(until_s, controls[self._replicas]))

    def close(self, *, keep: bool = False) -> None:  # noqa: ARG002
        """Nothing was made."""
        self._function = None

    def _reading(self, counts: Counts) -> Reading:
        values, by_label, empty = self._metrics.values(counts)
        return Reading(
            tick=self._tick,
            seconds=counts.until_s - counts.since_s,
            time_s=counts.until_s * self._time_scale,
            values=values,
            by_label=by_label,
            empty=empty,
            notes={"seconds": {"apply": 0.0, "sample": 0.0}, "pending": [], "mismatch": {}},
        )


_Answer = float | dict[str, float] | None

_GAUGES: dict[str, Callable[[Counts, Scenario], float | None]] = {
    "backlog": lambda counts, _: counts.in_flight,
    "existing": lambda counts, _: len(counts.ready),
    "ready": lambda counts, _: sum(counts.ready.values()),
    "held": lambda counts, _: counts.held,
    "cpu_request": lambda counts, scenario: scenario.cpu_request if counts.ready else None,
    "memory_request": lambda counts, scenario: scenario.memory_request if counts.ready else None,
    "memory_bytes": lambda counts, _: counts.memory_bytes,
}
_GAUGES_BY_REPLICA: dict[str, Callable[[Counts], dict[str, float]]] = {
    "replica_ready": lambda counts: {name: float(up) for name, up in counts.ready.items()},
    "replica_started": lambda counts: dict(counts.started_s),
}
_GATEWAY_COUNTERS: dict[str, Callable[[Counts], float]] = {
    "gateway_function_invocation_started": lambda counts: counts.started,
    "gateway_function_inflight_seconds_total": lambda counts: counts.inflight_seconds,
    "gateway_function_cold_starts_total": lambda counts: counts.cold_starts,
    "gateway_function_cold_start_seconds_total": lambda counts: counts.cold_start_seconds,
}
_BY_CODE: dict[str, Callable[[Counts, str], float]] = {
    "gateway_function_invocation_total": lambda counts, code: counts.ended[code],
    "gateway_functions_seconds_count": lambda counts, code: counts.ended[code],
    "gateway_functions_seconds_sum": lambda counts, code: counts.seconds[code],
}
_HISTOGRAM = "gateway_functions_seconds"
_BUSY = "function_busy_seconds_total"
_CPU = "process_cpu_seconds_total"

_SELECTOR = re.compile(r"\s*([a-zA-Z_:][\w:]*)\s*(?:\{(.*)\}\s*)?", re.DOTALL)
_MATCHER = re.compile(r'\s*(\w+)\s*(=~?)\s*"([^"]*)"\s*(?:,|$)')


@dataclass(frozen=True)
class FaasMetrics:
    """Numbers for every metric of a definition that is no formula.

    Raises:
        DefinitionError: A metric that the simulator does not have.
    """

    definition: Definition
    scenario: Scenario

    def __post_init__(self) -> None:
        nobody = Function(self.scenario.rules, np.empty(0), replicas=0, max_replicas=1)
        nothing = nobody.advance(0.0, 0)
        for name, metric in self._measured():
            self._answer(name, metric, nothing)

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
            answer = self._answer(name, metric, counts)
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

    def _measured(self) -> Iterator[tuple[str, Metric]]:
        for name, metric in self.definition.metrics.items():
            if not isinstance(metric, FormulaMetric):
                yield name, metric

    def _answer(self, name: str, metric: Metric, counts: Counts) -> _Answer:
        if isinstance(metric, GaugeMetric):
            return self._gauge(name, metric, counts)
        if isinstance(metric, HistogramMetric):
            return self._quantile(name, metric, counts)
        if isinstance(metric, CounterMetric):
            return self._counter(name, metric, counts)
        raise self._unknown(name)

    def _gauge(self, name: str, metric: GaugeMetric, counts: Counts) -> _Answer:
        if metric.by is not None and name in _GAUGES_BY_REPLICA:
            return _GAUGES_BY_REPLICA[name](counts)
        if metric.by is None and name in _GAUGES:
            return _GAUGES[name](counts, self.scenario)
        raise self._unknown(name, did_you_mean(name, sorted({*_GAUGES, *_GAUGES_BY_REPLICA})))

    def _counter(self, name: str, metric: CounterMetric, counts: Counts) -> _Answer:
        asked = _Selector.parse(metric.counter)
        if asked is None or (metric.by is not None and asked.name != _BUSY):
            raise self._unknown(name, f" {metric.counter} is none of its counters.")
        # At a reset nothing has grown, in no time.
        per = (counts.until_s - counts.since_s or 1.0) if metric.rate else 1.0
        if asked.name == _BUSY and asked.only(job="function"):
            busy = {replica: worked / per for replica, worked in counts.busy_s.items()}
            return (sum(busy.values()) if busy else None) if metric.by is None else busy
        if asked.name == _CPU and asked.only(job="function"):
            return counts.cpu_seconds / per if counts.busy_s else None
        grown = self._gateway_counter(asked, counts)
        if grown is None:
            raise self._unknown(name, f" {metric.counter} is none of its counters.")
        return grown / per

    def _gateway_counter(self, asked: _Selector, counts: Counts) -> float | None:
        own = {"job": "gateway", "function_name": self.scenario.function_name}
        if asked.name in _GATEWAY_COUNTERS and asked.only(**own):
            return _GATEWAY_COUNTERS[asked.name](counts)
        codes = [code for code in CODES if asked.matches("code", code)]
        if asked.name in _BY_CODE and asked.only(**own, code=None):
            return sum(_BY_CODE[asked.name](counts, code) for code in codes)
        if asked.name == f"{_HISTOGRAM}_bucket" and asked.only(**own, code=None, le=None):
            bounds = [bound for bound in BUCKETS_S if asked.matches("le", f"{bound:g}")]
            if len(bounds) == 1:
                return sum(cumulative(counts.durations[code])[bounds[0]] for code in codes)
        return None

    def _quantile(self, name: str, metric: HistogramMetric, counts: Counts) -> float | None:
        asked = _Selector.parse(metric.histogram)
        own = {"job": "gateway", "function_name": self.scenario.function_name}
        if (
            asked is None
            or asked.name != _HISTOGRAM
            or not asked.only(**own, code=None)
            or metric.by is not None
        ):
            raise self._unknown(name, f" {metric.histogram} is none of its histograms.")
        rows = [counts.durations[code] for code in CODES if asked.matches("code", code)]
        total = tuple(sum(column) for column in zip(*rows, strict=True))
        if sum(total) > 0:
            return quantile(metric.quantile, cumulative(total))
        if metric.starved == "high" and sum(counts.ended.values()) > 0:
            return next(e.high for e in self.definition.observations if e.metric == name)
        return None

    def _unknown(self, name: str, hint: str = "") -> DefinitionError:
        return DefinitionError(
            f"{self.definition.id}: the faas simulator has no metric {name!r}.{hint}"
        )


@dataclass(frozen=True)
class _Selector:
    """A bare selector: a name, and for each label its operator and value."""

    name: str
    labels: Mapping[str, tuple[str, str]]

    @classmethod
    def parse(cls, text: str) -> _Selector | None:
        """``None`` where it has other matchers than ``=`` and ``=~``."""
        match = _SELECTOR.fullmatch(text)
        if match is None:
            return None
        labels, rest = {}, match[2] or ""
        while rest.strip():
            matcher = _MATCHER.match(rest)
            if matcher is None:
                return None
            labels[matcher[1]] = (matcher[2], matcher[3])
            rest = rest[matcher.end() :]
        return cls(match[1], labels)

    def matches(self, label: str, value: str) -> bool:
        """Whether a series with this value is asked for."""
        operator, wanted = self.labels.get(label, ("=", value))
        if operator == "=~":
            return re.fullmatch(wanted, value) is not None
        return value == wanted

    def only(self, **known: str | None) -> bool:
        """Whether it asks by these labels only, and each that has a value for just that."""
        return self.labels.keys() <= known.keys() and all(
            value is None or self.matches(label, value) for label, value in known.items()
        )
