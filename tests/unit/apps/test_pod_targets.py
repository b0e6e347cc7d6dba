"""The program that tells Prometheus of pods, against an API server that is only said."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from infra_gym.apps import pod_targets


def pod(name: str, ip: str | None, *, phase: str = "Running", port: str = "http-metrics") -> Any:
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": name.split("-")[0]}},
        "spec": {"containers": [{"ports": [{"name": port, "containerPort": 8080}]}]},
        "status": {"phase": phase, **({"podIP": ip} if ip else {})},
    }


def test_running_pods_with_the_port_are_targets():
    found = pod_targets.targets(
        [
            pod("heater-1", "10.0.0.1"),
            pod("heater-2", None, phase="Pending"),
            pod("heater-3", "10.0.0.3", phase="Failed"),
            pod("database-1", "10.0.0.4", port="postgresql"),
            pod("siege-1", "fd00::5"),
        ]
    )
    assert found == [
        {"targets": ["10.0.0.1:8080"], "labels": {"job": "heater", "instance": "heater-1"}},
        {"targets": ["[fd00::5]:8080"], "labels": {"job": "siege", "instance": "siege-1"}},
    ]


def test_a_container_without_ports_is_none():
    bare = {"metadata": {"name": "x"}, "spec": {"containers": [{}]}, "status": {"podIP": "1.2.3.4"}}
    assert pod_targets.targets([bare]) == []


class Api(ThreadingHTTPServer):
    status = 200
    seen: tuple[str, str] = ("", "")


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        self.server.seen = (self.path, self.headers["Authorization"])
        body = json.dumps({"items": [pod("heater-1", "10.0.0.1")]}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def serving(server: ThreadingHTTPServer) -> Iterator[ThreadingHTTPServer]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    with server:
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def api() -> Iterator[ThreadingHTTPServer]:
    yield from serving(Api(("127.0.0.1", 0), Handler))


@pytest.fixture
def url(api, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "token").write_text("a-token\n")
    (tmp_path / "namespace").write_text("ns")
    pods = pod_targets.Pods(f"http://127.0.0.1:{api.server_address[1]}", tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), pod_targets.handler(pods))
    for running in serving(server):
        yield f"http://127.0.0.1:{running.server_address[1]}/"


def test_it_asks_with_the_service_accounts_token(api, url):
    answer = requests.get(url, timeout=5)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()[0]["targets"] == ["10.0.0.1:8080"]
    assert api.seen == ("/api/v1/namespaces/ns/pods?resourceVersion=0", "Bearer a-token")


def test_without_the_api_server_the_targets_stay_as_they_were(api, url, capsys):
    api.status = 403
    answer = requests.get(url, timeout=5)
    assert answer.status_code == 503, "Prometheus keeps what it had"
    assert "the API server answers 403" in answer.text
    assert "answers 403" in capsys.readouterr().err
