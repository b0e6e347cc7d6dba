"""The metrics room against a real Prometheus that scrapes small exporters."""

from __future__ import annotations

import http.server
import math
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from infra_gym.definitions.models import Metric
from infra_gym.errors import MetricsError, PrometheusUnavailableError, StaleMetricsError
from infra_gym.metrics import MetricsReader, Prometheus, Series, quantile
from infra_gym.testing.fake_prometheus import FakePrometheus

PROMETHEUS = shutil.which("prometheus")
pytestmark = [
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not on the path"),
    pytest.mark.xdist_group("metrics"),  # one Prometheus for all
]

SCRAPE_S = 0.25
METRIC: TypeAdapter[Metric] = TypeAdapter(Metric)


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: Any) -> None:
        """Prometheus hung up on the target that hangs."""


class Exporter:
    """Exports what ``lines`` gives; counts nothing itself."""

    def __init__(self, lines: Callable[[], str]) -> None:
        self.lines = lines
        exporter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                body = exporter.lines().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Server:
    """A Prometheus process."""

    def __init__(self, folder: Path, jobs: dict[str, str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        scrapes = "".join(
            f"- job_name: {job}\n  static_configs: [{{targets: ['{address}']}}]\n"
            for job, address in jobs.items()
        )
        (folder / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {SCRAPE_S * 1000:.0f}ms, "
            f"scrape_timeout: {SCRAPE_S * 1000:.0f}ms}}\nscrape_configs:\n{scrapes}"
        )
        assert PROMETHEUS is not None
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [
                    PROMETHEUS,
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.client = Prometheus(f"http://127.0.0.1:{port}", deadline_s=5)

    def stop(self) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(20)


def wait_for(condition: Callable[[], Any], deadline_s: float = 20) -> Any:
    """The first true value; errors of a server that is still starting are patiently ignored."""
    ends = time.monotonic() + deadline_s
    while True:
        try:
            if value := condition():
                return value
        except PrometheusUnavailableError:
            if time.monotonic() > ends:
                raise
        assert time.monotonic() < ends, "nothing came in time"
        time.sleep(0.05)


class Counted:
    """A sender's counters: 200s and timeouts, with a histogram."""

    BOUNDS = (0.1, 0.5, 1.0, math.inf)

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.latencies: dict[str, list[float]] = {"200": [], "timeout": []}

    def add(self, code: str, *latencies: float) -> None:
        with self.lock:
            self.latencies[code] += latencies

    def lines(self) -> str:
        lines = []
        with self.lock:
            for code, seen in self.latencies.items():
                lines.append(f'requests_total{{code="{code}"}} {len(seen)}')
                lines.append(f'latency_count{{code="{code}"}} {len(seen)}')
                for bound in self.BOUNDS:
                    le = "+Inf" if math.isinf(bound) else str(bound)
                    count = sum(one <= bound for one in seen)
                    lines.append(f'latency_bucket{{code="{code}",le="{le}"}} {count}')
        return "\n".join(lines) + "\n"


def random_histograms(number: int) -> str:
    """Many histograms in one exposition, empty and extreme ones among them."""
    rng = random.Random(7)
    lines = []
    for h in range(number):
        bounds = sorted(rng.sample([-1.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0], 4))
        count = 0
        for bound in [*map(str, bounds), "+Inf"]:
            count += rng.choice([0, 0, 1, rng.randrange(1000)])
            lines.append(f'random_bucket{{h="{h}",le="{bound}"}} {count}')
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def counted() -> Counted:
    return Counted()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, counted: Counted) -> Iterator[Server]:
    sender = Exporter(counted.lines)
    histograms = Exporter(lambda: random_histograms(200))
    hung = threading.Event()

    def hang() -> str:
        hung.wait(30)
        return ""

    hanging = Exporter(hang)
    server = Server(
        tmp_path_factory.mktemp("prometheus"),
        {
            "sender": sender.address,
            "histograms": histograms.address,
            "hanging": hanging.address,
        },
    )
    try:
        wait_for(lambda: len(server.client.instant("up == 1")) >= 2)
        yield server
    finally:
        server.stop()
        hung.set()
        for exporter in (sender, histograms, hanging):
            exporter.stop()


def reader(server: Server, bounds: dict[str, float] | None = None, **metrics: Any) -> MetricsReader:
    return MetricsReader(
        server.client,
        {name: METRIC.validate_python(metric) for name, metric in metrics.items()},
        scrape_interval_s=SCRAPE_S,
        bounds=bounds or {},
    )


@pytest.mark.parametrize("q", [0.01, 0.5, 0.95, 0.999])
def test_quantiles_are_prometheus_own(server: Server, q: float) -> None:
    at = time.time()
    buckets: dict[str, dict[float, float]] = {}
    for one in server.client.instant("random_bucket", at):
        buckets.setdefault(one.labels["h"], {})[float(one.labels["le"])] = one.value
    theirs = {
        one.labels["h"]: one.value
        for one in server.client.instant(f"histogram_quantile({q}, random_bucket)", at)
    }
    assert len(theirs) == len(buckets) == 200
    for h, own in buckets.items():
        assert quantile(q, own) == pytest.approx(theirs[h], nan_ok=True), own


def test_steps_sum_to_the_run_and_divide_by_the_samples_times(
    server: Server, counted: Counted
) -> None:
    metrics = reader(
        server,
        requests={"counter": "requests_total"},
        good={"counter": 'latency_bucket{code=~"2..|timeout", le="0.1"}'},
        rate={"counter": 'requests_total{code="200"}', "rate": True},
        p50={"histogram": 'latency{code="200"}', "quantile": 0.5, "empty": 0},
        p95={
            "histogram": 'latency{code="200"}',
            "quantile": 0.95,
            "empty": 0,
            "starved": "high",
        },
        up={"gauge": 'sum(up{job="sender"})'},
        by={"counter": "requests_total", "by": "code"},
        bounds={"p95": 5.0},
    )
    counted.add("200", *[0.05] * 50)
    time.sleep(2 * SCRAPE_S)
    begin = time.time()
    metrics.baseline(begin)
    before = server.client.last_samples('requests_total{code="200"}', begin, 10)[0]
    steps, sent = [], 0
    for number in range(1, 5):
        counted.add("200", *[0.05] * (10 * number), *[0.3] * (10 * number))
        counted.add("timeout", *[5.0] * number)
        sent += 21 * number
        time.sleep(3 * SCRAPE_S)
        at = time.time()
        metrics.await_fresh(at, ["sender"], deadline_s=10)
        steps.append(metrics.read(at))
    after = server.client.last_samples('requests_total{code="200"}', at, 10)[0]
    assert sum(step.values["requests"] for step in steps) == sent
    assert sum(step.values["good"] for step in steps) == sum(10 * n for n in range(1, 5))
    assert sum(step.by_label["by"]["timeout"] for step in steps) == 1 + 2 + 3 + 4
    assert all(step.values["up"] == 1 for step in steps)
    assert all(step.sample_age_s <= 2 * SCRAPE_S for step in steps)
    assert steps[0].values["p50"] == pytest.approx(0.1)
    # The rates' own times add up to the time between the first sample and the last.
    spans = [(step.by_label["by"]["200"]) / step.values["rate"] for step in steps]
    assert sum(spans) == pytest.approx(after.time - before.time)

    counted.add("timeout", 5.0)
    time.sleep(3 * SCRAPE_S)
    starved = metrics.read(time.time())
    assert (starved.values["p50"], starved.values["p95"]) == (0.0, 5.0)
    assert starved.empty == {"p50"}


def test_a_target_that_hangs_is_not_up_and_not_waited_for(server: Server) -> None:
    assert (
        reader(server).await_fresh(
            time.time, ["sender", "hanging"], required=["sender"], deadline_s=10
        )
        < 10
    )
    with pytest.raises(StaleMetricsError, match="no target of job hanging is up"):
        reader(server).await_fresh(time.time, [], required=["hanging"], deadline_s=0.3)


def test_a_time_without_samples_yet_is_stale(server: Server) -> None:
    with pytest.raises(StaleMetricsError, match=r"sender/127\.0\.0\.1:\d+ was last scraped"):
        reader(server).await_fresh(time.time() + 5, ["sender"], deadline_s=0.3)


def test_the_clock_is_this_machines(server: Server) -> None:
    assert server.client.clock_offset_s() == pytest.approx(0, abs=0.5)


def test_prometheus_says_what_is_wrong_with_a_query(server: Server) -> None:
    with pytest.raises(MetricsError, match="parse error"):
        server.client.instant("sum(")
    with pytest.raises(MetricsError, match="many-to-many"):
        server.client.instant("requests_total * on(job) requests_total")


def test_a_scalar_is_one_series(server: Server) -> None:
    assert server.client.instant("1 + 1", at=1000.0) == [Series({}, (1000.0,), (2.0,))]


def test_the_fake_answers_as_the_real_one_does(server: Server) -> None:
    at = round(time.time() - 4 * SCRAPE_S, 3)  # no scrape of that time is still under way
    selectors = [
        "requests_total",
        'requests_total{code="200"}',
        'requests_total{code!="200",job="sender"}',
        'latency_bucket{le=~"0.1|1",code!~"time.*"}',
        'up{job=~"send.*|hanging"}',
        'up{nothing=""}',
        "absent_metric",
    ]
    with FakePrometheus() as fake:
        for name in ("requests_total", "latency_bucket", "up"):
            for one in server.client.last_samples(name, at, 60):
                labels = {key: value for key, value in one.labels.items() if key != "__name__"}
                for moment, value in zip(one.times, one.values, strict=True):
                    fake.set(name, labels, value, moment)
        client = Prometheus(fake.url)
        for selector in selectors:
            for query in (selector, f"{selector}[2s]", f"{selector}[1m0s500ms]"):
                real, faked = server.client.instant(query, at), client.instant(query, at)
                assert by_labels(faked) == by_labels(real), query
        client.close()


def by_labels(series: list[Series]) -> dict[Any, Any]:
    return {frozenset(one.labels.items()): (one.times, one.values) for one in series}


def test_replicas_that_come_go_and_return(tmp_path: Path) -> None:
    """A target that stops, comes back under the same name counting from 0, and stops again."""
    count = [100]
    exporter = Exporter(lambda: f"work_total {count[0]}\n")
    address = exporter.address
    server = Server(tmp_path, {"worker": address, "silent": "127.0.0.1:1"})
    metrics = reader(server, work={"counter": "work_total", "empty": 0})
    try:
        wait_for(lambda: server.client.instant("work_total"))
        metrics.baseline(time.time())
        count[0] = 130
        wait_for(lambda: [s for s in server.client.instant("work_total") if s.value == 130])
        exporter.stop()
        wait_for(lambda: not server.client.instant("work_total"))
        time.sleep(4 * SCRAPE_S)
        gone = metrics.read(time.time())
        assert gone.values["work"] == 30
        assert gone.vanished == (f"worker/{address}",)
        with pytest.raises(StaleMetricsError, match="no target of job worker is up"):
            metrics.await_fresh(time.time, [], required=["worker"], deadline_s=0.2)

        server.process.send_signal(signal.SIGSTOP)
        impatient = Prometheus(server.client.url, deadline_s=0.5)
        with pytest.raises(PrometheusUnavailableError, match="did not answer within"):
            impatient.instant("up")
        impatient.close()
        server.process.send_signal(signal.SIGCONT)
        assert metrics.read(time.time()).empty == {"work"}
    finally:
        server.stop()
    with pytest.raises(PrometheusUnavailableError, match="cannot be reached"):
        metrics.read(time.time())
