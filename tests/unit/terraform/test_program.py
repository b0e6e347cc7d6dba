"""Which program is used, and how it is run, with shell scripts in its place."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from infra_gym.errors import (
    MissingProgramError,
    TerraformError,
    TerraformInterruptedError,
    TerraformTimeoutError,
)
from infra_gym.terraform.command import Deadlines, Terraform

NEW = "Terraform v1.11.4"


def program(folder: Path, body: str, name: str = "terraform", says: str = NEW) -> Path:
    """A script that says which version it is and does ``body`` for every other command."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\n[ "$1" = version ] && {{ echo "{says}"; exit; }}\n{body}\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    folder = tmp_path / "layer"
    folder.mkdir()
    return folder


def test_terraform_goes_before_tofu(tmp_path: Path) -> None:
    search = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    program(tmp_path, "", "tofu", "OpenTofu v1.12.6")
    alone = Terraform(environ={"PATH": str(tmp_path)})
    assert (alone.name, alone.version) == ("tofu", "1.12.6")
    program(tmp_path, "", "terraform", "Terraform v1.13.0-beta1")
    both = Terraform(environ=search)
    assert (both.name, both.version) == ("terraform", "1.13.0-beta1")
    named = Terraform("tofu", environ=search)
    assert named.name == "tofu"


def test_neither_is_here(tmp_path: Path) -> None:
    with pytest.raises(MissingProgramError, match="Neither terraform nor tofu") as caught:
        Terraform(environ={"PATH": str(tmp_path)})
    message = str(caught.value)
    assert "install Terraform 1.10 or later" in message
    assert "INFRA_GYM_TARGET=sim" in message


def test_the_named_program_is_missing() -> None:
    with pytest.raises(MissingProgramError, match="The program my-terraform was not found"):
        Terraform("my-terraform")


@pytest.mark.parametrize("says", ["Terraform v0.12.31", "Terraform v1.9.8", "OpenTofu v1.9.0"])
def test_too_old(tmp_path: Path, layer: Path, says: str) -> None:
    old = Terraform(str(program(tmp_path / "bin", "touch ran", says=says)))
    with pytest.raises(MissingProgramError, match=r"1\.10 or later is needed") as caught:
        old.init(layer)
    assert says.split(" v")[1] in str(caught.value)
    assert "install" in str(caught.value)
    assert not (layer / "ran").exists()


def test_something_else_under_that_name(tmp_path: Path, layer: Path) -> None:
    other = Terraform(str(program(tmp_path / "bin", "", says="hello")))
    with pytest.raises(MissingProgramError, match="does not say which version it is: hello"):
        other.init(layer)


def test_a_program_that_does_not_start(tmp_path: Path, layer: Path) -> None:
    path = tmp_path / "terraform"
    path.write_text("#!/no/such/interpreter\n")
    path.chmod(0o755)
    with pytest.raises(MissingProgramError, match="cannot be run: No such file"):
        Terraform(str(path)).init(layer)


def test_the_version_is_asked_once_and_late(tmp_path: Path, layer: Path) -> None:
    path = program(tmp_path / "bin", "exit 0")
    path.write_text(
        path.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\necho $1 >> {tmp_path}/log\n")
    )
    terraform = Terraform(str(path))
    assert not (tmp_path / "log").exists()
    terraform.init(layer)
    terraform.init(layer)
    assert (tmp_path / "log").read_text().split() == ["version", "init", "init"]


def test_secrets_travel_by_the_environment_only(tmp_path: Path, layer: Path) -> None:
    body = (
        'echo "$@" > arguments; env > environment\n'
        """echo '{"type":"change_summary","changes":{"operation":"apply"}}'"""
    )
    terraform = Terraform(str(program(tmp_path / "bin", body)))
    terraform.apply(layer, secrets={"password": "hunter2hunter2"})
    assert "hunter2" not in (layer / "arguments").read_text()
    environment = (layer / "environment").read_text()
    assert "TF_VAR_password=hunter2hunter2" in environment
    for setting in ("CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0"):
        assert setting in environment
    assert "hunter2" not in repr(vars(terraform))


def test_text_that_is_no_event_explains_a_failure(tmp_path: Path, layer: Path) -> None:
    terraform = Terraform(str(program(tmp_path / "bin", "echo 'panic: out of luck' >&2; exit 2")))
    with pytest.raises(TerraformError, match=r"failed\. panic: out of luck"):
        terraform.apply(layer)


def test_a_silent_failure_is_told_too(tmp_path: Path, layer: Path) -> None:
    terraform = Terraform(str(program(tmp_path / "bin", "exit 3")))
    with pytest.raises(TerraformError, match="ended with 3 and did not say why"):
        terraform.apply(layer)


def test_success_without_a_summary_is_no_success(tmp_path: Path, layer: Path) -> None:
    terraform = Terraform(str(program(tmp_path / "bin", "exit 0")))
    with pytest.raises(TerraformError, match="did not all reach"):
        terraform.apply(layer)


def test_a_deaf_program_is_killed_when_grace_is_over(tmp_path: Path, layer: Path) -> None:
    deaf = program(tmp_path / "bin", "trap '' INT; while :; do sleep 0.05; done")
    terraform = Terraform(str(deaf), deadlines=Deadlines(apply_s=0.2, query_s=0.2, grace_s=0.2))
    started = time.monotonic()
    with pytest.raises(TerraformTimeoutError):
        terraform.apply(layer)
    with pytest.raises(TerraformTimeoutError):
        terraform.outputs(layer)
    assert time.monotonic() - started < 30


def test_events_come_while_it_runs(tmp_path: Path, layer: Path) -> None:
    body = (
        """echo '{"type":"apply_start"}'; while ! [ -f go ]; do sleep 0.02; done\n"""
        """printf '{"type":"change_su'; sleep 0.1\n"""
        """echo 'mmary","changes":{"operation":"apply"}}'"""
    )
    seen = []

    def on_event(event) -> None:
        seen.append(event.type)
        (layer / "go").touch()

    terraform = Terraform(str(program(tmp_path / "bin", body)), deadlines=Deadlines(apply_s=30))
    terraform.apply(layer, on_event=on_event)
    assert seen == ["apply_start", "change_summary"]


def test_an_older_writer_keeps_its_own_file(tmp_path: Path, layer: Path) -> None:
    older = (layer / "events.jsonl").open("w")
    body = """echo '{"type":"change_summary","changes":{"operation":"apply"}}'"""
    Terraform(str(program(tmp_path / "bin", body))).apply(layer)
    older.write("from a run whose reader died\n")
    older.close()
    assert "reader died" not in (layer / "events.jsonl").read_text()


def test_interrupted_before_it_told_its_version(tmp_path: Path, layer: Path) -> None:
    path = tmp_path / "terraform"
    path.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\nexec sleep 30\n")
    path.chmod(0o755)
    terraform = Terraform(str(path))

    def interrupt() -> None:
        while not (tmp_path / "asked").exists():
            time.sleep(0.02)
        terraform.interrupt()

    threading.Thread(target=interrupt).start()
    with pytest.raises(TerraformInterruptedError):
        terraform.init(layer)
