from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from infra_gym.errors import NotReadyError, WorldError
from infra_gym.workloads import arrival_schedule, parse_workload
from infra_gym.worlds.load import Load


class Engine(ThreadingHTTPServer):
    """Answers what it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str, object]] = []
        self.status, self.body = 200, b'{"in_flight": 0}'


class Handler(BaseHTTPRequestHandler):
    server: Engine

    def do_GET(self) -> None:
        self.answer(None)

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(content if self.path == "/schedule" else json.loads(content))

    def answer(self, asked: object) -> None:
        self.server.seen.append((self.command, self.path, asked))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def load(engine) -> Load:
    return Load(f"http://127.0.0.1:{engine.server_address[1]}/")


def test_it_starts_and_pauses(engine, load):
    load.start(12.5, offset=0.0)
    load.start(13.5)
    load.pause(14.0)
    load.pause()
    assert engine.seen == [
        ("POST", "/start", {"at": 12.5, "offset": 0.0}),
        ("POST", "/start", {"at": 13.5}),
        ("POST", "/pause", {"at": 14.0}),
        ("POST", "/pause", {}),
    ]


def test_waiting_for_the_last_answer_has_an_end(engine, load):
    load.wait_idle(1)
    engine.body = b'{"in_flight": 3}'
    with pytest.raises(NotReadyError, match="still has requests in flight"):
        load.wait_idle(0.1)


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [(400, b"'at' lies 9 s in the past", "9 s in the past"), (200, b"<html>", "no JSON")],
)
def test_what_is_wrong_is_told(engine, load, status, body, told):
    engine.status, engine.body = status, body
    with pytest.raises(WorldError, match=told):
        load.status()


def test_nobody_there_is_an_error(engine, load):
    address = Load("http://127.0.0.1:9")
    with pytest.raises(WorldError, match="GET http"):
        address.status()


def test_a_schedule_is_sent_as_it_lies_in_its_file(engine, load):
    schedule = arrival_schedule(
        parse_workload({"profile": "constant", "mean_rps": 5}),
        seconds=10,
        time_scale=1,
        seed=1,
    )
    engine.body = json.dumps({"sha256": schedule.sha256}).encode()
    load.load(schedule)
    assert engine.seen == [("POST", "/schedule", schedule.data)]
    engine.body = b'{"sha256": "another"}'
    with pytest.raises(WorldError, match="another schedule than was sent"):
        load.load(schedule)
