"""A fake Kubernetes API server over real HTTP(S), for whatever asks one."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class FakeApiServer:
    """Answers what ``answers`` holds: by path, a document, a text, or a status and a document.

    A POST of an access review is answered by ``denied``, a set of ``verb resource``; a dry run by
    ``POST PATH`` in ``answers``. ``token`` is the only one that is accepted, when set.
    ``forwarded`` answers what comes by a port-forward.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Any] = {
            "/version": {"gitVersion": "v1.34.4"},
            "/version/": {"gitVersion": "v1.34.4"},
        }
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.queries: list[dict[str, list[str]]] = []
        self.denied: set[str] = set()
        self.token: str | None = None
        self.forwarded = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "https" if tls else "http"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def kubeconfig(self, file: Path, user: dict[str, Any] | None = None, **cluster: Any) -> Path:
        """Write a kubeconfig with one context, ``lab``."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "c", "cluster": {"server": self.url, **cluster}}],
            "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": user or {"token": "a-token"}}],
        }
        file.write_text(yaml.safe_dump(document))
        return file

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    fake: FakeApiServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        fake = self.server.fake
        parts = urlsplit(self.path)
        fake.requests.append(("GET", parts.path, dict(self.headers)))
        fake.queries.append(parse_qs(parts.query))
        if not self._accepted():
            return
        if parts.path.endswith("/portforward"):
            _forward(self, int(parse_qs(parts.query)["ports"][0]))
            return
        answer = fake.answers.get(parts.path)
        if callable(answer):
            answer = answer(parse_qs(parts.query))
        if answer is None:
            self._send(404, _status(404, f"{parts.path} not found"))
        elif isinstance(answer, tuple):
            self._send(*answer)
        else:
            self._send(200, answer)

    def do_POST(self) -> None:
        fake = self.server.fake
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fake.requests.append(("POST", urlsplit(self.path).path, dict(self.headers)))
        if not self._accepted():
            return
        if "dryRun=All" in self.path:
            self._send(*fake.answers.get(f"POST {urlsplit(self.path).path}", (201, body)))
            return
        asked = body["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
        allowed = f"{asked['verb']} {resource}" not in fake.denied
        self._send(201, {**body, "status": {"allowed": allowed}})

    def _accepted(self) -> bool:
        wanted = self.server.fake.token
        if wanted is None or self.headers.get("Authorization") == f"Bearer {wanted}":
            return True
        self._send(401, _status(401, "Unauthorized"))
        return False

    def _send(self, status: int, answer: Any) -> None:
        content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Nothing: tests look at ``requests``."""


def _status(code: int, message: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "message": message, "code": code}


def _forward(handler: _Handler, port: int) -> None:
    """Speak v4.channel.k8s.io: both channels begin with the port, then the pod answers once."""
    key = handler.headers["Sec-WebSocket-Key"].encode()
    accepted = base64.b64encode(hashlib.sha1(key + _MAGIC).digest()).decode()
    handler.wfile.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n"
        b"Sec-WebSocket-Accept: " + accepted.encode() + b"\r\n\r\n"
    )
    for channel in (0, 1):
        _write_frame(handler.wfile, bytes([channel]) + struct.pack("<H", port))
    handler.close_connection = True
    if _read_frame(handler.rfile)[:1] == b"\x00":
        _write_frame(handler.wfile, b"\x00" + handler.server.fake.forwarded)
        _read_frame(handler.rfile)


def _write_frame(file: Any, content: bytes) -> None:
    size = len(content)
    head = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size)
    file.write(b"\x82" + head + content)
    file.flush()


def _read_frame(file: Any) -> bytes:
    head = file.read(2)
    if len(head) < 2:
        return b""
    size = head[1] & 0x7F
    if size == 126:
        size = struct.unpack(">H", file.read(2))[0]
    mask = file.read(4)
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(file.read(size)))


@pytest.fixture
def api_server() -> Iterator[FakeApiServer]:
    server = FakeApiServer()
    yield server
    server.close()


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
