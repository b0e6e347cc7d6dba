"""How a running command ends early: one SIGINT, two, a deadline, a killed reader."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from infra_gym.errors import TerraformError, TerraformInterruptedError, TerraformTimeoutError
from infra_gym.terraform.command import Deadlines, Terraform

pytestmark = pytest.mark.both_programs

PATIENCE_S = 30

READER = """
import sys
from pathlib import Path
from infra_gym.terraform.command import Deadlines, Terraform

terraform = Terraform(sys.argv[1], deadlines=Deadlines(grace_s=20))
terraform.apply(Path(sys.argv[2]))
"""


def await_true(what, condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def await_middle(folder: Path) -> None:
    """Until the slow resource is being made."""
    pid = folder / "pid"
    await_true("the middle of the apply", lambda: pid.is_file() and pid.read_text().strip())


def processes_in(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def start_reader():
    """A function that applies in a process of its own; nothing of it outlives the test."""
    readers: list[tuple[subprocess.Popen[str], Path]] = []

    def start(binary: str, folder: Path) -> subprocess.Popen[str]:
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, binary, str(folder)],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        readers.append((reader, folder))
        return reader

    yield start
    for reader, folder in readers:
        for process in processes_in(folder):
            process.kill()
        with reader:
            reader.kill()


def assert_lock_is_free(terraform: Terraform, folder: Path) -> None:
    (folder / "inputs.auto.tfvars.json").write_text('{"seconds": "0"}')
    assert terraform.apply(folder).outputs["done"].value
    assert len(terraform.state_addresses(folder)) == 2


def test_interrupted_once_it_stops_gently(terraform: Terraform, slow_layer: Path) -> None:
    terraform.init(slow_layer)
    caught: list[BaseException] = []

    def run() -> None:
        try:
            terraform.apply(slow_layer)
        except TerraformError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    await_middle(slow_layer)
    terraform.interrupt()
    thread.join(PATIENCE_S)
    (error,) = caught
    assert isinstance(error, TerraformInterruptedError)
    assert "repeat the command" in str(error)
    await_true("its processes' end", lambda: not processes_in(slow_layer))
    assert "terraform_data.quick" in terraform.state_addresses(slow_layer)
    assert_lock_is_free(terraform, slow_layer)


def test_interrupted_twice_it_is_killed_at_once(terraform: Terraform, slow_layer: Path) -> None:
    terraform.init(slow_layer)
    caught: list[BaseException] = []

    def run() -> None:
        try:
            terraform.apply(slow_layer)
        except TerraformError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    await_middle(slow_layer)
    terraform.interrupt()
    terraform.interrupt()
    thread.join(PATIENCE_S)
    assert isinstance(caught[0], TerraformInterruptedError)
    await_true("its processes' end", lambda: not processes_in(slow_layer))


def test_ctrl_c_is_gentle_and_goes_on(
    binary: str, terraform: Terraform, slow_layer: Path, start_reader
) -> None:
    terraform.init(slow_layer)
    reader = start_reader(binary, slow_layer)
    await_middle(slow_layer)
    os.kill(reader.pid, signal.SIGINT)
    _, complaint = reader.communicate(timeout=PATIENCE_S)
    assert "KeyboardInterrupt" in complaint
    await_true("its processes' end", lambda: not processes_in(slow_layer))
    assert_lock_is_free(terraform, slow_layer)


def test_ctrl_c_twice_kills(binary: str, tmp_path: Path, start_reader) -> None:
    deaf = tmp_path / "deaf"
    deaf.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = apply ] || exec "{binary}" "$@"\n'
        "trap '' INT; echo $$ > pid; while :; do sleep 0.1; done\n"
    )
    deaf.chmod(0o755)
    folder = tmp_path / "layer"
    folder.mkdir()
    reader = start_reader(str(deaf), folder)
    await_middle(folder)
    os.kill(reader.pid, signal.SIGINT)
    time.sleep(0.5)
    assert reader.poll() is None
    assert processes_in(folder)
    os.kill(reader.pid, signal.SIGINT)
    _, complaint = reader.communicate(timeout=PATIENCE_S)
    assert "KeyboardInterrupt" in complaint
    await_true("its processes' end", lambda: not processes_in(folder))


def test_a_deadline_stops_it(binary: str, terraform: Terraform, slow_layer: Path) -> None:
    terraform.init(slow_layer)
    hasty = Terraform(binary, deadlines=Deadlines(apply_s=1, grace_s=20))
    with pytest.raises(TerraformTimeoutError, match="deadline") as caught:
        hasty.apply(slow_layer)
    assert caught.value.next_command
    assert not processes_in(slow_layer)
    assert_lock_is_free(terraform, slow_layer)


@pytest.mark.slow
def test_without_grace_a_deadline_kills(
    binary: str, terraform: Terraform, slow_layer: Path
) -> None:
    terraform.init(slow_layer)
    brutal = Terraform(binary, deadlines=Deadlines(apply_s=1, grace_s=0))
    with pytest.raises(TerraformTimeoutError):
        brutal.apply(slow_layer)
    await_true("its processes' end", lambda: not processes_in(slow_layer))


def test_terraform_outlives_a_killed_reader(
    binary: str, terraform: Terraform, slow_layer: Path, start_reader
) -> None:
    terraform.init(slow_layer)
    (slow_layer / "inputs.auto.tfvars.json").write_text('{"seconds": "1.5"}')
    reader = start_reader(binary, slow_layer)
    await_middle(slow_layer)
    reader.kill()
    reader.communicate(timeout=PATIENCE_S)
    assert processes_in(slow_layer)
    await_true("its processes' end", lambda: not processes_in(slow_layer))
    *_, summary, outputs = map(json.loads, (slow_layer / "events.jsonl").read_text().splitlines())
    assert summary["changes"]["operation"] == "apply"
    assert outputs["outputs"]["done"]["value"]
    assert len(terraform.state_addresses(slow_layer)) == 2
    assert terraform.plan(slow_layer).changes == ()


def test_a_callback_that_raises_stops_it_gently(terraform: Terraform, slow_layer: Path) -> None:
    class FullError(Exception):
        pass

    def on_event(event) -> None:
        if event.type == "provision_progress":
            raise FullError

    terraform.init(slow_layer)
    with pytest.raises(FullError):
        terraform.apply(slow_layer, on_event=on_event)
    await_true("its processes' end", lambda: not processes_in(slow_layer))
    assert_lock_is_free(terraform, slow_layer)


def test_no_orphan_of_a_provisioner_goes_on(terraform: Terraform, module) -> None:
    # The shell goes when Terraform stops it; what it started in the background would stay.
    folder = module(
        'resource "terraform_data" "x" {\n  provisioner "local-exec" {\n'
        "    command = \"trap '' INT; sleep 60 & echo $$ > pid; wait\"\n  }\n}\n"
    )
    terraform.init(folder)

    def interrupt() -> None:
        await_middle(folder)
        terraform.interrupt()

    threading.Thread(target=interrupt).start()
    with pytest.raises(TerraformInterruptedError):
        terraform.apply(folder)
    await_true("its processes' end", lambda: not processes_in(folder))


def test_no_orphan_of_a_killed_terraform_goes_on(terraform: Terraform, module) -> None:
    folder = module(
        'resource "terraform_data" "x" {\n  provisioner "local-exec" {\n'
        '    command = "echo $$ > pid; sleep 60; true"\n  }\n}\n'
    )
    terraform.init(folder)

    def kill() -> None:
        await_middle(folder)
        for process in processes_in(folder):
            if process.name() in ("terraform", "tofu"):
                process.kill()

    threading.Thread(target=kill).start()
    with pytest.raises(TerraformError, match="was killed by SIGKILL"):
        terraform.apply(folder)
    await_true("its processes' end", lambda: not processes_in(folder))
