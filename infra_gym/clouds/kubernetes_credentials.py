"""What a kubeconfig's user shows to the API server: certificate, token, or a program's answer.

Certificates must lie in files for TLS. Ours lie in a folder of their own that only its owner can
enter, and go with :meth:`Credentials.close`, or at the latest when Python ends. What a process that
was killed has left, the next one removes.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra_gym.clouds.kubernetes_config import Access, data_or_file, read_file
from infra_gym.errors import ClusterError, ClusterRefusedError

PLUGIN_DEADLINE_S = 60.0
FOLDERS = "infra-gym-credentials-"
"""What the names of folders with secrets begin with; nobody's are removed."""
_EARLY = timedelta(seconds=60)
_NEW_S = 60.0
"""A folder that is made is not held in the same moment."""
_OLD_PLUGINS = "auth-provider"


@dataclass(frozen=True)
class _Answer:
    """What a credential plugin said."""

    token: str | None
    certificate: tuple[str, str] | None
    expires: datetime | None


class Credentials:
    """A user's, kept fresh. Thread-safe.

    Args:
        access: The context whose user it is.

    Raises:
        ClusterError: They are of a kind that is not supported, or cannot be read.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._user = access.user
        self._lock = threading.Lock()
        self._answer: _Answer | None = None
        self._refuse_unsupported()
        remove_abandoned()
        self._folder = Path(tempfile.mkdtemp(prefix=FOLDERS))
        held = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(held, fcntl.LOCK_EX)
        self._remove = weakref.finalize(self, _remove, self._folder, held)
        try:
            self.ca_file = self._written("ca.pem", access.ca) if access.ca else None
            self.certificate = self._certificate()
        except BaseException:
            self._remove()
            raise

    def headers(self) -> dict[str, str]:
        """The headers of the next request; a plugin is run again before its answer expires.

        Raises:
            ClusterError: The plugin is missing, fails, or answers nonsense.
        """
        made = {}
        if authorization := self._authorization():
            made["Authorization"] = authorization
        if self._user.get("as"):
            made["Impersonate-User"] = str(self._user["as"])
        return made

    def renew(self) -> bool:
        """Forget a plugin's answer, which the server did not accept; whether there was one."""
        with self._lock:
            had, self._answer = self._answer is not None, None
        return had

    def replace(self, access: Access) -> None:
        """Go on with newer ones of the same user; what is under way ends with the old ones.

        Raises:
            ClusterError: They cannot be read.
        """
        self._access, self._user = access, access.user
        if access.ca:
            self._written("ca.pem", access.ca)
        self._certificate()

    def expiry(self) -> datetime | None:
        """When the token ends, where it says so."""
        if self._answer is not None:
            return self._answer.expires
        return _end_of(self._token() or "")

    def close(self) -> None:
        """Remove the files."""
        self._remove()

    def _refuse_unsupported(self) -> None:
        if _OLD_PLUGINS in self._user:
            name = (self._user[_OLD_PLUGINS] or {}).get("name")
            raise ClusterError(
                f"Context {self._access.context!r} has an auth-provider ({name}), which Kubernetes "
                "gave up in favour of exec plugins.",
                next_command="make the kubeconfig again with your provider's current tool",
            )
        if self._user.get("as-groups") or self._user.get("as-user-extra"):
            raise ClusterError(
                f"Context {self._access.context!r} impersonates groups, which is not supported."
            )

    def _certificate(self) -> tuple[str, str] | None:
        certificate = data_or_file(self._user, "client-certificate")
        key = data_or_file(self._user, "client-key")
        if certificate and key:
            return self._pair(certificate, key)
        if "exec" in self._user:
            self._answer = self._ask_plugin()
            return self._answer.certificate
        return None

    def _authorization(self) -> str | None:
        if token := self._token():
            return f"Bearer {token}"
        if self._user.get("username"):
            text = f"{self._user['username']}:{self._user.get('password') or ''}"
            return f"Basic {base64.b64encode(text.encode()).decode()}"
        return None

    def _token(self) -> str | None:
        if self._user.get("tokenFile"):
            return read_file(self._user["tokenFile"], "tokenFile").decode().strip()
        if self._user.get("token"):
            return str(self._user["token"])
        if "exec" in self._user:
            with self._lock:
                if self._answer is None or _ends_soon(self._answer.expires):
                    self._answer = self._ask_plugin()
                return self._answer.token
        return None

    def _ask_plugin(self) -> _Answer:
        plugin = self._user["exec"]
        status = _status_of(_run(plugin, self._access), plugin["command"])
        certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
        pair = self._pair(certificate.encode(), key.encode()) if certificate and key else None
        if not status.get("token") and pair is None:
            raise ClusterRefusedError(
                f"The credential plugin {plugin['command']} gave neither a token nor a certificate."
            )
        return _Answer(status.get("token"), pair, _time(status.get("expirationTimestamp")))

    def _pair(self, certificate: bytes, key: bytes) -> tuple[str, str]:
        return self._written("client.pem", certificate), self._written("client-key.pem", key)

    def _written(self, name: str, content: bytes) -> str:
        path = self._folder / name
        write_secret(path, content)
        return str(path)


def write_secret(path: Path, content: bytes) -> None:
    """Make or replace a file for its owner's eyes only; who reads it sees the old or the new one.

    Raises:
        OSError: It cannot be written.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # of mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def remove_abandoned() -> None:
    """Remove the folders of processes that were killed: nobody holds them any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*"):
        with suppress(OSError):  # somebody else's, held, or gone
            if time.time() - folder.stat().st_mtime < _NEW_S or folder.is_symlink():
                continue
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(held)


def _remove(folder: Path, held: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        os.close(held)


def _run(plugin: Mapping[str, Any], access: Access) -> str:
    """The plugin's output, by the protocol client.authentication.k8s.io."""
    command = str(plugin["command"])
    if plugin.get("interactiveMode") == "Always":
        raise ClusterError(
            f"The credential plugin {command} asks questions, and nobody is here to answer.",
            next_command="use a kubeconfig with a token or a certificate",
        )
    spec: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        ca = (
            {"certificate-authority-data": base64.b64encode(access.ca).decode()}
            if access.ca
            else {}
        )
        spec["cluster"] = {"server": access.server, **ca}
    request = {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": spec}
    own = {one["name"]: one["value"] for one in plugin.get("env") or ()}
    try:
        done = subprocess.run(
            [command, *map(str, plugin.get("args") or ())],
            env={**os.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(request)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PLUGIN_DEADLINE_S,
            check=False,
        )
    except FileNotFoundError as error:
        hint = str(plugin.get("installHint") or "").strip()
        raise ClusterError(
            f"Context {access.context!r} logs in with the program {command}, which is not on this "
            "machine.",
            next_command=hint or f"install {command}, or use a kubeconfig with a token",
        ) from error
    except OSError as error:
        raise ClusterError(
            f"The credential plugin {command} cannot be run: {error.strerror}."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ClusterRefusedError(
            f"The credential plugin {command} did not answer within {PLUGIN_DEADLINE_S:.0f} s."
        ) from error
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        raise ClusterRefusedError(
            f"The credential plugin {command} failed with exit code {done.returncode}: "
            f"{words[-1][:300] if words else 'it said nothing'}",
            next_command="log in again with your provider's tool",
        )
    return done.stdout


def _status_of(output: str, command: str) -> dict[str, Any]:
    """``status`` of an ExecCredential; what it says is not repeated, for it holds secrets."""
    try:
        status = json.loads(output)["status"]
    except (ValueError, KeyError, TypeError):
        status = None
    if not isinstance(status, dict):
        raise ClusterRefusedError(f"The credential plugin {command} did not answer as one.")
    return status


def _ends_soon(expires: datetime | None) -> bool:
    return expires is not None and datetime.now(UTC) > expires - _EARLY


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def _end_of(token: str) -> datetime | None:
    """When a JSON web token ends; ``None`` for other tokens. Nothing is verified."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        return datetime.fromtimestamp(json.loads(base64.urlsafe_b64decode(padded))["exp"], UTC)
    except (ValueError, KeyError, TypeError):
        return None
