"""An object store for tests: S3 on this machine, with the faults that real stores have.

It is moto's S3 behind a filter. Needs ``pip install 'moto[s3,server]'``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from types import TracebackType
from typing import Any, Self

# What DigitalOcean Spaces answers with 501: query parameters of the requests.
SPACES_LACKS = frozenset({"encryption", "publicAccessBlock"})

_NOT_IMPLEMENTED = b"<Error><Code>NotImplemented</Code><Message>Not implemented</Message></Error>"

_App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class ObjectStore:
    """S3 over HTTP on a free port of 127.0.0.1; a context manager.

    ::

        with ObjectStore(lacks=SPACES_LACKS) as store:
            settings = StateSettings(backend="spaces", bucket="b", endpoint=store.url)

    All stores of one process share their buckets. Any credentials will do.

    Args:
        lacks: Sub-resources of a bucket, such as ``"encryption"``, that are answered 501
            NotImplemented.
        keeps_conditions: ``False``: ``If-None-Match`` and ``If-Match`` are ignored, as some stores
            do, so that every conditional write passes and no lock holds.
    """

    def __init__(self, *, lacks: Collection[str] = (), keeps_conditions: bool = True) -> None:
        self.lacks = frozenset(lacks)
        self.keeps_conditions = keeps_conditions
        self.down = False
        """Set it to ``True``, and every request is answered 503."""
        self._writing = threading.Lock()
        self._server: Any = None

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        from moto.moto_server.werkzeug_app import (
            DomainDispatcherApplication,
            MotoRequestHandler,
            create_backend_app,
        )
        from werkzeug.serving import make_server

        class Handler(MotoRequestHandler):
            def log_request(self, *_: object) -> None:
                """Keep quiet."""

        app = self._filter(DomainDispatcherApplication(create_backend_app))
        self._server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _filter(self, app: _App) -> _App:
        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            if self.down:
                start_response("503 Service Unavailable", [])
                return []
            asked = {part.partition("=")[0] for part in environ["QUERY_STRING"].split("&")}
            if asked & self.lacks:
                start_response("501 Not Implemented", [("Content-Type", "application/xml")])
                return [_NOT_IMPLEMENTED]
            if not self.keeps_conditions:
                environ.pop("HTTP_IF_NONE_MATCH", None)
                environ.pop("HTTP_IF_MATCH", None)
            if environ["REQUEST_METHOD"] != "PUT":
                return app(environ, start_response)
            with self._writing:  # moto looks first and writes later: not atomic by itself
                return list(app(environ, start_response))

        return answer
