from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra_gym.clouds.kubernetes_config import Kubeconfig
from infra_gym.errors import ClusterError, UnknownNameError, UsageError


def written(file: Path, context: str, *, current: bool = True, **cluster: Any) -> Path:
    document: dict[str, Any] = {
        "clusters": [
            {"name": f"{context}-c", "cluster": {"server": f"https://{context}/", **cluster}}
        ],
        "contexts": [
            {"name": context, "context": {"cluster": f"{context}-c", "user": f"{context}-u"}}
        ],
        "users": [{"name": f"{context}-u", "user": {"token": "very-secret"}}],
    }
    if current:
        document["current-context"] = context
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(document))
    return file


def test_of_several_files_the_first_that_names_something_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = written(tmp_path / "one", "one"), written(tmp_path / "two", "two")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}:{one}:{two}")
    found = Kubeconfig.find()
    assert found.files == (one, two)
    assert found.contexts == ["one", "two"]
    assert found.access().context == "one"
    assert found.access("two").server == "https://two"


def test_a_named_file_beats_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(written(tmp_path / "one", "one")))
    assert Kubeconfig.find(written(tmp_path / "two", "two")).contexts == ["two"]


def test_without_a_file_the_error_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ClusterError) as caught:
        Kubeconfig.find()
    assert str(tmp_path / ".kube" / "config") in caught.value.message
    assert "export KUBECONFIG=" in str(caught.value.next_command)
    assert "--target sim" in str(caught.value.next_command)


def test_an_unknown_context_gets_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'staging'"):
        Kubeconfig.find(written(tmp_path / "one", "staging")).access("stagin")


def test_no_current_context_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no context is current; there are: one"):
        Kubeconfig.find(written(tmp_path / "one", "one", current=False)).access()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [very-secret", "line 1: this is not YAML"),
        ("just text", "not a kubeconfig"),
        ("contexts: [very-secret]", "contexts has an entry of another form"),
    ],
)
def test_a_broken_file_is_named_and_not_repeated(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "broken"
    file.write_text(text)
    with pytest.raises(ClusterError, match=words) as caught:
        Kubeconfig.find(file)
    assert str(file) in str(caught.value)
    assert "very-secret" not in str(caught.value)


def test_a_context_without_its_cluster_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "broken"
    file.write_text("contexts: [{name: a, context: {cluster: gone, user: u}}]")
    with pytest.raises(ClusterError, match="names cluster 'gone', which is not there"):
        Kubeconfig.find(file).access("a")


def test_paths_start_at_their_files_folder(tmp_path: Path) -> None:
    file = written(tmp_path / "folder" / "one", "one", **{"certificate-authority": "ca.pem"})
    (tmp_path / "folder" / "ca.pem").write_bytes(b"an authority")
    assert Kubeconfig.find(file).access().ca == b"an authority"


def test_data_that_is_no_base64_is_an_error(tmp_path: Path) -> None:
    file = written(tmp_path / "one", "one", **{"certificate-authority-data": "???"})
    with pytest.raises(ClusterError, match="certificate-authority-data is not base64"):
        Kubeconfig.find(file).access()


def test_one_file_is_made_of_one_context(tmp_path: Path) -> None:
    file = written(tmp_path / "folder" / "one", "one", **{"certificate-authority": "ca.pem"})
    (tmp_path / "folder" / "ca.pem").write_bytes(b"an authority")
    source = Kubeconfig.find(file)
    alone = tmp_path / "alone"
    alone.write_text(source.only(source.access(), "a-run"))
    access = Kubeconfig.find(alone).access()
    assert (access.context, access.namespace, access.server) == ("one", "a-run", "https://one")
    assert access.ca == b"an authority"
    assert access.user["token"] == "very-secret"


def test_secrets_are_not_in_the_representation(tmp_path: Path) -> None:
    assert "very-secret" not in repr(Kubeconfig.find(written(tmp_path / "one", "one")).access())


def test_certificates_lie_where_only_their_owner_reads_and_go(tmp_path: Path) -> None:
    from infra_gym.clouds.kubernetes_credentials import Credentials

    encoded = base64.b64encode(b"a secret").decode()
    file = written(tmp_path / "one", "one", **{"certificate-authority-data": encoded})
    document = yaml.safe_load(file.read_text())
    document["users"][0]["user"] = {
        "client-certificate-data": encoded,
        "client-key-data": encoded,
    }
    file.write_text(yaml.safe_dump(document))
    credentials = Credentials(Kubeconfig.find(file).access())
    assert credentials.certificate is not None
    assert credentials.ca_file is not None
    files = [Path(one) for one in (credentials.ca_file, *credentials.certificate)]
    assert [stat.S_IMODE(one.stat().st_mode) for one in files] == [0o600] * 3
    assert stat.S_IMODE(files[0].parent.stat().st_mode) == 0o700
    credentials.close()
    assert not files[0].parent.exists()
