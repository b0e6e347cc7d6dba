"""Shows one Prometheus what another has of OpenFaaS's gateway.

Run it as a file, in a pod that is scraped; it needs the standard library only::

    python openfaas_relay.py --port 8080 --prometheus http://prometheus.openfaas.svc:9090

``/metrics`` is what that Prometheus knows now of every metric ``gateway_*``, by its ``/federate``.
Where it does not answer, neither does this program (502): the scrape fails, and what is measured by
it is missing, not zero.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import urllib.parse
import urllib.request
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MATCH = '{__name__=~"gateway_.+"}'
DEADLINE_S = 5.0


def federated(prometheus: str) -> bytes:
    """The samples in Prometheus's text format.

    Raises:
        OSError: It does not answer, or refuses.
    """
    url = f"{prometheus.rstrip('/')}/federate?{urllib.parse.urlencode({'match[]': MATCH})}"
    try:
        with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:  # noqa: S310 - as told
            content: bytes = answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"{url}: {error!r}") from error
    return content


class Server(ThreadingHTTPServer):
    """The relay; ``prometheus`` is the URL that it asks."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], prometheus: str) -> None:
        self.prometheus = prometheus
        super().__init__(address, Handler)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_GET(self) -> None:
        """Answer it."""
        if self.path == "/healthz":
            self._answer(200, b"alive\n")
        elif self.path != "/metrics":
            self._answer(404, b"no such page\n")
        else:
            try:
                self._answer(200, federated(self.server.prometheus))
            except OSError as error:
                self._answer(502, f"{error}\n".encode())

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """A line a scrape helps nobody."""


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="openfaas_relay.py", description="OpenFaaS's metrics.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--prometheus", required=True, help="URL of OpenFaaS's Prometheus")
    options = parser.parse_args(arguments)
    if not options.prometheus.startswith(("http://", "https://")):
        parser.error("--prometheus must be a URL, such as http://prometheus.openfaas.svc:9090")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    options = read_arguments(arguments)
    try:
        Server((options.host, options.port), options.prometheus).serve_forever()
    except OSError as error:
        print(f"relay: cannot serve {options.host}:{options.port}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
