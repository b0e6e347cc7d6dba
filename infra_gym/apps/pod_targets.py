"""Tells Prometheus which pods of a namespace there are to be scraped.

Run it as a file, in a pod beside Prometheus; it needs the standard library only::

    python pod_targets.py --port 9091

``GET /`` answers with targets in Prometheus's HTTP discovery format: every address of a running pod
that has a container port named ``http-metrics``. The job is the pod's label
``app.kubernetes.io/name``, the instance the pod's name, which stays when a container is started
again. Where the API server does not answer, neither does this program (503), and Prometheus keeps
the targets that it has.

Any build of Prometheus understands this; those of some distributions lack Prometheus's own
discovery of pods.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PORT_NAME = "http-metrics"
NAME_LABEL = "app.kubernetes.io/name"
DEADLINE_S = 5.0
ENDED = ("Succeeded", "Failed")


class ApiError(Exception):
    """The API server does not answer as it should."""


class Pods:
    """The pods of the namespace that this one is in.

    Args:
        api: URL of the API server.
        account: The folder with the service account's ``token``, ``namespace`` and ``ca.crt``.
    """

    def __init__(self, api: str, account: Path) -> None:
        self._parts = urlsplit(api)
        self._account = account

    def list(self) -> list[dict[str, Any]]:
        """All of them, as the API describes them.

        Raises:
            ApiError: It does not answer, or refuses.
        """
        try:
            with closing(self._connection()) as connection:
                connection.request("GET", self._path(), headers=self._headers())
                answer = connection.getresponse()
                body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(f"the API server does not answer: {error}") from error
        if answer.status != 200:
            raise ApiError(f"the API server answers {answer.status}: {body[:300]!r}")
        return list(json.loads(body)["items"])

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=DEADLINE_S)
        trusted = ssl.create_default_context(cafile=str(self._account / "ca.crt"))
        return http.client.HTTPSConnection(host, port, timeout=DEADLINE_S, context=trusted)

    def _path(self) -> str:
        namespace = (self._account / "namespace").read_text().strip()
        # What the server has in memory will do: it is at most moments old.
        return f"/api/v1/namespaces/{namespace}/pods?resourceVersion=0"

    def _headers(self) -> dict[str, str]:
        # Read each time: the token is replaced before it ends.
        return {"Authorization": f"Bearer {(self._account / 'token').read_text().strip()}"}


def targets(pods: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What to scrape of ``pods``, in Prometheus's HTTP discovery format."""
    return [
        {
            "targets": [address],
            "labels": {
                "job": pod["metadata"].get("labels", {}).get(NAME_LABEL, "pods"),
                "instance": pod["metadata"]["name"],
            },
        }
        for pod in pods
        for address in addresses(pod)
    ]


def addresses(pod: dict[str, Any]) -> Iterator[str]:
    """Where a pod is to be scraped; nowhere before it has an address, and after its end."""
    ip = pod["status"].get("podIP")
    if not ip or pod["status"].get("phase") in ENDED:
        return
    host = f"[{ip}]" if ":" in ip else ip
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", ()):
            if port.get("name") == PORT_NAME:
                yield f"{host}:{port['containerPort']}"


def handler(pods: Pods) -> type[BaseHTTPRequestHandler]:
    """Answers requests by looking at ``pods``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """All targets."""
            try:
                status, answer = 200, json.dumps(targets(pods.list()))
            except ApiError as error:
                print(f"pod targets: {error}", file=sys.stderr)
                status, answer = 503, f"{error}\n"
            body = answer.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if status == 200 else "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """One request a second is no news."""

    return Handler


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program until it is ended; returns its exit status."""
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    api = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    parser = argparse.ArgumentParser(prog="pod_targets.py", description="Pods for Prometheus.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--api", default=api, help="URL of the API server")
    parser.add_argument("--account", type=Path, default=ACCOUNT, help="the service account's files")
    options = parser.parse_args(arguments)
    pods = Pods(options.api, options.account)
    try:
        server = ThreadingHTTPServer((options.host, options.port), handler(pods))
    except OSError as error:
        print(f"pod targets: cannot serve port {options.port}: {error}", file=sys.stderr)
        return 1
    with server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
