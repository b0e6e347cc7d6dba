"""What a context's user shows to the server, and the programs that give it."""

from __future__ import annotations

import base64
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra_gym.clouds.kubernetes import Cluster
from infra_gym.clouds.kubernetes_credentials import write_secret
from infra_gym.errors import ClusterError, ClusterRefusedError


def plugin(folder: Path, script: str) -> dict[str, Any]:
    """A user whose credentials come from a program, which counts how often it is run."""
    program = folder / "plugin"
    program.write_text(f"#!/bin/sh\necho run >> {folder}/runs\n{script}\n")
    program.chmod(0o700)
    return {"exec": {"command": str(program), "apiVersion": "client.authentication.k8s.io/v1"}}


def answering(token: str, expires: datetime | None = None) -> str:
    status = {"token": token}
    if expires is not None:
        status["expirationTimestamp"] = expires.strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"echo '{json.dumps({'kind': 'ExecCredential', 'status': status})}'"


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().split())


def test_a_plugins_token_is_used_until_it_ends(api_server: Any, tmp_path: Path) -> None:
    api_server.token = "from-the-plugin"
    user = plugin(tmp_path, answering("from-the-plugin", datetime.now(UTC) + timedelta(hours=1)))
    with Cluster.connect(api_server.kubeconfig(tmp_path / "config", user)) as cluster:
        cluster.version()
    assert runs(tmp_path) == 1


def test_a_plugin_is_run_again_before_its_token_ends(api_server: Any, tmp_path: Path) -> None:
    user = plugin(tmp_path, answering("a-token", datetime.now(UTC) + timedelta(seconds=30)))
    with Cluster.connect(api_server.kubeconfig(tmp_path / "config", user)) as cluster:
        before = runs(tmp_path)
        cluster.version()
        assert runs(tmp_path) == before + 1


def test_a_token_that_was_withdrawn_is_fetched_again(api_server: Any, tmp_path: Path) -> None:
    user = plugin(tmp_path, f"cat {tmp_path}/answer")
    answer = tmp_path / "answer"
    answer.write_text(json.dumps({"status": {"token": "old"}}))
    with Cluster.connect(api_server.kubeconfig(tmp_path / "config", user)) as cluster:
        api_server.token = "new"
        answer.write_text(json.dumps({"status": {"token": "new"}}))
        assert cluster.version() == "v1.34.4"


def test_a_missing_plugin_gives_its_own_hint(api_server: Any, tmp_path: Path) -> None:
    user = {"exec": {"command": "no-such-plugin", "installHint": "brew install it"}}
    with pytest.raises(ClusterError, match="no-such-plugin, which is not on this") as caught:
        Cluster.connect(api_server.kubeconfig(tmp_path / "config", user))
    assert caught.value.next_command == "brew install it"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo please log in >&2; exit 3", "failed with exit code 3: please log in"),
        ("echo a-secret", "did not answer as one"),
        ("""echo '{"status": {}}'""", "gave neither a token nor a certificate"),
    ],
)
def test_a_plugin_that_fails_is_named(
    api_server: Any, tmp_path: Path, script: str, words: str
) -> None:
    config = api_server.kubeconfig(tmp_path / "config", plugin(tmp_path, script))
    with pytest.raises(ClusterRefusedError, match=words) as caught:
        Cluster.connect(config)
    assert "a-secret" not in str(caught.value)


def test_a_plugin_that_asks_people_is_refused(api_server: Any, tmp_path: Path) -> None:
    user = {"exec": {"command": "login", "interactiveMode": "Always"}}
    with pytest.raises(ClusterError, match="nobody is here to answer"):
        Cluster.connect(api_server.kubeconfig(tmp_path / "config", user))


def test_an_old_auth_provider_is_refused(api_server: Any, tmp_path: Path) -> None:
    user = {"auth-provider": {"name": "gcp"}}
    with pytest.raises(ClusterError, match=r"auth-provider \(gcp\)"):
        Cluster.connect(api_server.kubeconfig(tmp_path / "config", user))


def test_a_file_with_a_token_is_read_anew(api_server: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    api_server.token = "first"
    config = api_server.kubeconfig(tmp_path / "config", {"tokenFile": "token"})
    with Cluster.connect(config) as cluster:
        api_server.token = "second"
        token.write_text("second\n")
        assert cluster.version() == "v1.34.4"


def test_an_expired_token_is_told_with_its_end(api_server: Any, tmp_path: Path) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": 1_700_000_000}).encode()).decode()
    api_server.token = "another"
    user = {"token": f"head.{claims.rstrip('=')}.signature"}
    with pytest.raises(ClusterRefusedError, match="the token ends 2023-11-14 22:13 UTC") as caught:
        Cluster.connect(api_server.kubeconfig(tmp_path / "config", user))
    assert "log in again" in str(caught.value.next_command)
    assert claims not in str(caught.value)


def test_name_and_password_and_impersonation_are_sent(api_server: Any, tmp_path: Path) -> None:
    user = {"username": "ann", "password": "word", "as": "bob"}
    with Cluster.connect(api_server.kubeconfig(tmp_path / "config", user)):
        headers = api_server.requests[-1][2]
    assert headers["Authorization"] == f"Basic {base64.b64encode(b'ann:word').decode()}"
    assert headers["Impersonate-User"] == "bob"


def test_the_session_carries_the_token_of_the_moment(api_server: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    config = api_server.kubeconfig(tmp_path / "config", {"tokenFile": "token"})
    with Cluster.connect(config) as cluster, cluster.session() as session:
        token.write_text("second")
        session.get(cluster.proxied("http://a.b.svc:80/x"), timeout=5)
    method, path, headers = api_server.requests[-1]
    assert (method, path) == ("GET", "/api/v1/namespaces/b/services/a:80/proxy/x")
    assert headers["Authorization"] == "Bearer second"


HOLDS_CREDENTIALS = """
import sys, time
from pathlib import Path
from infra_gym.clouds.kubernetes_config import Kubeconfig
from infra_gym.clouds.kubernetes_credentials import Credentials
held = Credentials(Kubeconfig.find(Path(sys.argv[1])).access())
print(held._folder, flush=True)
time.sleep(60)
"""


def test_what_a_killed_process_left_goes_with_the_next_one(
    api_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    file = api_server.kubeconfig(tmp_path / "config", {"token": "a-token"})
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS_CREDENTIALS, str(file)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    folder = Path(holder.stdout.readline().strip())
    assert folder.parent == tmp_path

    def grow_old_and_connect() -> None:
        """As if some time had passed: what was made just now is left alone."""
        os.utime(folder, (time.time() - 3600,) * 2)
        Cluster.connect(file).close()

    grow_old_and_connect()
    assert folder.is_dir()  # its process lives
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    Cluster.connect(file).close()
    assert not folder.exists()
    assert not list(tmp_path.glob("infra-gym-credentials-*"))


def test_newer_credentials_go_to_the_same_places(api_server: Any, tmp_path: Path) -> None:
    api_server.token = "old"
    file = api_server.kubeconfig(tmp_path / "config", {"token": "old"})
    with Cluster.connect(file) as cluster:
        session = cluster.session()
        api_server.token = "new"
        with pytest.raises(ClusterRefusedError):
            cluster.version()
        cluster.renew(api_server.kubeconfig(tmp_path / "config", {"token": "new"}))
        cluster.version()
        assert session.get(f"{cluster.server}/version", timeout=10).status_code == 200


def test_a_secret_is_replaced_at_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("old")
    path.chmod(0o644)
    with path.open() as reader:
        write_secret(path, b"new")
        assert reader.read() == "old"  # the file that was open is whole
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["kubeconfig"]


def test_a_secret_that_cannot_be_written_leaves_no_part_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "kubeconfig"
    (folder / "not-empty").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_secret(folder, b"new")
    assert [one.name for one in tmp_path.iterdir()] == ["kubeconfig"]
