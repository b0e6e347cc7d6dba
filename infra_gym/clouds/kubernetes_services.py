"""Services in the cluster, and the way to them through the API server's service proxy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from requests.utils import get_environ_proxies

from infra_gym.clouds.kubernetes_config import Access
from infra_gym.clouds.kubernetes_credentials import Credentials

_HOST = re.compile(r"(?P<name>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)\.svc(\.[a-z0-9.-]+)?")


@dataclass(frozen=True)
class Service:
    """A port of a service."""

    namespace: str
    name: str
    port: int
    scheme: str = "http"

    @classmethod
    def of(cls, url: str) -> tuple[Self, str]:
        """The service in ``http://NAME.NAMESPACE.svc[.cluster.local][:PORT]/path``, and the path.

        Raises:
            ValueError: The URL is not of that form.
        """
        parts = urlsplit(url)
        host = _HOST.fullmatch(parts.hostname or "")
        if host is None or parts.scheme not in ("http", "https"):
            raise ValueError(f"{url!r} is not http://NAME.NAMESPACE.svc:PORT/path")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        query = f"?{parts.query}" if parts.query else ""
        return cls(host["namespace"], host["name"], port, parts.scheme), parts.path + query

    def proxied(self, server: str) -> str:
        """Its URL through the API server at ``server``."""
        scheme = "https:" if self.scheme == "https" else ""
        return (
            f"{server}/api/v1/namespaces/{self.namespace}"
            f"/services/{scheme}{self.name}:{self.port}/proxy"
        )


class _Fresh(AuthBase):
    """Puts the headers of the moment on each request."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def __call__(self, request: Any) -> Any:
        request.headers.update(self._credentials.headers())
        return request


def session_for(access: Access, credentials: Credentials) -> requests.Session:
    """A session with the context's certificates, token and proxy."""
    session = requests.Session()
    # Else REQUESTS_CA_BUNDLE takes the place of the cluster's authority, and ~/.netrc of the token.
    session.trust_env = False
    proxy = access.proxy_url
    session.proxies = (
        {"http": proxy, "https": proxy} if proxy else dict(get_environ_proxies(access.server))
    )
    session.auth = _Fresh(credentials)
    session.verify = (credentials.ca_file or True) if access.verify else False
    session.cert = credentials.certificate
    return session
