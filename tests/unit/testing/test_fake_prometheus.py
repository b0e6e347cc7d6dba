from __future__ import annotations

import doctest
import math
from collections.abc import Iterator

import pytest

from infra_gym.errors import MetricsError, PrometheusUnavailableError
from infra_gym.metrics import Prometheus
from infra_gym.testing import fake_prometheus
from infra_gym.testing.fake_prometheus import FakePrometheus

NOW = 1_000_000.0


@pytest.fixture
def fake() -> Iterator[FakePrometheus]:
    with FakePrometheus() as server:
        yield server


@pytest.fixture
def prometheus(fake: FakePrometheus) -> Iterator[Prometheus]:
    client = Prometheus(fake.url)
    yield client
    client.close()


def test_its_example_is_true() -> None:
    globs = {"Prometheus": Prometheus, "FakePrometheus": FakePrometheus}
    result = doctest.testmod(fake_prometheus, extraglobs=globs)
    assert result.attempted > 0
    assert result.failed == 0


def test_an_instant_looks_back_five_minutes_and_no_further(fake, prometheus) -> None:
    fake.set("up", {}, 1, at=NOW)
    assert prometheus.instant("up", at=NOW - 0.001) == []
    assert prometheus.instant("up", at=NOW + 299)[0].value == 1
    assert prometheus.instant("up", at=NOW + 301) == []


def test_a_series_that_vanished_has_no_instant_but_keeps_its_samples(fake, prometheus) -> None:
    fake.set("up", {"job": "a"}, 1, at=NOW)
    fake.vanish("up", {"job": "a"}, at=NOW + 1)
    assert prometheus.instant("up", at=NOW + 2) == []
    assert prometheus.last_samples("up", NOW + 2, 10)[0].time == NOW


def test_matchers(fake, prometheus) -> None:
    for job in ('qu"ote', "comma,", "plain"):
        fake.set("up", {"job": job}, 1, at=NOW)

    def jobs(query: str) -> set[str]:
        return {one.labels["job"] for one in prometheus.instant(query, at=NOW)}

    assert jobs(r'up{job="qu\"ote"}') == {'qu"ote'}
    assert jobs('up{job="comma,", }') == {"comma,"}
    assert jobs('up{job=~"pl.*|nothing"}') == {"plain"}
    assert jobs('up{job=~"pl"}') == set()
    assert jobs('up{job!~"pl.*", job!="comma,"}') == {'qu"ote'}
    assert jobs('up{zone=""}') == {'qu"ote', "comma,", "plain"}


@pytest.mark.parametrize(
    "query", ["sum(up)", "up{job}", "up[5x]", "rate(up[5m])", 'up{job=~"("}', ""]
)
def test_what_it_cannot_evaluate_is_refused(fake, prometheus, query: str) -> None:
    fake.set("up", {"job": "a"}, 1, at=NOW)
    with pytest.raises(MetricsError, match="refuses the query"):
        prometheus.instant(query, at=NOW)


def test_faults_heal(fake, prometheus) -> None:
    fake.set("up", {}, 1, at=NOW)
    fake.fault("empty")
    assert prometheus.instant("up", at=NOW) == []
    fake.fault("stale", 10)
    assert prometheus.instant("up", at=NOW + 9) == []
    fake.fault("nan", times=1)
    assert math.isnan(prometheus.instant("up", at=NOW)[0].value)
    assert prometheus.instant("up", at=NOW)[0].value == 1
    fake.fault("garbage")
    with pytest.raises(PrometheusUnavailableError):
        prometheus.instant("up", at=NOW)
    fake.heal()
    assert prometheus.instant("up", at=NOW)[0].value == 1
    assert fake.queries == ["up"] * 6
