"""The one door to Prometheus: instant queries with a deadline, and typed errors instead of silence.

Built on :class:`prometheus_api_client.PrometheusConnect`, which on its own waits for ever, retries
three times a second apart and turns every refusal into one exception. Here a call has one deadline
for all of it (connecting, a few quick retries, reading), a server that trickles one byte at a time
included, and each way of failing says what to check. A value that is not a number stays ``nan`` for
the reader to judge: nothing is ever replaced by 0.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
import tenacity
from prometheus_api_client import PrometheusConnect

from infra_gym.errors import MetricsError, PrometheusUnavailableError
from infra_gym.metrics.transport import (
    CutOffError,
    DeadlineAdapter,
    RefusedError,
    session_for,
    time_left,
)

ATTEMPTS = 3
RETRY_WAIT_S = 0.1
# More connections than queries in one read, so that every one is kept alive for the next read.
CONNECTIONS = 32


@dataclass(frozen=True)
class Series:
    """One time series of an answer, with at least one sample.

    ``times`` are seconds since the epoch on Prometheus's clock: the evaluation's for an expression,
    the samples' own for a range selector. They ascend.
    """

    labels: Mapping[str, str]
    times: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def time(self) -> float:
        """The last sample's time."""
        return self.times[-1]

    @property
    def value(self) -> float:
        """The last sample's value; may be ``nan`` or infinite."""
        return self.values[-1]


class Prometheus:
    """A Prometheus server.

    Args:
        url: Where it answers, such as ``http://127.0.0.1:9090`` or a Kubernetes service proxy.
        deadline_s: Seconds for one call, all its queries and retries together.
        session: Carries credentials and certificates (``auth``, ``verify``, ``cert``, ``headers``).
            An adapter of ours is mounted on it for ``url``.

    Every method may raise :class:`PrometheusUnavailableError`, or :class:`MetricsError` where
    Prometheus refuses the query itself.
    """

    def __init__(
        self, url: str, *, deadline_s: float = 5.0, session: requests.Session | None = None
    ) -> None:
        url = url.rstrip("/")
        self.url = _without_credentials(url)
        self.deadline_s = deadline_s
        self._session = session or session_for(url)
        self._client = PrometheusConnect(url, session=self._session)
        self._session.mount(url, DeadlineAdapter(pool_maxsize=CONNECTIONS))

    def instant(self, query: str, at: float | None = None) -> list[Series]:
        """The value of an expression at a time (seconds since the epoch; now when left out).

        A scalar comes as one series without labels.
        """
        return self.all_of([query], at)[0]

    def last_samples(self, selector: str, at: float, window_s: float) -> list[Series]:
        """The samples of a selector in the ``window_s`` before ``at``, with their own times.

        ``.time`` and ``.value`` are the last sample's. Series whose target vanished are included as
        long as a sample lies in the window.
        """
        return self.all_of([range_of(selector, window_s)], at)[0]

    def all_of(self, queries: Sequence[str], at: float | None = None) -> list[list[Series]]:
        """The answers of several queries, asked at once and under one deadline, in their order."""
        ends = time.monotonic() + self.deadline_s
        waiting = [_in_thread(self._ask, query, at, ends) for query in queries]
        answers = []
        for query, future in zip(queries, waiting, strict=True):
            try:
                answers.append(future.result(max(ends - time.monotonic(), 0.0)))
            except Exception as error:
                raise self._explained(error, query) from error
        return answers

    def clock_offset_s(self, tries: int = 3) -> float:
        """Prometheus's clock minus ours, in seconds, from the quickest of a few round trips."""
        found = []
        for _ in range(tries):
            before, started = time.time(), time.monotonic()
            theirs = self.instant("time()")[0].value
            round_trip = time.monotonic() - started
            found.append((round_trip, theirs - (before + round_trip / 2)))
        return min(found)[1]

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def _ask(self, query: str, at: float | None, ends: float) -> list[Series]:
        params = {} if at is None else {"time": f"{at:.3f}"}
        patient = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_passes),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_fixed(RETRY_WAIT_S),
            reraise=True,
        )
        for attempt in patient:
            with attempt:
                left = time_left(ends)
                result = self._client.custom_query(query, params=params, timeout=left)
        return _series_of(result)

    def _explained(self, error: Exception, query: str) -> MetricsError:
        if isinstance(error, RefusedError) and (reason := error.prometheus_says()):
            return MetricsError(
                f"Prometheus at {self.url} refuses the query {query}: {reason}",
                next_command="correct the metric in the environment's definition",
            )
        return PrometheusUnavailableError(
            f"Prometheus at {self.url} {self._cause(error)} (query: {query})",
            next_command=f"{_probe(self.url)}   (is it running, is the URL right?)",
        )

    def _cause(self, error: Exception) -> str:
        if isinstance(error, TimeoutError | requests.Timeout):
            return f"did not answer within {self.deadline_s:g} s"
        if isinstance(error, RefusedError):
            return f"answers with HTTP status {error.status}: {error.shown()}"
        if isinstance(error, requests.exceptions.ChunkedEncodingError | CutOffError):
            return "cut its answer off"
        if isinstance(error, requests.ConnectionError):
            return f"cannot be reached: {_innermost(error)}"
        return f"gives an answer that is not Prometheus's: {type(error).__name__}: {error}"


def range_of(selector: str, window_s: float) -> str:
    """The range selector that covers ``window_s`` before its evaluation."""
    return f"{selector}[{max(round(window_s * 1000), 1)}ms]"


def _probe(url: str) -> str:
    """What to type to see whether it answers; a service proxy wants the cluster's credentials."""
    _, in_cluster, path = url.partition("/api/v1/namespaces/")
    return f"kubectl get --raw {in_cluster}{path}/-/ready" if path else f"curl {url}/-/ready"


def _passes(error: BaseException) -> bool:
    """Whether a failure may be over a moment later."""
    if isinstance(error, RefusedError):
        return error.status >= requests.codes.server_error or error.status == 429
    return isinstance(error, requests.ConnectionError | CutOffError) and not isinstance(
        error, requests.Timeout
    )


def _in_thread(function: Any, *arguments: Any) -> Future[list[Series]]:
    """Run in a thread of its own, which never keeps the process from ending."""
    future: Future[list[Series]] = Future()

    def work() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:  # noqa: BLE001 - it is raised again where the future is read
            future.set_exception(error)

    threading.Thread(target=work, name="prometheus-query", daemon=True).start()
    return future


def _series_of(result: Any) -> list[Series]:
    """The series of an answer's ``result``: a vector, a matrix, or a scalar."""
    if result and not isinstance(result[0], dict):
        result = [{"metric": {}, "value": result}]
    series = []
    for entry in result:
        samples = entry["values"] if "values" in entry else [entry["value"]]
        if not samples:
            raise ValueError("a series without samples")
        series.append(
            Series(
                labels=dict(entry["metric"]),
                times=tuple(float(moment) for moment, _ in samples),
                values=tuple(float(value) for _, value in samples),
            )
        )
    return series


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _innermost(error: BaseException) -> str:
    """The operating system's words at the bottom of a chain of exceptions, if any."""
    words, inner = str(error), error.__cause__ or error.__context__
    while inner is not None:
        if isinstance(inner, OSError):
            words = inner.strerror or str(inner)
        inner = inner.__cause__ or inner.__context__
    return words
