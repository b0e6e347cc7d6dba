"""The heater as a process: HTTP, queue, boot, drain."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest


@pytest.fixture
def together(ask):
    """So many requests at once; returns their statuses and durations (s)."""

    def one(port):
        begin = time.monotonic()
        status, _ = ask(port, "/")
        return status, time.monotonic() - begin

    def send(port, count):
        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(one, [port] * count))

    return send


def test_serves_slots_then_queue_then_503(launch, free_ports, together, samples, until):
    port = free_ports()
    launch("heater.py", port, slots=2, service_time=0.6, queue_limit=3)
    answers = together(port, 8)
    statuses = sorted(status for status, _ in answers)
    assert statuses == [200] * 5 + [503] * 3
    served = sorted(duration for status, duration in answers if status == 200)
    assert served == pytest.approx([0.6, 0.6, 1.2, 1.2, 1.8], abs=0.28)
    until(lambda: samples(port)["heater_busy_slots"] == 0)
    metrics = samples(port)
    assert metrics['heater_requests_total{code="200"}'] == 5
    assert metrics['heater_requests_total{code="503"}'] == 3
    assert metrics["heater_request_duration_seconds_count"] == 5
    assert metrics["heater_busy_seconds_total"] == pytest.approx(1.5, abs=0.01)
    assert metrics["heater_slots"] == 2
    assert abs(metrics["process_start_time_seconds"] - time.time()) < 60


def test_pages(launch, free_ports, ask):
    port = free_ports()
    launch("heater.py", port, service_time=0.01)
    assert ask(port, "/ready") == (200, "ready\n")
    assert ask(port, "/healthz") == (200, "alive\n")
    assert ask(port, "/?from=test") == (200, "warm\n")
    assert ask(port, "/else")[0] == 404
    for nonsense in (b"hello\r\n\r\n", b"x" * 20_000):
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(nonsense)
            assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert ask(port, "/ready")[0] == 200


def test_is_not_ready_while_it_boots(launch, free_ports, ask, samples, until):
    port = free_ports()
    launch("heater.py", port, start_delay=1.0, service_time=0.01)
    assert ask(port, "/ready")[0] == 503
    assert ask(port, "/")[0] == 503
    assert samples(port)["heater_ready"] == 0
    until(lambda: ask(port, "/ready")[0] == 200)
    assert ask(port, "/")[0] == 200


def test_says_not_ready_before_the_end_and_works_on(launch, free_ports, ask, samples):
    port = free_ports()
    launch("heater.py", port, service_time=0.01)
    assert ask(port, "/drain") == (200, "not ready\n")
    assert ask(port, "/ready")[0] == 503
    assert samples(port)["heater_ready"] == 0
    assert ask(port, "/")[0] == 200


def test_drains_without_losing_a_request(launch, free_ports, ask, together, samples, until):
    port = free_ports()
    heater = launch("heater.py", port, slots=1, service_time=0.8, drain=1.0)
    results = []
    first = threading.Thread(target=lambda: results.extend(together(port, 2)))
    first.start()
    until(lambda: samples(port)["heater_busy_slots"] == 1)
    heater.send_signal(signal.SIGTERM)
    until(lambda: ask(port, "/ready")[0] == 503)
    assert samples(port)["heater_ready"] == 0
    # Whoever has not looked away yet is still served, after those before it.
    assert ask(port, "/")[0] == 200
    first.join()
    assert [status for status, _ in results] == [200, 200]
    assert heater.wait(10) == 0
    with pytest.raises(ConnectionError):
        ask(port, "/ready")


def test_a_silent_connection_does_not_stop_a_drain(launch, free_ports):
    port = free_ports()
    heater = launch("heater.py", port, drain=0.1)
    with socket.create_connection(("127.0.0.1", port), 10):
        heater.send_signal(signal.SIGTERM)
        assert heater.wait(20) == 0


def test_burns_processor_time_when_told(launch, free_ports, together):
    import psutil

    port = free_ports()
    heater = launch("heater.py", port, slots=2, service_time=0.1, work="cpu")
    before = sum(psutil.Process(heater.pid).cpu_times()[:2])
    assert [status for status, _ in together(port, 4)] == [200] * 4
    assert sum(psutil.Process(heater.pid).cpu_times()[:2]) - before > 0.3


def test_a_taken_port_is_named(free_ports, apps):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-I", apps / "heater.py", f"--port={port}"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr
