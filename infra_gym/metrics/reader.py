"""The metrics of a step, read from Prometheus as the environment's definition says.

One reading asks every distinct selector and expression once, all at the same time, and turns the
answers into numbers: counters and histograms into what grew since the last reading, gauges into
their value at the step's end. Where there is nothing to measure, the metric's own ``empty`` is the
value and its name is listed; a metric without one is an error. Formulas are the task's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from infra_gym.definitions.models import CounterMetric, GaugeMetric, HistogramMetric, Metric
from infra_gym.errors import NotReadyError, StaleMetricsError
from infra_gym.metrics.prometheus import Prometheus, Series, range_of
from infra_gym.metrics.readings import Counters, Growth
from infra_gym.metrics.values import Values

POLL_S = 0.05
# A sample may become visible after its own time: a scrape is stored when its last byte has come.
LOOKBACK_S = 10.0
# As far back as Prometheus itself looks, so that a target which is only out of reach at the
# baseline does not come back as if all that it ever counted were new.
BASELINE_WINDOW_S = 300.0
# A series without a sample for so many scrapes has vanished; one scrape may be lost.
SCRAPES_TO_VANISH = 3

Answers = dict[str, list[Series]]


@dataclass(frozen=True)
class Measured:
    """One values."""

    values: dict[str, float]
    """Every metric with one value."""
    by_label: dict[str, dict[str, float]]
    """Every metric with ``by``: a number for each value of the label that has one."""
    empty: frozenset[str]
    """The metrics that had nothing to measure: their values are what ``empty`` declares."""
    vanished: tuple[str, ...]
    """The targets (``job/instance``) of series that were there before and are no more."""
    sample_age_s: float
    """The greatest age, at the reading's time, of the last samples of the series still there."""


class MetricsReader:
    """Reads a definition's metrics, step after step.

    Args:
        prometheus: Where to read.
        metrics: By name; formulas among them are left to the task.
        scrape_interval_s: How often Prometheus scrapes the targets, in seconds.
        bounds: The upper bound of each histogram's observation, for those with ``starved: high``.
    """

    def __init__(
        self,
        prometheus: Prometheus,
        metrics: Mapping[str, Metric],
        *,
        scrape_interval_s: float,
        bounds: Mapping[str, float],
    ) -> None:
        self._prometheus = prometheus
        self._scrape_interval_s = scrape_interval_s
        self._lookback_s = max(LOOKBACK_S, SCRAPES_TO_VANISH * scrape_interval_s)
        self._counters = {n: m for n, m in metrics.items() if isinstance(m, CounterMetric)}
        self._histograms = {n: m for n, m in metrics.items() if isinstance(m, HistogramMetric)}
        self._gauges = {n: m for n, m in metrics.items() if isinstance(m, GaugeMetric)}
        self._bounds = {n: bounds[n] for n, m in self._histograms.items() if m.starved}
        self._selectors = {selector: Counters() for selector in self._all_selectors()}
        self._last: float | None = None
        self._paused_s = 0.0

    def baseline(self, at: float) -> None:
        """Begin here: the next reading tells what grew since ``at`` (Prometheus's clock)."""
        ranged, _ = self._ask(at, BASELINE_WINDOW_S, gauges={})
        self._move_to(at, ranged)

    def shift(self, seconds: float) -> None:
        """Leave a pause out of the next reading's rates: nothing was sent for so many seconds."""
        self._paused_s += seconds

    def read(self, at: float) -> Measured:
        """What grew since the last reading, and the gauges at ``at`` (Prometheus's clock).

        Raises:
            NotReadyError: There was no baseline.
            StaleMetricsError: A metric without ``empty`` has no new sample.
            MetricsError: A metric is nothing that can be measured: NaN, infinite, or many values
                where one is needed.
            PrometheusUnavailableError: Prometheus is down, slow, cut off or answers nonsense.
        """
        if self._last is None:
            raise NotReadyError("Metrics were read before a baseline was taken: reset first.")
        window_s = at - self._last + self._lookback_s
        step_s = at - self._last - self._paused_s
        if step_s <= 0:
            raise ValueError(f"readings must go forward, not from {self._last} to {at}")
        ranged, instants = self._ask(at, window_s, gauges=self._gauges)
        growths = {
            selector: counters.growths(ranged[selector], step_s=step_s, paused_s=self._paused_s)
            for selector, counters in self._selectors.items()
        }
        values = self._values(growths, instants)
        # Only a reading that succeeded moves the bases: after an error it may be repeated.
        vanished, sample_age_s = self._move_to(at, ranged)
        return Measured(
            values=values.single,
            by_label=values.by_label,
            empty=frozenset(values.empty),
            vanished=vanished,
            sample_age_s=sample_age_s,
        )

    def await_fresh(
        self,
        at: float | Callable[[], float],
        jobs: Sequence[str],
        *,
        deadline_s: float,
        required: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> float:
        """Wait until, at ``at``, every target that is up has a sample of the last scrape interval.

        From then on no scrape of a time before ``at`` is under way, so that all queries of a
        reading see the same samples. A scrape that was late, and so came after ``at``, tells as
        much.

        Args:
            at: The time that will be read at (Prometheus's clock), not in the future. A function
                is asked again at every look, for waiting until targets come up.
            jobs: Whose targets. One whose last scrape failed (``up`` 0) is not waited for.
            deadline_s: Seconds to wait at most.
            required: The jobs of which at least one target must be up, such as the load's sender.
            clock: Gives seconds, for the deadline.
            sleep: Waits a number of seconds.

        Returns:
            Seconds waited.

        Raises:
            StaleMetricsError: The deadline passed; names the stale targets and the absent jobs.
            PrometheusUnavailableError: As for any query.
        """
        either = "|".join(re.escape(job) for job in [*jobs, *required]).replace("\\", "\\\\")
        selector = f'up{{job=~"{either}"}}'
        started = clock()
        while True:
            moment = at() if callable(at) else at
            now = moment + clock() - started
            late = self._not_fresh(self._targets(selector, now), moment, required)
            if not late:
                return clock() - started
            if clock() - started >= deadline_s:
                raise StaleMetricsError(
                    f"No fresh samples within {deadline_s:g} s: {'; '.join(late)}.",
                    next_command=f"look at {self._prometheus.url}/targets",
                )
            sleep(POLL_S)

    def _targets(self, selector: str, at: float) -> list[Series]:
        """The targets with a recent sample, without those that Prometheus has let go.

        A pod that was scaled away leaves a last ``up`` of 1; the instant query knows that the
        series has ended.
        """
        window = range_of(selector, self._lookback_s)
        recent, there = self._prometheus.all_of([window, selector], at)
        known = {frozenset(one.labels.items()) for one in there}
        return [one for one in recent if frozenset(one.labels.items()) in known]

    def _not_fresh(
        self, targets: Sequence[Series], at: float, required: Iterable[str]
    ) -> list[str]:
        up = [target for target in targets if target.value == 1]
        absent = set(required) - {target.labels.get("job", "") for target in up}
        return [f"no target of job {job} is up" for job in sorted(absent)] + [
            f"{_target_name(target.labels)} was last scraped {at - target.time:.1f} s before"
            for target in up
            if target.time <= at - self._scrape_interval_s
        ]

    def _ask(
        self, at: float, window_s: float, gauges: Mapping[str, GaugeMetric]
    ) -> tuple[Answers, Answers]:
        """The samples of every selector in a window before ``at``, and every gauge at ``at``."""
        expressions = list(dict.fromkeys(gauge.gauge for gauge in gauges.values()))
        ranges = [range_of(selector, window_s) for selector in self._selectors]
        answers = self._prometheus.all_of([*ranges, *expressions], at)
        asked = [*self._selectors, *expressions]
        pairs = list(zip(asked, answers, strict=True))
        return dict(pairs[: len(ranges)]), dict(pairs[len(ranges) :])

    def _values(self, growths: Mapping[str, Sequence[Growth]], instants: Answers) -> Values:
        values = Values()
        for name, counter in self._counters.items():
            values.counter(name, counter, growths[counter.counter])
        for name, histogram in self._histograms.items():
            buckets = growths[_bucket_selector(histogram)]
            counts = growths[_count_selector(histogram)]
            values.histogram(name, histogram, buckets, counts, self._bounds.get(name))
        for name, gauge in self._gauges.items():
            values.gauge(name, gauge, instants[gauge.gauge])
        return values

    def _move_to(self, at: float, ranged: Answers) -> tuple[tuple[str, ...], float]:
        """Make this reading the base of the next; tells what vanished, and the samples' age."""
        alive_since = at - SCRAPES_TO_VANISH * self._scrape_interval_s
        gone: set[str] = set()
        ages = [0.0]
        for selector, counters in self._selectors.items():
            series = ranged[selector]
            counters.rebase(series)
            gone.update(_target_name(labels) for labels in counters.vanished(series, alive_since))
            ages += [at - one.time for one in series if one.time > alive_since]
        self._last, self._paused_s = at, 0.0
        return tuple(sorted(gone)), max(ages)

    def _all_selectors(self) -> Iterable[str]:
        for counter in self._counters.values():
            yield counter.counter
        for histogram in self._histograms.values():
            yield _bucket_selector(histogram)
            yield _count_selector(histogram)


def _bucket_selector(metric: HistogramMetric) -> str:
    name, brace, matchers = metric.histogram.partition("{")
    return f"{name}_bucket{brace}{matchers}"


def _count_selector(metric: HistogramMetric) -> str:
    """All that the histogram counted, whatever the labels."""
    return metric.histogram.partition("{")[0] + "_count"


def _target_name(labels: Mapping[str, str]) -> str:
    if "job" in labels and "instance" in labels:
        return f"{labels['job']}/{labels['instance']}"
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
