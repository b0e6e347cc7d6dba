"""A token of another account destroys nothing, and forgets nothing; nobody spends unasked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra_gym.cli.consent import may_spend
from infra_gym.cli.output import Output
from infra_gym.environments.make import make
from infra_gym.errors import StackError
from infra_gym.stack.ledger import LayerRecord, Ledger, now
from infra_gym.stack.lock import Owner
from infra_gym.stack.storage import FolderStorage
from infra_gym.testing.digitalocean import FakeDigitalOcean

ID = "SimpleK8sWebApp-v0"


@pytest.fixture
def mine() -> Iterator[FakeDigitalOcean]:
    with FakeDigitalOcean() as server:
        yield server


@pytest.fixture
def other() -> Iterator[FakeDigitalOcean]:
    with FakeDigitalOcean() as server:
        yield server


class Program:
    """The program as a user runs it, without a terminal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, fake: FakeDigitalOcean | None, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Exit code and the JSON document."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("INFRA_GYM_", "DIGITALOCEAN_"))
        }
        account = {"DIGITALOCEAN_TOKEN": "any", "DIGITALOCEAN_API_URL": fake.url} if fake else {}
        done = subprocess.run(
            [sys.executable, "-m", "infra_gym", *arguments, "--json"],
            env={**kept, **account, "INFRA_GYM_DATA_FOLDER": str(self._folder / "data")},
            cwd=self._folder,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=110,
            check=False,
        )
        return done.returncode, json.loads(done.stdout)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


STACK = ("-p", "p", "-e", "e")


@pytest.mark.slow
@pytest.mark.usefixtures("needs_provider")
def test_a_token_of_another_account_is_refused(program, mine, other):
    code, _ = program.run(mine, "layers", "apply", "do/core", *STACK, "--yes")
    assert code == 0
    made = {one.urn for one in mine.left()}
    for command in (
        ("layers", "destroy", *STACK),
        ("layers", "apply", "do/core", *STACK, "--yes"),
    ):
        code, told = program.run(other, *command)
        assert code == 1
        assert told["error"]["type"] == "StackMismatchError"
        assert f"team-{mine.account.uuid}" in told["error"]["message"]
        assert "DIGITALOCEAN_TOKEN" in told["error"]["next"]
    code, told = program.run(other, "sweep", "p/e")
    assert code == 1
    assert "another DigitalOcean account" in told["failed"]["p/e"]
    assert {one.urn for one in mine.left()} == made
    assert other.left() == []
    code, told = program.run(None, "layers", "destroy", *STACK)
    assert (code, told["error"]["type"]) == (2, "SettingsError")
    code, told = program.run(mine, "layers", "destroy", *STACK)
    assert (code, told["destroyed"]) == (0, ["do/core"])
    assert mine.left() == []


def test_nobody_is_billed_unasked(program, mine):
    code, told = program.run(mine, "run", ID, "--target", "do")
    assert code == 2
    assert "$0.0625 an hour" in told["error"]["message"]
    assert f"run {ID} --target do --json --yes" in told["error"]["next"]
    assert all(request.startswith("GET ") for request in mine.requests)
    assert mine.left() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("probe", ID, "--target", "do"),
        ("evaluate", ID, "--target", "do", "--workers", "3"),
        ("benchmark", ID, "--target", "do"),
        ("serve", "--target", "do", "--port", "0"),
        ("layers", "apply", "do/core", "do/managed-k8s", "-e", "e", "--var", "nodes=4"),
        ("verify-account",),
    ],
    ids=lambda command: command[0],
)
def test_no_command_bills_unasked(program, mine, command):
    code, told = program.run(mine, *command)
    assert code == 2
    assert "Nobody has said yes" in told["error"]["message"]
    assert mine.left() == []
    if command[0] == "evaluate":
        assert "3 times 1 node" in told["error"]["message"]
    if command[0] == "layers":
        assert "4 node s-2vcpu-2gb" in told["error"]["message"]


@pytest.mark.slow
def test_a_budget_that_does_not_last_is_refused_before_anything_is_made(program, mine):
    arguments = ("run", ID, "--target", "do", "--yes", "--budget-usd", "0.01")
    code, told = program.run(mine, *arguments)
    assert code == 2
    assert "does not last" in told["error"]["message"]
    assert mine.left() == []


def test_a_stack_that_stands_costs_what_it_was_given(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("DIGITALOCEAN_TOKEN", raising=False)
    monkeypatch.delenv("DIGITALOCEAN_ACCESS_TOKEN", raising=False)
    monkeypatch.setenv("INFRA_GYM_DATA_FOLDER", str(tmp_path))
    Ledger(FolderStorage(tmp_path / "state"), "p", "e").write(
        LayerRecord(
            layer="do/managed-k8s",
            status="applied",
            inputs={"nodes": 4},
            owner=Owner.of_this_process(1),
            started=now(),
            updated=now(),
            source_hash="",
            terraform="",
        )
    )
    for name, nodes in (("e", 4), ("other", 1)):
        may_spend(Output(), ID, target="do", yes=True, project="p", environment=name)
        assert f"{nodes} node s-2vcpu-2gb" in capsys.readouterr().err


def test_a_short_episode_costs_less(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("DIGITALOCEAN_TOKEN", raising=False)
    monkeypatch.delenv("DIGITALOCEAN_ACCESS_TOKEN", raising=False)
    monkeypatch.setenv("INFRA_GYM_DATA_FOLDER", str(tmp_path))
    may_spend(Output(), ID, target="do", yes=True, steps=5)
    told = capsys.readouterr().err
    assert "$0.0200 to 0.0240 an episode of 5 minutes, without and with 18 minutes" in told


@pytest.mark.slow
def test_the_cost_is_told_with_and_without_an_account(program, mine):
    code, told = program.run(mine, "cost", ID)
    assert code == 0
    assert "read from the account on" in told["prices"]
    assert told["usd_per_hour"] == [0.0625, 0.0625]
    code, listed = program.run(None, "cost", ID)
    assert code == 0
    assert "2026-11-27, not read from an account" in listed["prices"]
    assert listed["usd_per_hour"] == told["usd_per_hour"]
    assert mine.left() == []


@pytest.mark.slow
def test_a_script_says_yes_in_its_own_words(monkeypatch, tmp_path, mine):
    monkeypatch.setenv("DIGITALOCEAN_TOKEN", "any")
    monkeypatch.setenv("DIGITALOCEAN_API_URL", mine.url)
    monkeypatch.setenv("INFRA_GYM_DATA_FOLDER", str(tmp_path))
    env = make(ID, target="do")
    with pytest.raises(StackError, match="would be billed") as caught:
        env.reset(seed=1)
    assert "spend_money=True" in str(caught.value.next_command)
    with env.world.stack as stack, pytest.raises(StackError, match="would be billed"):
        stack.apply_layer("do/core", {}, refresh=False)
    env.close()
    assert env.bill is not None
    assert env.bill.usd == 0
    assert mine.left() == []
    assert make(ID, target="do", spend_money=True).world.stack.settings.spend_money
