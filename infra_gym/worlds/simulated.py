"""The simulated world: the web app's twin under the very schedule that a live world would send."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from infra_gym.definitions.models import Definition, FormulaMetric, HistogramMetric, Metric
from infra_gym.errors import DefinitionError, MetricsError, NotReadyError, did_you_mean
from infra_gym.metrics import quantile
from infra_gym.simulators.webapp import BUCKETS_S, Counts, WebApp
from infra_gym.workloads import Workload, arrival_schedule
from infra_gym.worlds.base import Reading, ResetMode

# Failures that come back at once are no latencies: see the definition's latency metrics.
_TIMED_CODES = ("200", "timeout")


@dataclass(frozen=True)
class Interval:
    """What the twin counted in one interval, and the objective it is held to."""

    counts: Counts
    seconds: float
    slo_latency_s: float


_VALUES: dict[str, Callable[[Interval], float]] = {
    "requests": lambda one: sum(one.counts.requests.values()),
    "ok": lambda one: one.counts.requests["200"],
    "within_slo": lambda one: one.counts.within(one.slo_latency_s),
    "request_rate": lambda one: _rate(sum(one.counts.requests.values()), one.seconds),
    "backlog": lambda one: one.counts.in_flight,
    "existing": lambda one: len(one.counts.ready),
    "ready": lambda one: sum(one.counts.ready.values()),
    "busy": lambda one: _rate(sum(one.counts.busy_s.values()), one.seconds),
}
_BY_REPLICA: dict[str, Callable[[Interval], dict[str, float]]] = {
    "replica_utilisation": lambda one: {
        name: _rate(busy, one.seconds)
        for name, busy in one.counts.busy_s.items()
        if name in one.counts.ready and one.seconds > 0
    },
    "replica_ready": lambda one: {name: float(up) for name, up in one.counts.ready.items()},
    "replica_started": lambda one: dict(one.counts.started_s),
}
# The interval at reset is empty; these are what the declared `empty` of a live reading covers.
_EMPTY_WITHOUT_TIME = ("request_rate", "busy")


class SimulatedWorld:
    """The twin of a definition whose simulator is ``webapp``.

    It knows the metrics by name: those of ``_VALUES`` and ``_BY_REPLICA``, and any quantile of the
    latency. The heater's and siege engine's inputs are the definition's own literals.

    Args:
        definition: The environment.
        workload: The load.
        interval_s: Seconds of a step.
        time_scale: Modelled seconds in one second.

    Raises:
        DefinitionError: Another simulator, or a control or metric that the twin does not have.
    """

    def __init__(
        self, definition: Definition, *, workload: Workload, interval_s: float, time_scale: float
    ) -> None:
        if definition.simulator is None:
            raise DefinitionError(
                f"{definition.id} has no simulator, which the target sim and a dry run need"
            )
        if definition.simulator != "webapp":
            raise DefinitionError(
                f"{definition.id}: there is no simulator {definition.simulator!r}; known: webapp"
            )
        self._definition = definition
        self._workload = workload
        self._interval_s = interval_s
        self._time_scale = time_scale
        self._metrics = _known_metrics(definition)
        self._replicas = _only_control(definition)
        self._bounds = {entry.metric: entry.high for entry in definition.observations}
        self._app: WebApp | None = None
        self._tick = 0

    def reset(self, seed: int, controls: Mapping[str, int], mode: ResetMode) -> Reading:  # noqa: ARG002
        """All modes are alike: the twin starts anew with every replica ready."""
        schedule = arrival_schedule(
            self._workload,
            seconds=(self._definition.max_episode_steps + 2) * self._interval_s,
            time_scale=self._time_scale,
            seed=seed,
        )
        heater = self._definition.inputs_of("local/heater")
        siege = self._definition.inputs_of("local/siege-engine")
        self._app = WebApp(
            schedule.times,
            replicas=controls[self._replicas],
            schedule_s=schedule.seconds,
            seed=seed,
            **{name: heater[name] for name in _HEATER_INPUTS if name in heater},
            **{name: siege[name] for name in _SIEGE_INPUTS if name in siege},
        )
        self._tick = 0
        reading = self._reading(self._app.advance(0.0, controls[self._replicas]))
        return replace(reading, notes={**reading.notes, "schedule_sha256": schedule.sha256})

    def step(self, controls: Mapping[str, int]) -> Reading:
        """One interval.

        Raises:
            NotReadyError: ``reset`` was not called.
        """
        if self._app is None:
            raise NotReadyError("step before reset", next_command="call env.reset() first")
        self._tick += 1
        until_s = self._tick * self._interval_s
        return self._reading(self._app.advance(until_s, controls[self._replicas]))

    def close(self, *, keep: bool = False) -> None:  # noqa: ARG002
        """Nothing was made."""
        self._app = None

    def _reading(self, counts: Counts) -> Reading:
        seconds = counts.until_s - counts.since_s
        interval = Interval(counts, seconds, self._definition.slo.latency_s)
        values: dict[str, float] = {}
        by_label: dict[str, Mapping[str, float]] = {}
        empty = set()
        for name, metric in self._metrics.items():
            if metric.by is not None:
                by_label[name] = _BY_REPLICA[name](interval)
                continue
            value = self._value(name, metric, interval)
            if value is None:
                empty.add(name)
                value = _empty_value(name, metric)
            values[name] = value
        return Reading(
            tick=self._tick,
            seconds=seconds,
            time_s=counts.until_s * self._time_scale,
            values=values,
            by_label=by_label,
            empty=frozenset(empty),
            notes={"seconds": {"apply": 0.0, "sample": 0.0}, "pending": [], "mismatch": {}},
        )

    def _value(self, name: str, metric: Metric, interval: Interval) -> float | None:
        """The metric's number; ``None`` where there was nothing to measure."""
        if isinstance(metric, HistogramMetric):
            return self._quantile(name, metric, interval.counts)
        if interval.seconds == 0 and name in _EMPTY_WITHOUT_TIME:
            return None
        return float(_VALUES[name](interval))

    def _quantile(self, name: str, metric: HistogramMetric, counts: Counts) -> float | None:
        per_bucket = [
            sum(numbers)
            for numbers in zip(*(counts.latencies[code] for code in _TIMED_CODES), strict=True)
        ]
        if sum(per_bucket) == 0:
            starved = metric.starved == "high" and sum(counts.requests.values()) > 0
            return self._bounds[name] if starved else None
        cumulative, total = {}, 0
        for bound, number in zip(BUCKETS_S, per_bucket, strict=True):
            total += number
            cumulative[bound] = float(total)
        return quantile(metric.quantile, cumulative)


_TIMED = 'siege_request_duration_seconds{code=~"200|timeout"}'
_HEATER_INPUTS = ("slots", "service_time_s", "queue_limit")
_SIEGE_INPUTS = ("timeout_s", "max_in_flight")


def _only_control(definition: Definition) -> str:
    names = [name for name in definition.controls if name not in definition.replica_controls[:1]]
    if names:
        raise DefinitionError(
            f"{definition.id}: the webapp simulator has one control, the input `replicas`, "
            f"and cannot act on {', '.join(names)}"
        )
    return definition.replica_controls[0]


def _known_metrics(definition: Definition) -> dict[str, Metric]:
    metrics: dict[str, Metric] = {
        name: metric
        for name, metric in definition.metrics.items()
        if not isinstance(metric, FormulaMetric)
    }
    for name, metric in metrics.items():
        known = _BY_REPLICA if metric.by is not None else _VALUES
        if name not in known and not isinstance(metric, HistogramMetric):
            raise DefinitionError(
                f"{definition.id}: the webapp simulator has no metric {name!r}."
                f"{did_you_mean(name, sorted(known))}"
            )
        if isinstance(metric, HistogramMetric) and metric.histogram != _TIMED:
            raise DefinitionError(
                f"{definition.id}: the webapp simulator has one histogram, {_TIMED}, "
                f"and {name} asks for {metric.histogram}"
            )
    return metrics


def _empty_value(name: str, metric: Metric) -> float:
    if metric.empty is None:
        raise MetricsError(
            f"metric {name} has nothing to measure",
            next_command=f"give {name} an `empty:` value in the definition",
        )
    return metric.empty


def _rate(amount: float, seconds: float) -> float:
    return amount / seconds if seconds > 0 else 0.0
