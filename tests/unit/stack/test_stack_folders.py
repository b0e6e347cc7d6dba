import json
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from infra_gym.errors import MissingProgramError, StackError
from infra_gym.settings import Settings
from infra_gym.stack import ports
from infra_gym.stack.leftovers import (
    end_processes,
    end_terraforms,
    processes_in,
    terraforms_in,
)
from infra_gym.stack.ports import BLOCK, PortBlocks, candidates
from infra_gym.stack.run_directory import RunFolder, source_hash
from infra_gym.stack.run_variables import RunVariables


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "layers/local/core"
    (folder / "templates").mkdir(parents=True)
    (folder / ".terraform").mkdir()
    for name in (
        "main.tf", "old.tf", "templates/a.conf", "terraform.tfstate", "own.auto.tfvars",
        ".terraform/x", "backend.tf",
    ):  # fmt: skip
        (folder / name).write_text(name)
        (folder / name).chmod(0o444)
    return folder


def test_a_run_directory(tmp_path, source):
    run = RunFolder(tmp_path / "data", "p", "e")
    folder = run.prepare("local/core", source, "the backend")
    assert folder == tmp_path / "data/runs/p/e/local/core"
    run.write_inputs("local/core", {"a": [1, "é"]})
    (source / "old.tf").unlink()
    run.prepare("local/core", source, "the backend")
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"main.tf", "templates/a.conf", "backend.tf", "inputs.auto.tfvars.json"}
    assert (folder / "backend.tf").read_text() == "the backend"
    inputs = folder / "inputs.auto.tfvars.json"
    assert json.loads(inputs.read_text()) == {"a": [1, "é"]}
    assert stat.S_IMODE(inputs.stat().st_mode) == 0o600
    assert stat.S_IMODE(run.root.stat().st_mode) == 0o700
    run.remove("local/core")
    run.remove("local/core")
    run.remove_all()
    run.remove_all()
    assert list((tmp_path / "data/runs").iterdir()) == []


def test_a_run_directory_that_cannot_be_written(tmp_path, source):
    (tmp_path / "data").touch()
    with pytest.raises(StackError, match=r"run directory .* cannot be used") as told:
        RunFolder(tmp_path / "data", "p", "e").prepare("local/core", source, "")
    assert "INFRA_GYM_DATA_FOLDER" in told.value.next_command


def test_the_source_hash_is_that_of_the_modules_own_files(source):
    before = source_hash(source)
    (source / "terraform.tfstate").chmod(0o644)
    (source / "terraform.tfstate").write_text("other")
    assert source_hash(source) == before
    (source / "old.tf").rename(source / "new.tf")
    assert source_hash(source) != before


def test_blocks_of_ports(tmp_path, monkeypatch):
    monkeypatch.setattr(ports, "_is_free", lambda port: True)
    blocks = PortBlocks(tmp_path / "ports")
    first = blocks.reserve("p/e/local/heater")
    assert first == next(candidates("p/e/local/heater")) == blocks.reserve("p/e/local/heater")
    assert 20000 <= first <= 31999 - BLOCK + 1
    others = {blocks.reserve(f"p/e/local/layer-{number}") for number in range(100)}
    assert len(others | {first}) == 101
    blocks.release("p/e/")
    assert list((tmp_path / "ports").iterdir()) == []
    assert len(set(candidates("x"))) == 375


def test_a_block_goes_back_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(ports, "_is_free", lambda port: True)
    blocks = PortBlocks(tmp_path)
    mine, neighbours = blocks.reserve("p/e/local/heater"), blocks.reserve("p/e/local/heater-two")
    blocks.release("p/e/local/heater")
    assert [int(link.name) for link in tmp_path.iterdir()] == [neighbours]
    assert mine != neighbours


def test_a_block_with_a_port_in_use_is_passed_over(tmp_path):
    name = "p/e/local/heater"
    first, second = list(candidates(name))[:2]
    with socket.socket() as server:
        try:
            server.bind(("127.0.0.1", first + 5))
        except OSError:
            pytest.skip(f"port {first + 5} is in use on this machine")
        server.listen()
        assert PortBlocks(tmp_path).reserve(name) != first
    assert second != first


def test_no_port_left(tmp_path, monkeypatch):
    monkeypatch.setattr(ports, "_is_free", lambda port: False)
    with pytest.raises(StackError, match="No block of 32 free TCP ports") as told:
        PortBlocks(tmp_path).reserve("p/e/local/heater")
    assert "--var port=" in told.value.next_command
    assert list(tmp_path.iterdir()) == []


def test_processes_of_a_run_are_found_and_ended(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    ignores = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    program = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], cwd=run, start_new_session=True
    )
    elsewhere = subprocess.Popen([sys.executable, "-c", ignores], cwd=tmp_path)
    try:
        deadline = time.monotonic() + 20
        while not processes_in(run) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [process.pid for process in processes_in(run)] == [program.pid]
        (told,) = end_processes(run)
        assert told.startswith(f"{program.pid} ")
        assert "time.sleep(60)" in told
        assert program.wait(10) == -signal.SIGTERM
        assert end_processes(run) == []
        assert elsewhere.poll() is None
    finally:
        for each in (program, elsewhere):
            each.kill()
            each.wait()


def run_variables(tmp_path, **options) -> RunVariables:
    settings = Settings(data_folder=tmp_path, **options)
    return RunVariables(
        settings,
        project="p",
        environment="e",
        target="local",
        root=tmp_path / "runs/p/e",
        definition=None,
        extra={"region": "nyc3", "python": "mine"},
    )


def test_run_variables(tmp_path):
    made = run_variables(tmp_path).of("local/heater", touch=False)
    assert {name: made[name]() for name in ("project", "environment", "region", "python")} == {
        "project": "p",
        "environment": "e",
        "region": "nyc3",
        "python": "mine",
    }
    assert made["run_folder"]() == str(tmp_path / "runs/p/e/processes")
    assert Path(made["apps_folder"]()).parts[-2:] == ("infra_gym", "apps")
    assert made["port"]() == next(candidates("p/e/local/heater"))
    assert "schedule" not in made
    assert list(tmp_path.iterdir()) == []


def test_prometheus_that_is_not_there(tmp_path):
    made = run_variables(tmp_path, prometheus="no-such-program").of("local/x", touch=False)
    with pytest.raises(MissingProgramError, match="no-such-program was not found") as told:
        made["prometheus"]()
    assert "INFRA_GYM_PROMETHEUS" in told.value.next_command


def test_who_cleans_up_inside_the_folder_is_no_leftover(tmp_path):
    program = (
        "from pathlib import Path; from infra_gym.stack.leftovers import end_processes; "
        "print(end_processes(Path.cwd()))"
    )
    shell = subprocess.run(
        ["sh", "-c", '"$@"; echo "$?, and the shell lives"', "sh", sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shell.stdout == "[]\n0, and the shell lives\n"


def test_a_person_s_shell_inside_the_folder_is_no_leftover(tmp_path):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execvp("sleep", ["sleep", "60"])
    try:
        await_true(lambda: psutil.Process(pid).name() == "sleep")
        assert psutil.Process(pid).cwd() == str(tmp_path.resolve())
        assert processes_in(tmp_path) == []
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def test_a_terraform_of_another_name_is_found_and_ended(tmp_path):
    program = tmp_path / "our-infrastructure-tool"
    program.write_text("#!/bin/sh\nwhile :; do sleep 0.1; done\n")
    program.chmod(0o755)
    layer = tmp_path / "run/local/core"
    layer.mkdir(parents=True)
    running = subprocess.Popen([program], cwd=layer, start_new_session=True)
    try:
        await_true(lambda: terraforms_in(layer, program.name))
        assert terraforms_in(layer) == []
        assert end_terraforms(tmp_path / "run", program.name, grace_s=5) == 1
        assert running.wait(10) == -signal.SIGINT
    finally:
        running.kill()
        running.wait()


def await_true(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_schedule_or_port_that_cannot_be_kept_says_why(tmp_path):
    (tmp_path / "ports").write_text("a file where a folder must be")
    with pytest.raises(StackError, match="ports cannot be used: File exists") as told:
        run_variables(tmp_path).of("local/heater", touch=True)["port"]()
    assert "INFRA_GYM_DATA_FOLDER" in told.value.next_command
