"""The function and its gateway as processes: cold starts, scale to zero, what is counted."""

from __future__ import annotations

import http.client
import http.server
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

NAME = 'function_name="hello.openfaas-fn"'
CALL = "/function/hello"


@pytest.fixture
def gateway(launch, free_ports):
    """A gateway before a range of three ports; returns its port and the first of the range."""

    def start(**options):
        port = free_ports(4)
        upstream = f"http://127.0.0.1:{port + 1}-{port + 3}"
        launch("gateway.py", port, function="hello.openfaas-fn", upstream=upstream, **options)
        return port, port + 1

    return start


@pytest.fixture
def together(ask):
    """So many calls at once; returns their statuses and durations (s)."""

    def one(port, path):
        begin = time.monotonic()
        status, _ = ask(port, path, "a body", timeout=30.0)
        return status, time.monotonic() - begin

    def send(port, count, path=CALL):
        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(one, [port] * count, [path] * count))

    return send


def total(samples, port, code):
    return samples(port)[f'gateway_function_invocation_total{{{NAME},code="{code}"}}']


def ready(samples, port):
    return samples(port)[f"gateway_service_count{{{NAME}}}"]


def test_a_function_serves_slots_then_queue_then_429(
    launch, free_ports, together, samples, until, ask
):
    port = free_ports()
    launch("function.py", port, slots=1, service_time=1.5, queue_limit=1, cpu=0.05, memory=8)
    idle = samples(port)
    answers = []
    first = threading.Thread(target=lambda: answers.extend(together(port, 1, "/")))
    first.start()
    until(lambda: samples(port)["function_busy_seconds_total"] > 0)
    held = samples(port)["process_resident_memory_bytes"] - idle["process_resident_memory_bytes"]
    answers.extend(together(port, 3, "/"))
    first.join()
    assert sorted(status for status, _ in answers) == [200, 200, 429, 429]
    used = samples(port)
    assert used["process_cpu_seconds_total"] - idle["process_cpu_seconds_total"] >= 0.1
    assert held > 7 * 2**20
    assert used["process_resident_memory_bytes"] - idle["process_resident_memory_bytes"] < 4 * 2**20
    assert used["function_busy_seconds_total"] == pytest.approx(3.0, abs=0.02)
    assert used['function_calls_total{code="429"}'] == 2
    assert ask(port, "/ready")[0] == 200
    assert ask(port, "/else")[0] == 404


def test_the_first_call_after_zero_waits_for_the_boot(
    gateway, launch, together, samples, until, ask
):
    port, replica = gateway()
    assert ready(samples, port) == 0
    answers = []
    calls = threading.Thread(target=lambda: answers.extend(together(port, 3)))
    calls.start()
    until(lambda: samples(port)[f"gateway_function_held{{{NAME}}}"] == 3)
    begin = time.monotonic()
    process = launch("function.py", replica, service_time=0.05, start_delay=1.0, drain=0.1)
    calls.join()
    assert [status for status, _ in answers] == [200] * 3
    assert time.monotonic() - begin >= 1.0
    seen = samples(port)
    assert seen[f"gateway_function_cold_starts_total{{{NAME}}}"] == 3
    waited = seen[f"gateway_function_cold_start_seconds_total{{{NAME}}}"]
    assert 3 * 1.0 <= waited <= sum(lasted for _, lasted in answers)
    assert seen[f"gateway_function_inflight_seconds_total{{{NAME}}}"] >= waited
    # A warm call is no cold start.
    assert ask(port, "/function/hello.openfaas-fn") == (200, "done\n")
    assert samples(port)[f"gateway_function_cold_starts_total{{{NAME}}}"] == 3
    assert total(samples, port, 200) == 4
    # Scale to zero: what comes now is held again.
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    until(lambda: ready(samples, port) == 0)
    with pytest.raises(TimeoutError):
        ask(port, CALL, timeout=0.5)
    assert samples(port)[f"gateway_function_held{{{NAME}}}"] == 1
    assert samples(port)[f"gateway_function_invocation_started{{{NAME}}}"] == 5


def test_calls_go_to_every_ready_replica_and_to_none_that_died(
    gateway, launch, together, samples, until
):
    port, first = gateway()
    replicas = [launch("function.py", first + n, service_time=0.01, slots=8) for n in range(2)]
    until(lambda: ready(samples, port) == 2)
    assert {status for status, _ in together(port, 16)} == {200}
    served = [samples(first + n)['function_calls_total{code="200"}'] for n in range(2)]
    assert sum(served) == 16
    assert min(served) > 0  # else once in 2**15 runs
    replicas[0].kill()
    assert {status for status, _ in together(port, 16)} <= {200, 502}
    until(lambda: ready(samples, port) == 1)
    assert {status for status, _ in together(port, 8)} == {200}


def test_what_takes_too_long_or_breaks_off_has_its_code(gateway, launch, ask, samples, until):
    port, replica = gateway(timeout=1.5)
    assert ask(port, CALL)[0] == 504  # nobody is there
    process = launch("function.py", replica, service_time=20, queue_limit=0, slots=1, drain=0)
    until(lambda: ready(samples, port) == 1)
    assert ask(port, CALL)[0] == 504
    assert ask(port, CALL)[0] == 429  # the function did not notice
    assert ask(port, "/function/other")[0] == 404
    process.kill()
    process.wait()
    assert [total(samples, port, code) for code in (200, 429, 504)] == [0, 1, 2]


def test_a_replica_that_breaks_off_is_a_502(launch, free_ports, ask, samples, until):
    port = free_ports(2)
    with socket.create_server(("127.0.0.1", port + 1)) as server:

        def answer():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    if b"/ready" in connection.recv(1000):
                        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        upstream = f"http://127.0.0.1:{port + 1}"
        launch("gateway.py", port, function="hello.openfaas-fn", upstream=upstream)
        until(lambda: ready(samples, port) == 1)
        assert ask(port, CALL)[0] == 502
        server.shutdown(socket.SHUT_RDWR)
    answering.join()
    assert total(samples, port, 502) == 1


def test_nonsense_is_refused(gateway, ask):
    port, _ = gateway()
    for nonsense in (b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(nonsense)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert answer.status == 400
    assert ask(port, "/healthz") == (200, "alive\n")


def test_the_relay_shows_what_openfaas_counts_and_fails_where_its_prometheus_does(
    launch, free_ports, ask
):
    port = free_ports(2)
    asked = []

    class Federation(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"gateway_service_count 2 1700000000000\n")

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", port + 1), Federation)
    serving = threading.Thread(target=server.serve_forever, args=(0.02,))
    serving.start()
    try:
        launch("openfaas_relay.py", port, prometheus=f"http://127.0.0.1:{port + 1}")
        assert ask(port, "/metrics") == (200, "gateway_service_count 2 1700000000000\n")
        assert "match%5B%5D=%7B__name__%3D~%22gateway_.%2B%22%7D" in asked[0]
        assert ask(port, "/else")[0] == 404
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
    assert ask(port, "/metrics")[0] == 502
