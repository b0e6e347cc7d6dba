"""The siege engine as a process: open loop, codes, control, and agreement with others.

Two things stand beside it: the recursion of a first-come-first-served queue, and an open-loop
client of threads written here. Where a machine is so busy that a thread waits for a processor,
times mean nothing: such a run is tried again, and skipped in the end.
"""

from __future__ import annotations

import gzip
import hashlib
import heapq
import http.client
import json
import random
import socket
import statistics
import threading
import time
from bisect import bisect_left
from contextlib import closing

import pytest

BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25]
BUCKETS += [0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0]
CODES = ("200", "503", "timeout", "dropped", "refused")
ATTEMPTS = 3


def poisson(rate, seconds, seed):
    """Arrivals of a Poisson process, in the schedule's units of 50 microseconds."""
    draw, now, times = random.Random(seed), 0.0, []
    while (now := now + draw.expovariate(rate)) < seconds:
        times.append(round(now, 4))
    return times


def quantile(share, counts):
    """Prometheus's histogram_quantile of counts by bucket (not cumulative)."""
    rank, below = share * sum(counts), 0
    for bound, lower, count in zip(BUCKETS, [0.0, *BUCKETS], counts, strict=False):
        if below + count >= rank:
            return lower + (bound - lower) * (rank - below) / count
        below += count
    return BUCKETS[-1]


def bucketed(latencies):
    counts = [0] * (len(BUCKETS) + 1)
    for latency in latencies:
        counts[bisect_left(BUCKETS, latency)] += 1
    return counts


def served(times, slots, service):
    """Latency of each arrival with one first-come-first-served queue before ``slots`` servers."""
    free, latencies = [0.0] * slots, []
    for arrival in times:
        end = max(arrival, free[0]) + service
        heapq.heapreplace(free, end)
        latencies.append(end - arrival)
    return latencies


class Engine:
    """A running siege engine."""

    def __init__(self, port, ask, samples):
        self.port = port
        self._ask = ask
        self._samples = samples

    def post(self, order, **body):
        status, text = self._ask(self.port, order, json.dumps(body))
        assert status == 200, text
        return json.loads(text)

    def status(self):
        return json.loads(self._ask(self.port, "/status")[1])

    def metrics(self):
        return self._samples(self.port)

    def counts(self):
        metrics = self.metrics()
        return {code: int(metrics[f'siege_requests_total{{code="{code}"}}']) for code in CODES}

    def latencies(self):
        """Mean, p50 and p95 of the answered requests."""
        name, metrics = "siege_request_duration_seconds", self.metrics()
        cumulative = [metrics[f'{name}_bucket{{code="200",le="{le}"}}'] for le in BUCKETS]
        counts = [b - a for a, b in zip([0, *cumulative], cumulative, strict=False)]
        mean = metrics[f'{name}_sum{{code="200"}}'] / metrics[f'{name}_count{{code="200"}}']
        return mean, quantile(0.5, counts), quantile(0.95, counts)

    def lateness_above(self, seconds):
        """The share of requests that left later than so many seconds after their time."""
        metrics = self.metrics()
        within = metrics[f'siege_lateness_seconds_bucket{{le="{seconds}"}}']
        return 1 - within / metrics["siege_lateness_seconds_count"]


@pytest.fixture
def siege(launch, free_ports, ask, samples, until, tmp_path, write_schedule):
    """Start an engine with a schedule of ``times`` and wait until it sees ``ready`` replicas."""

    def start(target, times, *, seconds=1000.0, ready=1, **options):
        port = free_ports()
        schedule = write_schedule(tmp_path / f"schedule-{port}", times, seconds)
        launch("siege_engine.py", port, target=target, schedule=schedule, **options)
        engine = Engine(port, ask, samples)
        until(lambda: engine.status()["ready_targets"] == ready)
        return engine

    return start


@pytest.fixture
def heaters(launch, free_ports):
    """Start so many replicas on consecutive ports; returns the target's URL."""

    def start(count=1, **options):
        first = free_ports(count)
        for port in range(first, first + count):
            launch("heater.py", port, **options)
        return f"http://127.0.0.1:{first}-{first + count - 1}"

    return start


@pytest.fixture
def silent_port():
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        yield server.getsockname()[1]


@pytest.fixture
def rude_port():
    """A port that hangs up in the middle of an answer."""
    server = socket.create_server(("127.0.0.1", 0), backlog=256)

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nwar")

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_each_request_is_counted_once_under_what_became_of_it(
    siege, heaters, silent_port, rude_port, free_ports, until
):
    closed = free_ports(2)
    times = [index / 40 for index in range(20)]
    silent = f"http://127.0.0.1:{silent_port}"
    cases = [
        (heaters(service_time=0.01), {}, {"200": 20}),
        (
            heaters(slots=1, service_time=5, queue_limit=2),
            {"timeout": 0.6},
            {"timeout": 3, "503": 17},
        ),
        (silent, {"timeout": 0.6}, {"timeout": 20}),
        (silent, {"timeout": 0.9, "max_in_flight": 5}, {"timeout": 5, "dropped": 15}),
        (f"http://127.0.0.1:{rude_port}", {}, {"refused": 20}),
        (f"http://127.0.0.1:{closed}", {}, {"refused": 20}),
        (f"http://127.0.0.1:{closed}-{closed + 1}", {"ready": 0}, {"refused": 20}),
    ]
    engines = [(siege(target, times, **options), ends) for target, options, ends in cases]
    for engine, _ in engines:
        engine.post("/start")
    for engine, ends in engines:
        until(lambda engine=engine: sum(engine.counts().values()) == 20)
        assert engine.counts() == dict.fromkeys(CODES, 0) | ends
        metrics = engine.metrics()
        for code in CODES:
            counted = metrics[f'siege_request_duration_seconds_count{{code="{code}"}}']
            assert counted == ends.get(code, 0)
        assert metrics["siege_lateness_seconds_count"] == 20
        assert metrics["siege_in_flight"] == 0
    for (engine, _), timeout in zip(engines[1:3], (0.6, 0.6), strict=True):
        metrics = engine.metrics()
        mean = (
            metrics['siege_request_duration_seconds_sum{code="timeout"}']
            / metrics['siege_request_duration_seconds_count{code="timeout"}']
        )
        assert mean == pytest.approx(timeout, abs=0.2)


def test_is_controlled_over_http(siege, heaters, until, tmp_path, write_schedule):
    engine = siege(heaters(service_time=0.01), [0.1, 0.2, 30.0])
    assert engine.status()["running"] is False
    assert engine.post("/start", at=time.time() + 0.3)["running"] is True
    assert engine.status()["position"] == 0
    until(lambda: engine.counts()["200"] == 2)
    position = engine.post("/pause")["position"]
    assert 0.2 <= position < 10
    metrics = engine.metrics()
    assert (metrics["siege_running"], metrics["siege_position_seconds"]) == (0, position)
    engine.post("/start", offset=29.9)
    until(lambda: engine.counts()["200"] == 3)
    # Another schedule: stopped at its beginning, and the counters go on.
    other = write_schedule(tmp_path / "other", [0.05], 1000.0)
    before = engine.status()["sha256"]
    status = engine.post("/schedule", path=str(other))
    assert (status["running"], status["position"]) == (False, 0)
    assert status["sha256"] != before
    engine.post("/start")
    until(lambda: engine.counts()["200"] == 4)


def test_takes_a_schedule_that_is_sent(siege, ask, heaters, until, tmp_path, write_schedule):
    engine = siege(heaters(service_time=0.01), [])
    chance = random.Random(1)
    times = sorted(chance.uniform(0, 900) for _ in range(20_000))
    content = write_schedule(tmp_path / "sent", times, 1000.0).read_bytes()
    assert len(content) > 20_000, "more than other orders may hold"
    sha256 = hashlib.sha256(gzip.decompress(content)).hexdigest()
    status, answer = ask(engine.port, "/schedule", content)
    assert (status, json.loads(answer)["sha256"]) == (200, sha256)
    assert json.loads(answer)["seconds"] == 1000
    assert ask(engine.port, "/schedule", content[:-9])[0] == 400
    assert engine.status()["sha256"] == sha256, "it keeps what it had"


def test_refuses_wrong_orders(siege, ask):
    engine = siege("http://127.0.0.1:9", [0.1])
    for order, body, status, problem in [
        ("/start", "{", 400, "not JSON"),
        ("/start", "[1]", 400, "JSON object"),
        ("/start", '{"at": "soon"}', 400, "must be a number"),
        ("/start", '{"at": 1000}', 400, "in the past"),
        ("/start", '{"offset": NaN}', 400, "must be a number"),
        ("/start", '{"offset": -1}', 400, "negative"),
        ("/pause", '{"at": true}', 400, "must be a number"),
        ("/schedule", "{}", 400, "'path' must name"),
        ("/schedule", '{"path": "/nowhere"}', 400, "cannot read the schedule /nowhere"),
        ("/stop", "{}", 404, "no POST /stop"),
        ("/start", None, 404, "no GET /start"),
    ]:
        answer = ask(engine.port, order, body)
        assert answer[0] == status
        assert problem in answer[1]
    assert engine.status()["running"] is False


def test_sends_to_ready_replicas_only(siege, launch, free_ports, until, samples):
    first = free_ports(3)
    leaving = launch("heater.py", first, service_time=0.01, drain=1.5)
    launch("heater.py", first + 1, service_time=0.01)
    times = [index / 100 for index in range(100_000)]
    engine = siege(f"http://127.0.0.1:{first}-{first + 2}", times, ready=2)
    engine.post("/start")

    def taken(port):
        return samples(port)['heater_requests_total{code="200"}']

    until(lambda: taken(first) > 20 and taken(first + 1) > 20)
    leaving.terminate()
    until(lambda: engine.status()["ready_targets"] == 1)
    at_the_turn = taken(first)
    launch("heater.py", first + 2, service_time=0.01)
    until(lambda: taken(first + 2) > 20)
    assert leaving.wait(15) == 0
    counts = engine.counts()
    assert counts.pop("200") > at_the_turn
    assert set(counts.values()) == {0}


def measured(attempt, host_is_starved):
    """Try what depends on times until it holds; skip when the host never let it."""
    failure = None
    for _ in range(ATTEMPTS):
        host_is_starved()
        try:
            return attempt()
        except AssertionError as error:
            if not host_is_starved():
                failure = error
    if failure is None:
        pytest.skip("the host is too busy: a thread waits 10 ms for a processor")
    raise failure


def test_a_struggling_app_does_not_make_it_late(siege, heaters, host_is_starved, silent_port):
    times = [index / 300 for index in range(450)]

    def attempt():
        full = siege(heaters(slots=1, service_time=0.5, queue_limit=8), times, timeout=1)
        dead = siege(f"http://127.0.0.1:{silent_port}", times, timeout=0.5, max_in_flight=100)
        for engine in (full, dead):
            engine.post("/start")
            time.sleep(1.7)
            assert engine.metrics()["siege_lateness_seconds_count"] == 450
            assert engine.lateness_above(0.02) <= 0.01
            engine.post("/pause")

    measured(attempt, host_is_starved)


class Threads:
    """An open-loop client that shares nothing with the siege engine: a thread for each request."""

    def __init__(self, port, times):
        self._port = port
        self._times = times
        self.left = []
        self.latencies = []

    def _request(self, intended):
        self.left.append(time.time())
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)) as connection:
            connection.request("GET", "/")
            if connection.getresponse().read() == b"warm\n":
                self.latencies.append(time.time() - intended)

    def run(self, begin):
        """Send everything, from epoch time ``begin`` on, and wait for the answers."""
        threads = []
        for offset in self._times:
            time.sleep(max(0.0, begin + offset - time.time()))
            threads.append(threading.Thread(target=self._request, args=(begin + offset,)))
            threads[-1].start()
        for thread in threads:
            thread.join()


def test_agrees_with_an_independent_client(siege, heaters, host_is_starved):
    times = poisson(rate=30, seconds=5, seed=7)

    def attempt():
        app = {"slots": 4, "service_time": 0.1}
        engine = siege(heaters(**app), times)
        port = int(heaters(**app).rpartition("-")[2])
        reference = Threads(port, times)
        begin = time.time() + 0.5
        engine.post("/start", at=begin)
        sent = []
        watch = threading.Timer(3.5, lambda: sent.append((time.time(), engine.metrics())))
        watch.start()
        reference.run(begin)
        watch.join()
        now, metrics = sent[0]
        assert metrics["siege_lateness_seconds_count"] == pytest.approx(
            sum(left <= now for left in reference.left), rel=0.05
        )
        assert engine.counts()["200"] == len(reference.latencies) == len(times)
        counts = bucketed(reference.latencies)
        expected = (
            statistics.fmean(reference.latencies),
            quantile(0.5, counts),
            quantile(0.95, counts),
        )
        assert engine.latencies() == pytest.approx(expected, rel=0.05)

    measured(attempt, host_is_starved)


@pytest.mark.slow
def test_latencies_are_those_of_the_queue(siege, heaters, host_is_starved):
    """One replica: the recursion over the very same arrivals, in the mean and in p95."""
    times = poisson(rate=24, seconds=6, seed=11)
    # Not 0.1 s: an unhindered request must not lie on the edge of a bucket.
    latencies = served(times, slots=3, service=0.11)
    counts = bucketed(latencies)
    expected = statistics.fmean(latencies), quantile(0.5, counts), quantile(0.95, counts)

    def attempt():
        engine = siege(heaters(slots=3, service_time=0.11), times)
        engine.post("/start", at=time.time() + 0.2)
        time.sleep(7.5)
        assert engine.counts()["200"] == len(times)
        assert engine.latencies() == pytest.approx(expected, rel=0.05)

    measured(attempt, host_is_starved)


@pytest.mark.slow
def test_replicas_added_lower_p95_as_queueing_theory_says(siege, heaters, host_is_starved):
    """Replicas of one slot, each request to a random one: the recursion for 200 random picks."""
    service, counts_of_replicas = 0.055, (2, 3, 4, 6)
    times = poisson(rate=27, seconds=14, seed=5)

    def expected(replicas):
        draw, quantiles = random.Random(1), []
        for _ in range(200):
            shares = [[] for _ in range(replicas)]
            for arrival in times:
                shares[draw.randrange(replicas)].append(arrival)
            latencies = [value for share in shares for value in served(share, 1, service)]
            quantiles.append(quantile(0.95, bucketed(latencies)))
        return min(quantiles), max(quantiles)

    def attempt():
        engines = [
            siege(
                heaters(replicas, slots=1, service_time=service, queue_limit=999),
                times,
                ready=replicas,
            )
            for replicas in counts_of_replicas
        ]
        begin = time.time() + 0.3
        for engine in engines:
            engine.post("/start", at=begin)
        time.sleep(16.5)
        measured_p95 = [engine.latencies()[2] for engine in engines]
        for replicas, p95 in zip(counts_of_replicas, measured_p95, strict=True):
            low, high = expected(replicas)
            assert low <= p95 <= high * 1.05 + 0.005
        assert measured_p95[0] > measured_p95[1] > measured_p95[2] > measured_p95[3]

    measured(attempt, host_is_starved)
