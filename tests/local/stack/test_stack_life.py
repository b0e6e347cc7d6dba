"""A stack's life with the real program: plan, apply, change, destroy."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from infra_gym.errors import (
    LayerFailedError,
    OwnershipLostError,
    StackError,
    StackLockedError,
    StackMismatchError,
    StateBackendError,
    UnknownNameError,
)
from infra_gym.settings import Settings
from infra_gym.terraform.command import Terraform


@pytest.mark.both_programs
def test_a_life_leaves_nothing(open_layers, leftovers):
    stack = open_layers("alpha", "beta")
    applied = stack.apply(inputs={"alpha": {"size": 2}})
    assert applied["local/beta"].outputs["ticket"].value == "alpha:2/1"
    assert stack.outputs("beta") == {"ticket": "alpha:2/1"}
    status = stack.status()
    assert [(one.layer, one.status, one.resources) for one in status.layers] == [
        ("local/alpha", "applied", 2),
        ("local/beta", "applied", 1),
    ]
    assert status.owner is None
    with stack:
        stack.apply_layer("beta", {"replicas": 3}, refresh=False)
        assert stack.status().owner_alive
    assert stack.status().layers[1].resources == 3
    assert stack.destroy() == ()
    assert leftovers() == []
    assert not stack.status().exists


@pytest.mark.both_programs
def test_plan_touches_nothing_and_sees_through_layers(open_layers, leftovers):
    stack = open_layers("alpha", "beta", "last")
    plans = stack.plan(inputs={"alpha": {"size": 3}})
    assert [plan.adds for plan in plans.values()] == [3, 1, 1]
    assert plans["local/beta"].outputs["ticket"].value == "alpha:3/1"
    assert leftovers() == []
    alone = stack.plan(["last"])
    assert alone["local/last"].adds == 1


@pytest.mark.slow
def test_plan_of_what_is_up_needs_no_lock(open_layers):
    owner = open_layers("alpha", "beta")
    with owner:
        owner.apply()
        plans = open_layers("alpha", "beta").plan(inputs={"beta": {"replicas": 4}})
        assert [plan.adds for plan in plans.values()] == [0, 3]
        owner.destroy()


def test_single_layers_take_outputs_from_the_ledger(open_layers, leftovers):
    open_layers("alpha").apply(inputs={"alpha": {"size": 5}})
    beta = open_layers("beta")
    beta.apply()
    assert beta.outputs("beta") == {"ticket": "alpha:5/1"}
    beta.apply(inputs={"beta": {"replicas": 2}})
    beta.apply()
    assert beta.status().layers[1].resources == 2, "what was given stays"
    open_layers("alpha").apply(inputs={"alpha": {"size": 6}})
    beta.apply()
    assert beta.outputs("beta") == {"ticket": "alpha:6/2"}, "an output is that output again"
    beta.destroy()
    assert [one.status for one in beta.status().layers] == ["applied", "absent"]
    open_layers("alpha").destroy()
    assert leftovers() == []


def test_a_needed_layer_that_is_not_up_is_named_before_anything_is_done(open_layers, leftovers):
    with pytest.raises(StackError, match="no value") as told:
        open_layers("last").apply()
    assert told.value.next_command == "add --var ticket=..."
    stack = open_layers("alpha", "beta", "last")
    with pytest.raises(StackError, match="needs the output ticket of local/beta") as told:
        stack.apply(["last"])
    assert "layers apply local/beta local/last" in str(told.value)
    assert not any(one.status != "absent" for one in stack.status().layers)
    stack.destroy()
    assert leftovers() == []


@pytest.mark.both_programs
def test_a_failure_in_the_middle(open_layers, leftovers):
    stack = open_layers("alpha", "beta", "last", "gamma")
    with pytest.raises(LayerFailedError) as told:
        stack.apply(inputs={"beta": {"fail": True, "replicas": 2}})
    error = told.value
    assert (error.layer, error.not_run) == ("local/beta", ("local/last",))
    assert "the cause" in error.message
    assert "Not run because of it: local/last." in error.message
    assert error.next_command.startswith("infra-gym layers apply local/alpha local/beta")
    status = {one.layer: one for one in stack.status().layers}
    assert status["local/beta"].status == "failed"
    assert "the cause" in status["local/beta"].problem
    assert status["local/gamma"].status == "applied", "independent layers go on"
    assert status["local/last"].status == "absent"
    with pytest.raises(StackError, match="not up"):
        stack.outputs("beta")
    stack.apply(inputs={"beta": {"fail": False}})
    assert {one.status for one in stack.status().layers} == {"applied"}
    assert stack.outputs("beta") == {"ticket": "alpha:1/2"}
    stack.destroy()
    assert leftovers() == []


def test_destroy_again_after_a_half_finished_one(open_layers, leftovers, tmp_path):
    stack = open_layers("alpha", "beta", "gamma")
    stack.apply(inputs={"gamma": {"fail": True}})
    with pytest.raises(LayerFailedError) as told:
        stack.destroy()
    assert told.value.layer == "local/gamma"
    assert "layers destroy" in told.value.next_command
    status = stack.status()
    assert {one.layer: one.status for one in status.layers} == {
        "local/alpha": "absent",
        "local/beta": "absent",
        "local/gamma": "failed",
    }
    assert status.owner is None
    (tmp_path / "data/runs/p/e/may-go").touch()
    stack.destroy()
    assert leftovers() == []


def test_destroy_of_one_layer_whose_neighbours_are_gone(open_layers, leftovers):
    stack = open_layers("alpha", "beta")
    stack.apply()
    stack.destroy(["alpha"])
    fresh = open_layers("alpha", "beta")
    fresh.destroy(["beta"])
    assert leftovers() == []


@pytest.mark.slow
def test_what_a_lost_record_told_of_is_not_forgotten(open_layers, leftovers, tmp_path):
    stack = open_layers("alpha")
    stack.apply()
    (tmp_path / "data/state/infrastructure/p/e/ledger/local/alpha.json").unlink()
    with pytest.raises(StackError, match="no record of local/alpha, but the state holds") as told:
        stack.destroy()
    assert "infra-gym layers apply local/alpha --target local -p p -e e" in told.value.next_command
    stack.apply()
    stack.destroy()
    assert leftovers() == []


def test_destroy_without_the_run_directory(open_layers, leftovers, tmp_path):
    stack = open_layers("alpha", "beta")
    stack.apply()
    shutil.rmtree(tmp_path / "data/runs")
    open_layers("alpha", "beta").destroy()
    assert leftovers() == []


def test_the_second_run_is_refused_and_told_who_holds_the_lock(open_layers):
    with open_layers("alpha") as first:
        with pytest.raises(StackLockedError) as told:
            open_layers("alpha").apply()
        assert f"process {os.getpid()}" in told.value.message
        assert "since" in told.value.message
        assert "infra-gym layers unlock -p p -e e" in told.value.next_command
        assert first.acquired
    with open_layers("alpha"):
        pass


@pytest.mark.both_programs
def test_a_lock_that_cannot_be_understood_is_unlocked(open_layers, leftovers, tmp_path):
    lock = tmp_path / "data/state/infrastructure/p/e/lock/00000001.json"
    lock.parent.mkdir(parents=True)
    lock.write_text("garbage")
    stack = open_layers("alpha")
    with pytest.raises(StackLockedError, match="cannot be understood"):
        stack.acquire()
    assert stack.unlock() is None
    assert leftovers() == []


def test_an_owner_that_was_taken_over_stops_before_its_next_apply(open_layers, leftovers):
    sleeper = open_layers("alpha")
    sleeper.acquire()
    sleeper.apply()
    holder = open_layers("alpha").unlock()
    assert holder is not None
    assert holder.pid == os.getpid()
    with pytest.raises(OwnershipLostError, match="given back since"):
        sleeper.apply_layer("alpha", {"size": 2}, refresh=False)
    with open_layers("alpha") as heir:
        with pytest.raises(OwnershipLostError, match=f"process {os.getpid()}"):
            sleeper.apply_layer("alpha", {"size": 2}, refresh=False)
        with pytest.raises(OwnershipLostError):
            sleeper.destroy()
        sleeper.release()
        assert heir.status().owner_alive, "who lost it must not release it"
        assert heir.status().layers[0].resources == 1
        heir.destroy()
    assert leftovers() == []


def test_another_stack_under_the_same_name(open_layers):
    stack = open_layers("alpha")
    stack.apply()
    with pytest.raises(StackMismatchError, match="another target") as told:
        open_layers("alpha", target="k8s").apply()
    assert "--target local" in told.value.next_command
    assert stack.status().owner is None
    stack.destroy()


def test_a_local_stack_of_another_machine(open_layers, tmp_path):
    stack = open_layers("alpha")
    stack.apply()
    record = tmp_path / "data/state/infrastructure/p/e/ledger/stack.json"
    document = json.loads(record.read_text())
    document["owner"]["host"] = "elsewhere"
    record.write_text(json.dumps(document))
    with pytest.raises(StackMismatchError, match="machine elsewhere"):
        stack.destroy()
    assert stack.status().layers[0].status == "applied"


def test_a_run_directory_that_cannot_be_made_is_told(open_layers, tmp_path):
    stack = open_layers("alpha")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/runs").write_text("a file where a folder must be")
    with pytest.raises(LayerFailedError, match="run directory") as told:
        stack.apply()
    assert "INFRA_GYM_DATA_FOLDER" in told.value.next_command
    assert stack.status().layers[0].status == "failed"
    (tmp_path / "data/runs").unlink()
    stack.destroy()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own, with 300 KiB; only root may make one."""
    folder = tmp_path / "data"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("this user may not mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_disk_that_fills_up_costs_nothing(open_layers, leftovers, small_disk):
    stack = open_layers("alpha", "beta")
    stack.apply()
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
    with pytest.raises(StackError, match=r"(?i)no space left on device") as told:
        stack.apply(inputs={"alpha": {"size": 3}})
    assert "INFRA_GYM_DATA_FOLDER" in told.value.next_command
    status = stack.status()
    assert not status.owner_alive
    assert {one.resources for one in status.layers} == {1}
    filler.unlink()
    stack.apply(inputs={"alpha": {"size": 3}})
    assert [one.resources for one in stack.status().layers] == [3, 1]
    stack.destroy()
    assert leftovers() == []


def test_a_read_only_data_folder_is_told(open_layers, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o500)
    if os.geteuid() == 0:  # root may write everywhere but in /proc
        folder = Path("/proc/infra-gym")
        if not folder.parent.is_dir():
            pytest.skip("root may write everywhere, and there is no /proc")
    with pytest.raises(StateBackendError, match="state folder cannot be used") as told:
        open_layers("alpha", settings=Settings(data_folder=folder)).apply()
    assert "INFRA_GYM_DATA_FOLDER" in told.value.next_command


def test_a_state_folder_that_is_gone_is_told(open_layers, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/state").write_text("a file where a folder must be")
    with pytest.raises(StateBackendError, match="state folder cannot be used") as told:
        open_layers("alpha").apply()
    assert "INFRA_GYM_DATA_FOLDER" in told.value.next_command


@pytest.mark.both_programs
def test_secrets_touch_no_file_but_the_state(open_layers, leftovers, tmp_path, monkeypatch):
    stack = open_layers("alpha", "secretive")
    stack.apply(inputs={"secretive": {"password": "open sesame"}})
    assert stack.outputs("secretive") == {"length": 11}
    assert "key" not in stack.outputs("alpha")
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    for path in files:
        text = path.read_bytes()
        assert b"sesame" not in text, path
        assert b"hush-1" not in text or ".tfstate" in path.name, path
    inputs = [path for path in files if path.name == "inputs.auto.tfvars.json"]
    assert len(inputs) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in inputs} == {0o600}

    fresh = open_layers("alpha", "secretive")
    with pytest.raises(StackError, match="secret variable password") as told:
        fresh.destroy()
    assert "export TF_VAR_password" in told.value.next_command
    monkeypatch.setenv("TF_VAR_password", "open sesame")
    open_layers("alpha", "secretive", terraform=Terraform()).destroy()
    assert leftovers() == []


def test_a_destroy_finds_secrets_in_a_layer_that_failed(open_layers, leftovers, monkeypatch):
    with open_layers("alpha", "secretive") as stack:
        stack.apply(inputs={"secretive": {"password": "open sesame"}})
        with pytest.raises(LayerFailedError):
            stack.apply(["alpha"], inputs={"alpha": {"size": "many"}})
        stack.destroy(["secretive"])
        stack.apply(inputs={"alpha": {"size": 1}, "secretive": {"password": "open sesame"}})
        stack.destroy(["alpha"])
        with pytest.raises(StackError, match="secret variable key") as told:
            stack.destroy()
        assert "export TF_VAR_key" in told.value.next_command
        monkeypatch.setenv("TF_VAR_key", "hush-1")
        stack.destroy()
    assert leftovers() == []


def test_a_secret_of_the_shell_is_masked_whatever_its_name(open_layers, tmp_path, monkeypatch):
    layers = tmp_path / "layers"
    (layers / "local/talkative").mkdir(parents=True)
    (layers / "local/talkative/main.tf").write_text(
        'variable "pin" {\n  type      = string\n  sensitive = true\n}\n\n'
        'resource "terraform_data" "x" {\n  provisioner "local-exec" {\n'
        '    command = "echo it is $TF_VAR_pin"\n  }\n}\n'
    )
    monkeypatch.setenv("TF_VAR_pin", "314159265")
    heard = []
    stack = open_layers(
        "talkative",
        layer_folder=lambda name: layers / name,
        on_event=lambda layer, event: heard.append(event.message),
    )
    stack.apply()
    assert any("it is (secret)" in message for message in heard)
    written = (tmp_path / "data/runs/p/e/local/talkative/events.jsonl").read_text()
    assert "314159265" not in written + "".join(heard)
    stack.destroy()


@pytest.mark.slow
def test_secrets_that_were_given_are_remembered_by_the_run(open_layers, leftovers):
    with open_layers("alpha", "secretive") as stack:
        stack.apply(inputs={"secretive": {"password": "open sesame"}})
        stack.apply()
        assert stack.outputs("secretive") == {"length": 11}
        stack.destroy()
    assert leftovers() == []


def test_processes_that_are_left_are_ended_and_told(open_layers, leftovers):
    stack = open_layers("stray")
    stack.apply()
    assert 20000 <= stack.outputs("stray")["port"] <= 31968
    assert stack.status().processes == 1
    (told,) = stack.destroy()
    assert "sleep 300" in told
    assert leftovers() == []


def test_a_wrong_name_is_told(open_layers):
    stack = open_layers("alpha")
    with pytest.raises(UnknownNameError, match="Did you mean 'size'"):
        stack.apply(inputs={"alpha": {"sizes": 2}})
    with pytest.raises(UnknownNameError, match="layer in the stack"):
        stack.apply(["beta"])
    assert "digraph" in stack.graph()
