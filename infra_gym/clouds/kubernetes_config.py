"""Kubeconfig files: which are used, what a context in them means, and one file made of it.

Several files in ``KUBECONFIG`` are put together as ``kubectl`` does: the first that names something
wins, and a file that does not exist is passed over. Paths in a file start at its own folder.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from infra_gym.errors import ClusterError, UnknownNameError, UsageError

DEFAULT_FILE = Path("~/.kube/config")
VARIABLE = "KUBECONFIG"
WITHOUT_A_CLUSTER = "or run without a cluster: --target sim"

_PARTS = ("clusters", "contexts", "users")
_PATHS = {
    "clusters": ("certificate-authority",),
    "users": ("client-certificate", "client-key", "tokenFile"),
}


@dataclass(frozen=True)
class Access:
    """How one context reaches its cluster.

    Attributes:
        context: The context's name.
        namespace: Its default namespace.
        server: The API server's URL, without a slash at the end.
        ca: The certificates, PEM, that the server is checked by; the system's when ``None``.
        verify: Whether the server is checked at all.
        tls_server_name: The name that its certificate is for, where that is not the URL's.
        proxy_url: The HTTP proxy on the way, if the file names one.
        user: The file's own ``user`` entry, paths made absolute. Holds secrets.
        files: The files that exist, in order.
    """

    context: str
    namespace: str
    server: str
    ca: bytes | None
    verify: bool
    tls_server_name: str | None
    proxy_url: str | None
    user: Mapping[str, Any] = field(repr=False)
    files: tuple[Path, ...]


class Kubeconfig:
    """What the files say together.

    Args:
        files: Where to look, the most important first.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(file for file in files if file.is_file())
        self._named: dict[str, dict[str, dict[str, Any]]] = {part: {} for part in _PARTS}
        self.current: str | None = None
        for file in self.files:
            self._add(file, _parsed(file))

    @classmethod
    def find(cls, file: Path | None = None) -> Kubeconfig:
        """The named file, else those in ``KUBECONFIG``, else ``~/.kube/config``.

        Raises:
            ClusterError: None of them exists, or one cannot be read.
        """
        files = candidates(file)
        found = cls(files)
        if not found.files:
            raise ClusterError(
                f"There is no kubeconfig: {' and '.join(map(str, files))} "
                f"{'does' if len(files) == 1 else 'do'} not exist.",
                next_command=f"export {VARIABLE}=/path/to/kubeconfig, {WITHOUT_A_CLUSTER}",
            )
        return found

    @property
    def contexts(self) -> list[str]:
        """The names of the contexts."""
        return sorted(self._named["contexts"])

    def access(self, context: str | None = None) -> Access:
        """What ``context`` means; the current one when left out.

        Raises:
            UnknownNameError: There is no such context.
            UsageError: No context is named and none is current.
            ClusterError: The context names a cluster or user that is not there.
        """
        name = context or self.current
        if not name:
            raise UsageError(
                f"{self._files_shown()}: no context is current; there are: "
                f"{', '.join(self.contexts) or 'none'}",
                next_command="name one: export INFRA_GYM_KUBE_CONTEXT=NAME",
            )
        if name not in self._named["contexts"]:
            raise UnknownNameError("kubeconfig context", name, self.contexts)
        chosen = self._named["contexts"][name]
        cluster = self._part("clusters", chosen.get("cluster"), name)
        user = self._part("users", chosen["user"], name) if chosen.get("user") else {}
        if not isinstance(cluster.get("server"), str):
            raise self._broken(f"the cluster of context {name!r} has no server")
        return Access(
            context=name,
            namespace=chosen.get("namespace") or "default",
            server=cluster["server"].rstrip("/"),
            ca=data_or_file(cluster, "certificate-authority"),
            verify=not cluster.get("insecure-skip-tls-verify"),
            tls_server_name=cluster.get("tls-server-name"),
            proxy_url=cluster.get("proxy-url"),
            user=user,
            files=self.files,
        )

    def only(self, access: Access, namespace: str) -> str:
        """One file, YAML, with nothing but this context and ``namespace`` as its default.

        What lies in other files is put into it, but for tokens that are read anew and programs
        that are run. Holds secrets: write it where only its owner reads.
        """
        chosen = self._named["contexts"][access.context]
        cluster = _with_data(self._part("clusters", chosen.get("cluster"), access.context))
        context = {"cluster": "cluster", "user": "user", "namespace": namespace}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": access.context,
            "clusters": [{"name": "cluster", "cluster": cluster}],
            "contexts": [{"name": access.context, "context": context}],
            "users": [{"name": "user", "user": _with_data(access.user)}],
        }
        return yaml.safe_dump(document, sort_keys=False)

    def _add(self, file: Path, document: Mapping[str, Any]) -> None:
        self.current = self.current or document.get("current-context") or None
        for part in _PARTS:
            for entry in document.get(part) or ():
                try:
                    name, content = entry["name"], entry[part.removesuffix("s")] or {}
                    absolute = _absolute(content, _PATHS.get(part, ()), file.parent)
                except (KeyError, TypeError, AttributeError) as error:
                    raise ClusterError(f"{file}: {part} has an entry of another form.") from error
                self._named[part].setdefault(name, absolute)

    def _part(self, part: str, name: str | None, context: str) -> dict[str, Any]:
        if name not in self._named[part]:
            what = part.removesuffix("s")
            raise self._broken(f"context {context!r} names {what} {name!r}, which is not there")
        return self._named[part][name]

    def _broken(self, what: str) -> ClusterError:
        return ClusterError(f"{self._files_shown()}: {what}.")

    def _files_shown(self) -> str:
        return ", ".join(map(str, self.files))


def candidates(file: Path | None = None) -> list[Path]:
    """Where a kubeconfig is looked for, whether it exists or not.

    Args:
        file: A file, or several joined as in ``KUBECONFIG``, whose value is the default.
    """
    text = os.environ.get(VARIABLE, "") if file is None else str(file)
    named = [one for one in text.split(os.pathsep) if one]
    return [Path(one).expanduser().absolute() for one in named or [str(DEFAULT_FILE)]]


def data_or_file(entry: Mapping[str, Any], key: str) -> bytes | None:
    """The content of ``KEY-data`` (base64), else of the file ``KEY``, else ``None``.

    Raises:
        ClusterError: It is not base64, or the file cannot be read.
    """
    if data := entry.get(f"{key}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError, TypeError) as error:
            raise ClusterError(f"The kubeconfig's {key}-data is not base64.") from error
    return read_file(entry[key], key) if entry.get(key) else None


def read_file(path: str, what: str) -> bytes:
    """The content of a file that a kubeconfig names.

    Raises:
        ClusterError: It cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ClusterError(
            f"The kubeconfig's {what} {path} cannot be read: {error.strerror}."
        ) from error


def _parsed(file: Path) -> dict[str, Any]:
    """The file's content. What stands in it is not repeated in an error: it may be a secret."""
    try:
        document = yaml.safe_load(file.read_text())
    except OSError as error:
        raise ClusterError(f"{file} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ClusterError(f"{file}{line}: this is not YAML.") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ClusterError(f"{file}: this is not a kubeconfig.")
    return document


def _absolute(entry: Mapping[str, Any], keys: Sequence[str], folder: Path) -> dict[str, Any]:
    made = dict(entry)
    for key in keys:
        if made.get(key):
            made[key] = str(folder / made[key])
    program = made.get("exec")
    if isinstance(program, dict) and "/" in str(program.get("command", "")):
        made["exec"] = {**program, "command": str(folder / program["command"])}
    return made


def _with_data(entry: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(entry)
    for key in ("certificate-authority", "client-certificate", "client-key"):
        content = data_or_file(entry, key)
        made.pop(key, None)
        if content is not None:
            made[f"{key}-data"] = base64.b64encode(content).decode()
    return made
