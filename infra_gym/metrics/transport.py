"""HTTP with one deadline for the whole exchange."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ReadTimeoutError

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body

    def prometheus_says(self) -> str | None:
        """Prometheus's own words on a query that it cannot evaluate, else ``None``."""
        if self.status not in {400, 422}:
            return None
        try:
            return str(json.loads(self.body)["error"])
        except (ValueError, KeyError, TypeError):
            return None

    def shown(self) -> str:
        """The beginning of the answer, for people."""
        return self.body[:200].decode(errors="replace").strip() or "(an empty answer)"


class CutOffError(Exception):
    """The answer ended before its announced length."""


class DeadlineAdapter(HTTPAdapter):
    """Reads the whole answer within ``timeout``; ``requests`` bounds only each single read."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002 - the whole answer is read in any case
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send, read to the end, and refuse what is not status 200."""
        ends = time.monotonic() + timeout
        response = super().send(
            request, stream=True, timeout=timeout, verify=verify, cert=cert, proxies=proxies
        )
        body = _whole(response.raw, ends)
        if response.status_code != requests.codes.ok:
            raise RefusedError(response.status_code, body)
        response.raw = io.BytesIO(body)
        return response


def _whole(raw: Any, ends: float) -> bytes:
    """The decoded body, piece by piece as it comes, so that the clock is looked at in between."""
    body = bytearray()
    try:
        while piece := raw.read1(65536, decode_content=True):
            body += piece
            time_left(ends)
    except TimeoutError:
        raw.close()
        raise
    except ReadTimeoutError as error:
        raw.close()
        raise TimeoutError from error
    except HTTPError as error:
        raw.close()
        raise CutOffError(str(error)) from error
    raw.release_conn()
    return bytes(body)


def time_left(ends: float) -> float:
    """The seconds left until ``ends`` (monotonic); ``TimeoutError`` when none are."""
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def session_for(url: str) -> requests.Session:
    """A session that asks no proxy for this machine's own addresses."""
    session = requests.Session()
    if urlsplit(url).hostname in LOOPBACK:
        session.trust_env = False  # HTTP_PROXY is for other machines
    return session
