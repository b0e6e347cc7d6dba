"""What the cluster tests share: a cluster, any that INFRA_GYM_TEST_KUBECONFIG names."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from infra_gym.definitions import definitions_folder
from infra_gym.terraform.command import Terraform

VARIABLE = "INFRA_GYM_TEST_KUBECONFIG"
ID = "SimpleK8sWebApp-v0"


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The cluster's kubeconfig."""
    named = os.environ.get(VARIABLE)
    if not named:
        pytest.skip(f"{VARIABLE} names no kubeconfig")
    return Path(named)


@pytest.fixture(scope="session", autouse=True)
def provider(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where Terraform cannot have the kubernetes provider."""
    folder = tmp_path_factory.mktemp("provider") / "core"
    shutil.copytree(definitions_folder().parent / "layers" / "k8s" / "core", folder)
    try:
        Terraform().init(folder)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the reason
        pytest.skip(f"the kubernetes provider cannot be had: {error}")


class Kubectl:
    """A person at the cluster."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig

    def __call__(self, *words: str, check: bool = True, text: str | None = None) -> str:
        """The output of ``kubectl WORDS``."""
        done = subprocess.run(
            ["kubectl", f"--kubeconfig={self._kubeconfig}", *words],
            capture_output=True, text=True, input=text, timeout=100, check=False,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(words)}: {done.stderr}")
        return done.stdout

    def pods(self, namespace: str, name: str = "heater") -> list[str]:
        """The names of a layer's pods that are not on their way out."""
        found = json.loads(
            self("-n", namespace, "get", "pods", "-o", "json",
                 "-l", f"app.kubernetes.io/name={name}")
        )  # fmt: skip
        return [
            one["metadata"]["name"]
            for one in found["items"]
            if "deletionTimestamp" not in one["metadata"]
        ]

    def namespaces(self, project: str) -> list[str]:
        """The namespaces of a project."""
        return self("get", "namespaces", "-o", "name", "-l", f"infra-gym/project={project}").split()


@pytest.fixture(scope="session")
def kubectl(kubeconfig: Path) -> Kubectl:
    """A person at the cluster."""
    return Kubectl(kubeconfig)


@pytest.fixture(scope="module")
def project(kubectl: Kubectl) -> Iterator[str]:
    """A project that no other test has; nothing of it may be left."""
    name = f"t{secrets.token_hex(4)}"
    yield name
    left = kubectl.namespaces(name)
    if left:
        kubectl("delete", "--wait=false", *left)
    assert left == []


@pytest.fixture(autouse=True, scope="module")
def data_folder(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Settings: the cluster, and a data folder of the module's own."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INFRA_GYM_DATA_FOLDER", str(folder))
        patch.setenv("INFRA_GYM_KUBECONFIG", str(kubeconfig))
        patch.delenv("INFRA_GYM_KUBE_CONTEXT", raising=False)
        yield folder


@pytest.fixture
def definition(tmp_path: Path) -> Callable[..., str]:
    """A function that writes the environment with other inputs of its heater."""

    def write(**heater: Any) -> str:
        document = yaml.safe_load((definitions_folder() / f"{ID}.yaml").read_text())
        document["inputs"]["k8s/heater"] = heater
        path = tmp_path / f"{ID}.yaml"
        path.write_text(yaml.safe_dump(document))
        return str(path)

    return write


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """A function that waits until a condition holds."""

    def wait(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            time.sleep(0.2)

    return wait


class Gate:
    """A way to the API server that can be blocked: connections are taken, and bytes wait."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._open = threading.Event()
        self._open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def block(self) -> None:
        """From now on nothing passes."""
        self._open.clear()

    def unblock(self) -> None:
        """Everything passes again, what waited first."""
        self._open.set()

    def close(self) -> None:
        """Take no more connections."""
        self.unblock()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open.wait()
        with closing(client), suppress(OSError), closing(socket.create_connection(self._to)) as api:
            back = threading.Thread(target=self._pump, args=(api, client), daemon=True)
            back.start()
            self._pump(client, api)
            back.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._open.wait()
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def gate(
    kubeconfig: Path, data_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    """The gate that everything of this module passes on its way to the API server."""
    document = yaml.safe_load(kubeconfig.read_text())
    context = next(
        one["context"] for one in document["contexts"] if one["name"] == document["current-context"]
    )
    cluster = next(
        one["cluster"] for one in document["clusters"] if one["name"] == context["cluster"]
    )
    server = urlsplit(cluster["server"])
    gate = Gate(server.hostname or "", server.port or 443)
    cluster["server"] = f"https://127.0.0.1:{gate.port}"
    if server.hostname != "127.0.0.1":
        cluster["tls-server-name"] = server.hostname
    path = tmp_path_factory.mktemp("gate") / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INFRA_GYM_KUBECONFIG", str(path))
        yield gate
    gate.close()
