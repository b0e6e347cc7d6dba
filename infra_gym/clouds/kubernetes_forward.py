"""A port-forward without kubectl: a port on this machine whose connections end in a pod.

The API server takes one WebSocket for each connection and speaks the subprotocol
``v4.channel.k8s.io`` on it: every message begins with a channel number, 0 for the data and 1 for
errors, and each channel's first message is the port's number.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import websocket

from infra_gym.clouds.kubernetes_calls import CONNECT_DEADLINE_S, Calls, Json
from infra_gym.clouds.kubernetes_config import Access
from infra_gym.clouds.kubernetes_credentials import Credentials
from infra_gym.clouds.kubernetes_pods import works
from infra_gym.clouds.kubernetes_services import Service
from infra_gym.errors import ClusterError

CONNECTIONS = 64
_DATA, _ERROR = 0, 1
_PIECE = 65536
_POLL_S = 0.5


class Forward:
    """A listening port on the loopback address, until :meth:`close`.

    Args:
        access: The context.
        credentials: Its user's.
        calls: Where pods are looked up.
        service: Where connections go: to one of its ready pods.
    """

    def __init__(
        self, access: Access, credentials: Credentials, calls: Calls, service: Service
    ) -> None:
        self._access = access
        self._credentials = credentials
        self._calls = calls
        self._service = service
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_POLL_S)
        self.failure: str | None = None
        """Why the last connection failed; ``None`` when it did not."""
        self._thread = threading.Thread(target=self._accept, name="port-forward", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"{self._service.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        """Listen no more; connections end."""
        self._closed.set()
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            with suppress(TimeoutError):
                connection, _ = self._listener.accept()
                if self._places.acquire(blocking=False):
                    threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
                else:
                    connection.close()

    def _serve(self, connection: socket.socket) -> None:
        """Carry one connection to a pod and back, until either side ends."""
        with connection:
            try:
                self.failure = self._through(connection)
            except (ClusterError, OSError, websocket.WebSocketException) as error:
                self.failure = str(error).partition("\n")[0]
            finally:
                self._places.release()

    def _through(self, connection: socket.socket) -> str | None:
        pod, port = self._pod()
        tunnel = self._tunnel(pod, port)
        try:
            return _carry(connection, tunnel, self._closed)
        finally:
            tunnel.close(timeout=1)

    def _pod(self) -> tuple[str, int]:
        """A ready pod of the service, and the port in it."""
        core, name, namespace = self._calls.core, self._service.name, self._service.namespace
        service = self._calls.ask(core.read_namespaced_service, name, namespace)
        selector = ",".join(f"{k}={v}" for k, v in service["spec"].get("selector", {}).items())
        pods = self._calls.ask(core.list_namespaced_pod, namespace, label_selector=selector)
        for pod in pods["items"]:
            if selector and works(pod):
                return pod["metadata"]["name"], _port_in(service, self._service.port, pod)
        raise ClusterError(f"No pod of service {namespace}/{name} is ready.")

    def _tunnel(self, pod: str, port: int) -> Any:
        parts = urlsplit(self._access.server)
        url = (
            f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}{parts.path}"
            f"/api/v1/namespaces/{self._service.namespace}/pods/{pod}/portforward?ports={port}"
        )
        proxy = urlsplit(self._access.proxy_url or "")
        return websocket.create_connection(
            url,
            timeout=CONNECT_DEADLINE_S,
            header=self._credentials.headers(),
            subprotocols=["v4.channel.k8s.io"],
            sslopt=self._tls(),
            http_proxy_host=proxy.hostname,
            http_proxy_port=proxy.port,
            proxy_type=proxy.scheme or None,
        )

    def _tls(self) -> dict[str, Any]:
        options: dict[str, Any] = {"cert_reqs": ssl.CERT_REQUIRED}
        if not self._access.verify:
            options = {"cert_reqs": ssl.CERT_NONE, "check_hostname": False}
        if self._credentials.ca_file:
            options["ca_certs"] = self._credentials.ca_file
        if self._credentials.certificate:
            options["certfile"], options["keyfile"] = self._credentials.certificate
        if self._access.tls_server_name:
            options["server_hostname"] = self._access.tls_server_name
        return options


def _carry(connection: socket.socket, tunnel: Any, closed: threading.Event) -> str | None:
    """Both ways until one side ends; what the pod's side said was wrong.

    One thread does it all: TLS cannot be read and written by two at once.
    """
    begun: set[int] = set()
    with selectors.DefaultSelector() as waiting:
        waiting.register(connection, selectors.EVENT_READ)
        waiting.register(tunnel.sock, selectors.EVENT_READ)
        while not closed.is_set():
            ready = [key.fileobj for key, _ in waiting.select(0 if _buffered(tunnel) else _POLL_S)]
            if connection in ready:
                piece = connection.recv(_PIECE)
                if not piece:
                    return None
                tunnel.send_binary(bytes([_DATA]) + piece)
            if tunnel.sock in ready or _buffered(tunnel):
                message = tunnel.recv()
                if not message:
                    return None
                channel, content = message[0], message[1:]
                if channel not in begun:
                    begun.add(channel)  # its first message is the port's number
                elif channel == _ERROR:
                    return str(content.decode(errors="replace"))[:300]
                else:
                    connection.sendall(content)
    return None


def _buffered(tunnel: Any) -> bool:
    """Whether TLS has read more from the network than was asked of it."""
    return isinstance(tunnel.sock, ssl.SSLSocket) and tunnel.sock.pending() > 0


def _port_in(service: Json, number: int, pod: Json) -> int:
    """The port of the pod that a port of the service leads to."""
    target = next(
        (
            one.get("targetPort", number)
            for one in service["spec"]["ports"]
            if one["port"] == number
        ),
        number,
    )
    if isinstance(target, int):
        return target
    ports = (p for c in pod["spec"]["containers"] for p in c.get("ports") or ())
    return int(next(port["containerPort"] for port in ports if port.get("name") == target))
