"""Ctrl-C once is gentle and leaves no lock, twice is at once; who was asleep wakes and stops."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from infra_gym.errors import TerraformInterruptedError
from infra_gym.stack.leftovers import processes_in

PROGRAM = Path(__file__).with_name("interrupted.py")


@pytest.fixture
def start_slow(tmp_path, binary):
    """A function that starts the program, and returns it once Terraform is in the middle."""
    started = []

    def start(program: str = binary, **inputs) -> subprocess.Popen:
        began = tmp_path / "data/runs/p/e/local/slow/began"
        arguments = [str(tmp_path / "data"), program, json.dumps(inputs)]
        run = subprocess.Popen([sys.executable, PROGRAM, *arguments])
        started.append(run)
        assert wait_for(began.exists, 60)
        return run

    yield start
    for program in started:
        program.kill()
        program.wait()


@pytest.mark.both_programs
def test_once_is_gentle(start_slow, open_layers, leftovers):
    program = start_slow()
    program.send_signal(signal.SIGINT)
    assert program.wait(60) == 3
    stack = open_layers("slow", "gamma")
    status = stack.status()
    assert status.owner is None
    assert status.layers[0].status == "failed"
    assert status.layers[0].resources == 1, "tainted, but known"
    stack.destroy()
    assert leftovers() == []


@pytest.fixture
def stubborn(tmp_path, binary) -> Path:
    """The program, with an apply of the layer ``slow`` that never ends and ignores SIGINT."""
    script = tmp_path / "terraform-stubborn"
    script.write_text(
        f"""#!/bin/sh
case "$1 $PWD" in
  "apply "*/slow) trap '' INT; touch began; while :; do sleep 1; done ;;
  *) exec '{binary}' "$@" ;;
esac
"""
    )
    script.chmod(0o755)
    return script


@pytest.mark.both_programs
def test_twice_is_at_once(start_slow, stubborn, open_layers, leftovers, tmp_path):
    program = start_slow(str(stubborn))
    program.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert program.poll() is None, "a command that ignores the interrupt is awaited"
    program.send_signal(signal.SIGINT)
    assert program.wait(30) == 3
    assert processes_in(tmp_path / "data") == []
    stack = open_layers("slow", "gamma")
    assert stack.status().owner is None
    stack.destroy()
    assert leftovers() == []


@pytest.mark.slow
def test_an_owner_put_to_sleep_wakes_and_stops(start_slow, open_layers, leftovers):
    program = start_slow(seconds=2)
    program.send_signal(signal.SIGSTOP)
    heir = open_layers("slow", "gamma")
    holder = heir.unlock()
    assert holder is not None
    assert holder.pid == program.pid
    with heir:
        program.send_signal(signal.SIGCONT)
        assert program.wait(60) == 1
        assert heir.status().owner_alive
        heir.destroy()
    assert leftovers() == []


def test_interrupt_from_another_thread(open_layers, leftovers, tmp_path):
    stack = open_layers("slow", "gamma")
    began = tmp_path / "data/runs/p/e/local/slow/began"

    def interrupt() -> None:
        wait_for(began.exists, 60)
        stack.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with stack:
        with pytest.raises(TerraformInterruptedError):
            stack.apply(["slow"])
        thread.join()
        with pytest.raises(TerraformInterruptedError, match="before it began"):
            stack.apply_layer("slow", {"seconds": 0}, refresh=False)
        stack.apply(inputs={"slow": {"seconds": 0}})
        stack.destroy()
    assert leftovers() == []


def wait_for(condition, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
