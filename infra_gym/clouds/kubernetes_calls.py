"""Calls of the API server: a deadline, few retries, and errors that say what to do.

Built on the official client, whose own answers are taken as JSON: its models differ from version
to version and refuse what a newer server says.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import urllib3

from infra_gym.clouds.kubernetes_config import Access
from infra_gym.clouds.kubernetes_credentials import Credentials
from infra_gym.errors import ClusterError, ClusterRefusedError, ClusterUnreachableError

if TYPE_CHECKING:
    from kubernetes.client.exceptions import ApiException

CONNECT_DEADLINE_S = 5.0
READ_DEADLINE_S = 10.0
RETRIES = 2
_BACKOFF_S = 0.2
_WORDS = 300

Json = dict[str, Any]


class NotFoundError(ClusterError):
    """There is no such object."""


class Calls:
    """The official client's interfaces, for one context.

    Args:
        access: The context.
        credentials: Its user's.
    """

    def __init__(self, access: Access, credentials: Credentials) -> None:
        # It takes most of a second to import: only where there is a cluster.
        from kubernetes import client

        self._access = access
        self._credentials = credentials
        self._refusal = client.ApiException
        self._client = client.ApiClient(_configuration(access, credentials))
        self.core = client.CoreV1Api(self._client)
        self.apps = client.AppsV1Api(self._client)
        self.authorization = client.AuthorizationV1Api(self._client)
        self.storage = client.StorageV1Api(self._client)
        self.version = client.VersionApi(self._client)

    def ask(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Json:
        """What the server answers to ``function``, one of the interfaces' methods.

        Raises:
            NotFoundError: The server has no such object.
            ClusterUnreachableError: No answer in time, or the server is overloaded or starting.
            ClusterRefusedError: The credentials are not accepted, or a right is missing.
            ClusterError: Any other refusal.
        """
        body = self.text(function, *arguments, **options)
        try:
            found = json.loads(body)
        except ValueError as error:
            raise ClusterUnreachableError(
                f"{self._server()} does not answer as a Kubernetes API server does.",
                next_command="check the server's address in the kubeconfig",
            ) from error
        if not isinstance(found, dict):
            raise ClusterError(f"{self._server()} answered something that is no object.")
        return found

    def text(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> str:
        """The answer as it came, such as a log; raises as :meth:`ask` does."""
        response = self.open(function, *arguments, **options)
        try:
            return bytes(response.data).decode(errors="replace")
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from error

    def open(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """The answer, unread; raises as :meth:`ask` does."""
        try:
            return self._send(function, *arguments, **options)
        except self._refusal as error:
            # A plugin's token may have been withdrawn before its time.
            if error.status != 401 or not self._credentials.renew():
                raise self._explained(error) from error
        try:
            return self._send(function, *arguments, **options)
        except self._refusal as error:
            raise self._explained(error) from error

    def close(self) -> None:
        """Give the connections back."""
        self._client.rest_client.pool_manager.clear()

    def _send(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        self._client.default_headers.update(self._credentials.headers())
        options.setdefault("_request_timeout", (CONNECT_DEADLINE_S, READ_DEADLINE_S))
        try:
            return function(*arguments, _preload_content=False, **options)
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from error

    def _explained(self, error: ApiException) -> Exception:
        if error.status == 404:
            return NotFoundError(said_by(error.body))
        if error.status == 0:
            return self._unreachable(error)
        if error.status == 401:
            return self._not_accepted()
        words = said_by(error.body) or str(error.reason)
        if error.status == 403:
            return ClusterRefusedError(
                f"Context {self._access.context!r} lacks a right: {words}",
                next_command="infra-gym doctor --target k8s lists the rights that are missing",
            )
        text = f"{self._server()} answered {error.status}: {words}"
        if error.status == 429 or error.status >= 500:
            return ClusterUnreachableError(text, next_command="try again: it is busy or starting")
        return ClusterError(text)

    def _not_accepted(self) -> ClusterRefusedError:
        expiry = self._credentials.expiry()
        why = (
            f"the token ends {expiry:%Y-%m-%d %H:%M} UTC"
            if expiry
            else "the token or certificate may have expired"
        )
        return ClusterRefusedError(
            f"{self._server()} does not accept the credentials of context "
            f"{self._access.context!r}: {why}.",
            next_command="log in again, or get a new kubeconfig from the cluster's provider",
        )

    def _unreachable(self, error: Exception) -> ClusterError:
        cause = _root(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ClusterError(
                f"{self._server()} shows a certificate that the kubeconfig does not trust: "
                f"{cause.verify_message}.",
                next_command="get a new kubeconfig: the cluster may have been made again",
            )
        if isinstance(cause, ssl.SSLError):
            return ClusterError(f"{self._server()}: TLS failed: {cause.reason or cause}.")
        return ClusterUnreachableError(
            f"{self._server()} of context {self._access.context!r} cannot be reached: "
            f"{unreachable_because(cause)}.",
            next_command="check that the cluster runs, and the network or VPN to it",
        )

    def _server(self) -> str:
        return f"The API server {self._access.server}"


def said_by(body: Any) -> str:
    """The message in a refusal, cut short; empty where it is none of Kubernetes's."""
    try:
        return str(json.loads(body)["message"])[:_WORDS]
    except (ValueError, KeyError, TypeError):
        return ""


def _configuration(access: Access, credentials: Credentials) -> Any:
    from kubernetes import client

    made = client.Configuration()
    made.host = access.server
    made.verify_ssl = access.verify
    made.ssl_ca_cert = credentials.ca_file
    made.tls_server_name = access.tls_server_name
    if credentials.certificate:
        made.cert_file, made.key_file = credentials.certificate
    if access.proxy_url:
        made.proxy = access.proxy_url
    # Whoever cannot connect is tried again; whoever answered late has perhaps done it.
    made.retries = urllib3.Retry(
        total=RETRIES, connect=RETRIES, read=0, status=0, other=0, redirect=0,
        backoff_factor=_BACKOFF_S, respect_retry_after_header=False,
        raise_on_status=False, raise_on_redirect=False,
    )  # fmt: skip
    return made


def _root(error: BaseException) -> BaseException:
    """What lies below urllib3's wrapping."""
    while True:
        below = getattr(error, "reason", None)
        if not isinstance(below, BaseException):
            below = next((one for one in error.args if isinstance(one, BaseException)), None)
        below = below or error.__cause__ or error.__context__
        if not isinstance(below, BaseException):
            return error
        error = below


def unreachable_because(error: BaseException) -> str:
    """Why no answer came, in a few words."""
    cause = _root(error)
    if isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return (str(cause) or type(cause).__name__)[:_WORDS]
