"""Each way in which Prometheus fails is an error that says where and what to check."""

from __future__ import annotations

import math
import socket
import threading
import time

import pytest
import requests

from infra_gym.errors import MetricsError, PrometheusUnavailableError
from infra_gym.metrics import Prometheus
from infra_gym.testing.fake_prometheus import FakePrometheus, Fault

NOW = 1_000_000.0


@pytest.fixture
def fake():
    with FakePrometheus() as server:
        server.set("up", {"job": "heater", "instance": "a"}, 1, at=NOW - 3)
        server.set("up", {"job": "heater", "instance": "a"}, 0, at=NOW - 1)
        server.set("up", {"job": "sender", "instance": "b"}, 1, at=NOW - 2)
        yield server


@pytest.fixture
def prometheus(fake):
    client = Prometheus(fake.url, deadline_s=5.0)
    yield client
    client.close()


def test_an_instant_has_the_time_of_its_evaluation(prometheus) -> None:
    (series,) = prometheus.instant('up{job="heater"}', at=NOW)
    assert series.labels == {"__name__": "up", "job": "heater", "instance": "a"}
    assert (series.time, series.value) == (NOW, 0.0)


def test_last_samples_have_their_own_times(prometheus) -> None:
    (series,) = prometheus.last_samples('up{job!="sender"}', NOW, window_s=2.5)
    assert (series.time, series.value) == (NOW - 1, 0.0)
    (series,) = prometheus.last_samples('up{job=~"heat.*"}', NOW, window_s=10)
    assert series.times == (NOW - 3, NOW - 1)


def test_what_is_not_there_is_an_empty_list(prometheus) -> None:
    assert prometheus.instant("nothing", at=NOW) == []


def test_not_a_number_stays_so(fake, prometheus) -> None:
    fake.fault("nan")
    assert math.isnan(prometheus.instant('up{job="sender"}', at=NOW)[0].value)


def test_several_queries_are_answered_in_their_order(prometheus) -> None:
    queries = [f'up{{job="{job}"}}' for job in ("sender", "heater", "none", "sender")]
    answers = prometheus.all_of(queries, NOW)
    assert [[one.value for one in answer] for answer in answers] == [[1.0], [0.0], [], [1.0]]


def test_the_clocks_difference_is_measured(fake, prometheus) -> None:
    fake.clock_offset_s = -42.0
    assert prometheus.clock_offset_s() == pytest.approx(-42.0, abs=1.0)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("status", 503, "HTTP status 503: Service Unavailable"),
        ("status", 401, "HTTP status 401"),
        ("status", 302, "HTTP status 302"),
        ("cut_off", None, "cut its answer off"),
        ("garbage", None, "not Prometheus's"),
    ],
)
def test_a_broken_answer_is_an_error(
    fake, prometheus, kind: Fault, value: float | None, words: str
) -> None:
    fake.fault(kind, value)
    with pytest.raises(PrometheusUnavailableError, match=words) as caught:
        prometheus.instant("up", at=NOW)
    assert fake.url in str(caught.value)
    assert caught.value.next_command is not None


@pytest.mark.parametrize(("kind", "value"), [("slow", 60.0), ("trickle", 0.05)])
def test_the_deadline_is_for_the_whole_call(fake, kind: Fault, value: float) -> None:
    fake.fault(kind, value)
    impatient = Prometheus(fake.url, deadline_s=0.3)
    started = time.monotonic()
    with pytest.raises(PrometheusUnavailableError, match=r"did not answer within 0\.3 s"):
        impatient.all_of(["up", "up", "up"], NOW)
    assert time.monotonic() - started < 3
    impatient.close()


def test_headers_that_trickle_hold_nobody_up() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def trickle() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not done.wait(0.05):
                connection.sendall(b"X")

    server = threading.Thread(target=trickle)
    server.start()
    impatient = Prometheus(f"http://127.0.0.1:{listener.getsockname()[1]}", deadline_s=0.3)
    started = time.monotonic()
    with pytest.raises(PrometheusUnavailableError, match="did not answer within"):
        impatient.instant("up", NOW)
    assert time.monotonic() - started < 3
    done.set()
    server.join()
    listener.close()
    impatient.close()


def test_a_fault_that_passes_is_tried_again(fake, prometheus) -> None:
    fake.fault("status", 503, times=2)
    assert prometheus.instant('up{job="sender"}', at=NOW)[0].value == 1
    assert len(fake.queries) == 3


def test_it_is_not_tried_for_ever(fake, prometheus) -> None:
    fake.fault("status", 500)
    with pytest.raises(PrometheusUnavailableError):
        prometheus.instant("up", at=NOW)
    assert len(fake.queries) == 3


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PrometheusUnavailableError, match="cannot be reached: Connection refused"):
        Prometheus(f"http://127.0.0.1:{port}").instant("up")


def test_a_wrong_query_is_the_definitions_fault(fake, prometheus) -> None:
    with pytest.raises(MetricsError, match="refuses the query sum") as caught:
        prometheus.instant("sum(up", at=NOW)
    assert not isinstance(caught.value, PrometheusUnavailableError)
    assert len(fake.queries) == 1


def test_a_wrong_path_is_told(fake) -> None:
    with pytest.raises(PrometheusUnavailableError, match="HTTP status 404"):
        Prometheus(fake.url + "/elsewhere").instant("up")


def test_credentials_in_the_url_are_not_shown(fake) -> None:
    fake.fault("status", 503)
    address = fake.url.replace("http://", "http://user:secret@")
    with pytest.raises(PrometheusUnavailableError) as caught:
        Prometheus(address).instant("up", at=NOW)
    assert "secret" not in str(caught.value)


def test_a_session_brings_its_own_headers(fake) -> None:
    session = requests.Session()
    session.headers["Authorization"] = "Bearer token"
    client = Prometheus(fake.url, session=session)
    assert client.instant('up{job="sender"}', at=NOW)[0].value == 1
    client.close()


def test_a_proxy_for_other_machines_is_not_asked(fake, monkeypatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert Prometheus(fake.url).instant('up{job="sender"}', at=NOW)[0].value == 1


def test_one_behind_a_service_proxy_is_probed_with_kubectl() -> None:
    path = "/api/v1/namespaces/ns/services/prometheus:9090/proxy"
    prometheus = Prometheus(f"http://127.0.0.1:9{path}", deadline_s=1)
    with pytest.raises(PrometheusUnavailableError) as told:
        prometheus.instant("up")
    prometheus.close()
    assert f"kubectl get --raw {path}/-/ready" in str(told.value)
