"""Readings against the fake Prometheus: what counts, what is empty, what is an error."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from infra_gym.definitions.models import Metric
from infra_gym.errors import (
    MetricsError,
    NotReadyError,
    PrometheusUnavailableError,
    StaleMetricsError,
)
from infra_gym.metrics import Measured, MetricsReader, Prometheus
from infra_gym.testing import FakePrometheus

T0 = 1_000_000.0
METRIC: TypeAdapter[Metric] = TypeAdapter(Metric)


class Bench:
    """A fake and readers of it."""

    def __init__(self, fake: FakePrometheus) -> None:
        self.fake = fake
        self.prometheus = Prometheus(fake.url)

    def reader(self, bounds: dict[str, float] | None = None, **metrics: dict[str, Any]):
        return MetricsReader(
            self.prometheus,
            {name: METRIC.validate_python(metric) for name, metric in metrics.items()},
            scrape_interval_s=1.0,
            bounds=bounds or {},
        )

    def scrape(self, at: float, **values: float) -> None:
        """Samples of the sender: ``ok`` and ``failed`` requests, ``fast`` ones among the ok."""
        base = {"job": "sender", "instance": "s:1"}
        for code, name in (("200", "ok"), ("503", "failed")):
            count = values.get(name, 0)
            buckets = {"0.1": values.get("fast", 0) if code == "200" else 0, "1": count}
            self.fake.set("requests_total", {**base, "code": code}, count, at)
            self.fake.set("latency_count", {**base, "code": code}, count, at)
            for le, number in {**buckets, "+Inf": count}.items():
                self.fake.set("latency_bucket", {**base, "code": code, "le": le}, number, at)

    def one_step(self, reader: MetricsReader) -> Measured:
        self.scrape(T0 - 0.5, ok=1000, failed=10, fast=900)
        reader.baseline(T0)
        self.scrape(T0 + 2.5, ok=1050, failed=10, fast=940)
        self.scrape(T0 + 4.5, ok=1100, failed=10, fast=980)
        return reader.read(T0 + 5)


@pytest.fixture
def bench():
    with FakePrometheus() as fake:
        bench = Bench(fake)
        yield bench
        bench.prometheus.close()


def test_a_step(bench) -> None:
    bench.fake.answer("sum(in_flight)", 3)
    measured = bench.one_step(
        bench.reader(
            requests={"counter": "requests_total"},
            ok={"counter": 'requests_total{code="200"}'},
            rate={"counter": "requests_total", "rate": True},
            within={"counter": 'latency_bucket{code=~"2..", le="0.1"}'},
            by_code={"counter": "requests_total", "by": "code"},
            p50={"histogram": 'latency{code="200"}', "quantile": 0.5},
            backlog={"gauge": "sum(in_flight)"},
            share={"formula": "ok / requests"},
        )
    )
    assert measured.values == pytest.approx(
        {"requests": 100, "ok": 100, "rate": 20, "within": 80, "p50": 0.0625, "backlog": 3}
    )
    assert measured.by_label == {"by_code": {"200": 100.0, "503": 0.0}}
    assert measured.empty == frozenset()
    assert measured.vanished == ()
    assert measured.sample_age_s == pytest.approx(0.5)


def test_every_selector_is_asked_once_a_reading(bench) -> None:
    reader = bench.reader(
        requests={"counter": "requests_total"},
        rate={"counter": "requests_total", "rate": True},
        p50={"histogram": "latency", "quantile": 0.5},
        p95={"histogram": "latency", "quantile": 0.95},
    )
    bench.one_step(reader)
    assert len(bench.fake.queries) == 2 * 3
    assert len(set(bench.fake.queries)) == 2 * 3  # the baseline looks further back


def test_late_samples_are_counted_in_the_next_step(bench) -> None:
    reader = bench.reader(requests={"counter": "requests_total"})
    bench.one_step(reader)
    bench.scrape(T0 + 4.9, ok=1101, failed=10)
    bench.scrape(T0 + 9.9, ok=1150, failed=10)
    assert reader.read(T0 + 10).values["requests"] == 50


def test_starved(bench) -> None:
    """Requests were sent and none was answered: the bound, not an empty step's value."""
    reader = bench.reader(
        p95={
            "histogram": 'latency{code="200"}',
            "quantile": 0.95,
            "empty": 0,
            "starved": "high",
        },
        p50={"histogram": 'latency{code="200"}', "quantile": 0.5, "empty": 0},
        bounds={"p95": 5.0},
    )
    bench.scrape(T0, ok=1000, failed=10)
    reader.baseline(T0)
    bench.scrape(T0 + 4, ok=1000, failed=70)
    measured = reader.read(T0 + 5)
    assert measured.values == {"p95": 5.0, "p50": 0.0}
    assert measured.empty == {"p50"}
    bench.scrape(T0 + 9, ok=1000, failed=70)
    measured = reader.read(T0 + 10)
    assert measured.values == {"p95": 0.0, "p50": 0.0}
    assert measured.empty == {"p95", "p50"}


def test_nothing_new_is_an_error_or_what_empty_says(bench) -> None:
    strict = bench.reader(requests={"counter": "requests_total"})
    lenient = bench.reader(requests={"counter": "requests_total", "empty": 0})
    bench.scrape(T0 - 0.5, ok=7)
    strict.baseline(T0)
    lenient.baseline(T0)
    with pytest.raises(StaleMetricsError, match=r"metrics\.requests has nothing to measure"):
        strict.read(T0 + 5)
    measured = lenient.read(T0 + 5)
    assert (measured.values, measured.empty) == ({"requests": 0.0}, {"requests"})
    assert measured.vanished == ("sender/s:1",)


@pytest.mark.parametrize("fault", ["nan", "empty"])
def test_a_gauge_without_a_number_is_an_error_or_what_empty_says(bench, fault) -> None:
    bench.fake.answer("sum(in_flight)", 3)
    strict = bench.reader(backlog={"gauge": "sum(in_flight)"})
    lenient = bench.reader(backlog={"gauge": "sum(in_flight)", "empty": 0})
    strict.baseline(T0)
    lenient.baseline(T0)
    bench.fake.fault(fault)
    with pytest.raises(StaleMetricsError, match=r"metrics\.backlog"):
        strict.read(T0 + 5)
    assert lenient.read(T0 + 5).empty == {"backlog"}


def test_a_counter_that_is_not_a_number_is_always_an_error(bench) -> None:
    reader = bench.reader(requests={"counter": "requests_total", "empty": 0})
    bench.scrape(T0, ok=7)
    reader.baseline(T0)
    bench.scrape(T0 + 4, ok=9)
    bench.fake.fault("nan")
    with pytest.raises(MetricsError, match="which no counter has"):
        reader.read(T0 + 5)


def test_an_infinite_gauge_is_an_error(bench) -> None:
    bench.fake.answer("1 / 0", float("inf"))
    reader = bench.reader(load={"gauge": "1 / 0", "empty": 0})
    reader.baseline(T0)
    with pytest.raises(MetricsError, match=r"metrics\.load: 1 / 0 is inf"):
        reader.read(T0 + 5)


def test_a_gauge_by_label(bench) -> None:
    reader = bench.reader(ready={"gauge": "heater_ready", "by": "instance"})
    reader.baseline(T0)
    bench.fake.set("heater_ready", {"instance": "a"}, 1, T0 + 4)
    bench.fake.set("heater_ready", {"instance": "b"}, 0, T0 + 4)
    assert reader.read(T0 + 5).by_label == {"ready": {"a": 1.0, "b": 0.0}}
    bench.fake.vanish("heater_ready", {"instance": "a"}, T0 + 6)
    assert reader.read(T0 + 7).by_label == {"ready": {"b": 0.0}}
    bench.fake.set("heater_ready", {"instance": "b", "zone": "2"}, 1, T0 + 8)
    with pytest.raises(MetricsError, match="several series with instance='b'"):
        reader.read(T0 + 9)


def test_many_series_are_not_one_gauge(bench) -> None:
    reader = bench.reader(ready={"gauge": "heater_ready", "empty": 0})
    reader.baseline(T0)
    for instance in "ab":
        bench.fake.set("heater_ready", {"instance": instance}, 1, T0 + 4)
    with pytest.raises(MetricsError, match="has 2 series, not one"):
        reader.read(T0 + 5)


def test_a_label_that_is_missing_is_an_error(bench) -> None:
    reader = bench.reader(ready={"gauge": "heater_ready", "by": "pod"})
    reader.baseline(T0)
    bench.fake.set("heater_ready", {"instance": "a"}, 1, T0 + 4)
    with pytest.raises(MetricsError, match="has no label 'pod'"):
        reader.read(T0 + 5)


def test_replicas_that_come_and_go(bench) -> None:
    busy = "busy_seconds_total"
    reader = bench.reader(
        busy={"counter": busy, "rate": True},
        each={"counter": busy, "rate": True, "by": "instance"},
    )
    for instance in "ab":
        bench.fake.set(busy, {"job": "heater", "instance": instance}, 10.0, T0)
    reader.baseline(T0)
    bench.fake.set(busy, {"job": "heater", "instance": "a"}, 12.0, T0 + 1)
    for second in range(1, 11):
        bench.fake.set(busy, {"job": "heater", "instance": "b"}, 10 + second / 2, T0 + second)
    for second in (8, 9, 10):
        bench.fake.set(busy, {"job": "heater", "instance": "c"}, second - 7.5, T0 + second)
    measured = reader.read(T0 + 10)
    assert measured.vanished == ("heater/a",)
    assert measured.by_label["each"] == pytest.approx({"a": 2.0, "b": 0.5, "c": 1.0})
    assert measured.values["busy"] == pytest.approx(2.0 + 0.5 + 2.5 / 10)


def test_a_failed_reading_can_be_repeated(bench) -> None:
    reader = bench.reader(requests={"counter": "requests_total"})
    bench.scrape(T0, ok=7)
    reader.baseline(T0)
    bench.scrape(T0 + 4, ok=9)
    bench.fake.fault("status", 503)
    with pytest.raises(PrometheusUnavailableError):
        reader.read(T0 + 5)
    bench.fake.heal()
    assert reader.read(T0 + 5).values == {"requests": 2.0}


def test_a_reading_that_failed_halfway_counts_nothing_twice_and_nothing_never(bench) -> None:
    reader = bench.reader(
        requests={"counter": "requests_total"}, backlog={"gauge": "sum(in_flight)"}
    )
    bench.scrape(T0, ok=7)
    reader.baseline(T0)
    bench.scrape(T0 + 4, ok=9)
    bench.fake.answer("sum(in_flight)", float("nan"))
    with pytest.raises(StaleMetricsError):
        reader.read(T0 + 5)
    bench.fake.answer("sum(in_flight)", 1)
    assert reader.read(T0 + 6).values == {"requests": 2.0, "backlog": 1.0}


def test_a_pause_is_no_time(bench) -> None:
    reader = bench.reader(
        requests={"counter": "requests_total"}, rate={"counter": "requests_total", "rate": True}
    )
    bench.one_step(reader)
    bench.scrape(T0 + 6, ok=1103)  # what was under way when the pause began
    reader.shift(60.0)
    bench.scrape(T0 + 69.5, ok=1160, failed=10)
    measured = reader.read(T0 + 70)
    assert measured.values == pytest.approx({"requests": 60 + 10, "rate": 70 / 5})
    bench.scrape(T0 + 74.5, ok=1170, failed=10)
    assert reader.read(T0 + 75).values == pytest.approx({"requests": 10, "rate": 2.0})


def test_a_baseline_comes_first(bench) -> None:
    with pytest.raises(NotReadyError, match="before a baseline"):
        bench.reader(requests={"counter": "requests_total"}).read(T0)


def test_time_goes_forward(bench) -> None:
    reader = bench.reader(requests={"counter": "requests_total"})
    reader.baseline(T0)
    with pytest.raises(ValueError, match="forward"):
        reader.read(T0)


class TestFreshness:
    """``await_fresh`` against scripted scrapes; time passes only when it sleeps."""

    @pytest.fixture
    def wait(self, bench):
        now = [0.0]

        def sleep(seconds: float) -> None:
            now[0] += seconds
            if now[0] > 0.5:  # by then a scrape of the lagging target has come
                bench.fake.set("up", {"job": "lag-gard", "instance": "l"}, 1, T0 - 0.2)

        def wait(at: Any, jobs: list[str], required: tuple[str, ...] = ()) -> float:
            return bench.reader().await_fresh(
                at, jobs, required=required, deadline_s=0.8, clock=lambda: now[0], sleep=sleep
            )

        for job, instance, value, at in (
            ("heater", "a", 1, T0 - 0.9),
            ("heater", "gone", 1, T0 - 5.0),
            ("heater", "gone", 0, T0 - 4.0),
            ("stopped", "s", 1, T0 - 3.0),
            ("lag-gard", "l", 1, T0 - 1.2),
        ):
            bench.fake.set("up", {"job": job, "instance": instance}, value, at)
        return wait

    def test_fresh_at_once(self, wait) -> None:
        assert wait(T0, ["heater"]) == 0

    def test_a_late_scrape_is_waited_for(self, wait) -> None:
        assert 0.5 <= wait(T0, ["heater", "lag-gard"]) < 1

    def test_a_target_that_stopped_is_named(self, wait) -> None:
        with pytest.raises(StaleMetricsError, match=r"stopped/s was last scraped 3\.0 s before"):
            wait(T0, ["heater", "stopped"])

    def test_a_target_that_prometheus_let_go_is_not_waited_for(self, bench, wait) -> None:
        bench.fake.vanish("up", {"job": "stopped", "instance": "s"}, T0 - 0.5)
        assert wait(T0, ["heater", "stopped"]) == 0

    def test_a_required_job_must_be_up(self, wait) -> None:
        with pytest.raises(StaleMetricsError, match="no target of job sender is up"):
            wait(T0, ["heater"], required=("sender",))

    def test_time_may_go_on_meanwhile(self, bench, wait) -> None:
        looks = iter([T0, T0 + 0.5, T0 + 1])
        bench.fake.set("up", {"job": "sender", "instance": "b"}, 1, T0 + 0.9)
        assert wait(lambda: next(looks), [], required=("sender",)) == pytest.approx(0.1)
