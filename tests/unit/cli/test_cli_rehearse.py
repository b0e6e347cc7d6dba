"""A rehearsal's commands, and the cluster that its pods go to."""

from __future__ import annotations

import os
import shlex

import pytest
import typer
import yaml

from infra_gym.cli.output import Output
from infra_gym.cli.rehearse import _all_of, cluster_behind
from infra_gym.errors import ClusterError, UsageError

SERVER = "https://production.example:6443"


@pytest.fixture
def kubeconfig(tmp_path, monkeypatch):
    """A kubeconfig that the variable names."""
    path = tmp_path / "the config"
    document = {
        "current-context": "work",
        "contexts": [{"name": "work", "context": {"cluster": "big", "user": "me"}}],
        "clusters": [{"name": "big", "cluster": {"server": SERVER}}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
    }
    path.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", f"/does/not/exist{os.pathsep}{path}")
    return path


def never(question):
    raise AssertionError(question)


@pytest.mark.parametrize(
    ("commands", "code"),
    [([["--version"]], 0), ([["no-such-command"], ["--version"]], 2)],
    ids=["well", "failed"],
)
def test_the_first_command_that_fails_is_the_last(commands, code, capfd):
    assert _all_of(commands, os.environ) == code
    assert ("infra-gym" in capfd.readouterr().err.splitlines()[-1]) == (code == 0)


def test_a_cluster_that_was_named_is_told_and_not_asked_for(kubeconfig, monkeypatch, capsys):
    monkeypatch.setenv("KUBECONFIG", "/does/not/exist")
    assert cluster_behind(Output(), kubeconfig, never) == kubeconfig
    assert SERVER in capsys.readouterr().err


def test_a_cluster_that_nobody_named_is_asked_for(kubeconfig, capsys):
    asked = []
    assert cluster_behind(Output(), None, lambda text: not asked.append(text)) == kubeconfig
    assert len(asked) == 1
    assert f"{SERVER}, context work of {kubeconfig}" in capsys.readouterr().err


def test_a_no_puts_no_pods_anywhere(kubeconfig):
    with pytest.raises(typer.Exit) as caught:
        cluster_behind(Output(), None, lambda _: False)
    assert caught.value.exit_code == 1


def test_where_nobody_can_be_asked_a_cluster_must_be_named(kubeconfig, monkeypatch):
    monkeypatch.setattr("sys.argv", ["infra-gym", "rehearse", "My App-v0"])
    with pytest.raises(UsageError, match="production") as caught:  # no terminal: pytest has none
        cluster_behind(Output(), None)
    line = f"infra-gym rehearse 'My App-v0' --kubeconfig {shlex.quote(str(kubeconfig))}"
    assert line in str(caught.value)


def test_without_any_kubeconfig_one_is_asked_for(monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/does/not/exist")
    with pytest.raises(ClusterError, match="/does/not/exist"):
        cluster_behind(Output(), None, never)
