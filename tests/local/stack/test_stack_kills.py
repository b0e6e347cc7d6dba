"""SIGKILL at every change of ledger and lock, and at every event of Terraform.

Afterwards ``status`` tells the truth, ``destroy`` leaves nothing, and no Terraform of the dead run
goes on behind its back.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from infra_gym.stack.leftovers import terraforms_in

LAYERS = ["local/alpha", "local/beta"]
LIFE = [
    ["apply", {"alpha": {"size": 1}}],
    ["apply_layer", "beta", {"replicas": 3}],
    ["apply_layer", "beta", {"replicas": 2}],
    ["destroy"],
]
CHUNKS = 12


@pytest.fixture(scope="session")
def points(lives, tmp_path_factory) -> int:
    """How many points the whole life has."""
    told = lives.run(tmp_path_factory.mktemp("whole"), LAYERS, LIFE)
    assert told["exit"] == 0
    return told["points"]


def kill_and_clean_up(lives, stack, data_folder, leftovers, point: int) -> None:
    told = lives.run(data_folder, LAYERS, LIFE, die_at=point)
    # Their number differs a little from life to life, because events come as they come.
    assert told["signal"] == signal.SIGKILL or told["exit"] == 0

    status = stack.status()
    assert not status.owner_alive
    for one in status.layers:
        if one.status == "applied":
            assert one.resources in (1, 2, 3)
            assert not one.terraform_running
        elif one.status == "absent":
            assert one.resources == 0
        else:
            assert one.status == "interrupted" or one.terraform_running

    assert stack.destroy() == ()
    assert leftovers() == []
    assert not stack.status().exists


@pytest.mark.both_programs
def test_a_sample_of_the_kill_points(lives, points, open_layers, leftovers, tmp_path):
    assert points > 60
    for point in sorted(random.Random(20).sample(range(1, points + 1), 4)):
        kill_and_clean_up(lives, open_layers("alpha", "beta"), tmp_path / "data", leftovers, point)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_all_kill_points(lives, points, open_layers, leftovers, tmp_path, chunk):
    for point in range(1 + chunk, points + 1, CHUNKS):
        kill_and_clean_up(lives, open_layers("alpha", "beta"), tmp_path / "data", leftovers, point)


def test_the_terraform_of_a_dead_run_is_ended(lives, open_layers, leftovers, tmp_path):
    data_folder = tmp_path / "data"
    # The points up to "apply_start": two of each write, then the events.
    began = data_folder / "runs/p/e/local/slow/began"
    for point in range(20, 60):
        lives.run(data_folder, ["local/slow"], [["apply", {"slow": {"seconds": 120}}]], point)
        if _wait_for(began.exists, 3):
            break
    assert began.exists()
    assert len(terraforms_in(data_folder)) == 1

    stack = open_layers("slow")
    status = stack.status()
    assert (status.layers[0].status, status.layers[0].terraform_running) == ("applying", True)
    assert not status.owner_alive
    stack.acquire()
    assert terraforms_in(data_folder) == []
    assert stack.status().layers[0].status == "interrupted"
    stack.destroy()
    stack.release()
    assert leftovers() == []


@pytest.mark.slow
def test_resume_after_a_kill(lives, points, open_layers, leftovers, tmp_path):
    lives.run(tmp_path / "data", LAYERS, LIFE[:1], die_at=points // 4)
    stack = open_layers("alpha", "beta")
    stack.apply()
    assert {one.status for one in stack.status().layers} == {"applied"}
    assert stack.outputs("beta") == {"ticket": "alpha:1/1"}
    stack.destroy()
    assert leftovers() == []


def test_a_live_run_in_another_process_is_left_alone(lives, open_layers, tmp_path):
    stack = open_layers("alpha")
    with stack:
        told = lives.run(tmp_path / "data", ["local/alpha"], [["apply", {}]])
        assert told["exit"] == 1
        assert stack.status().layers[0].status == "absent"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")
@pytest.mark.parametrize(
    "moment",
    [
        "local/heater/events.jsonl",
        "processes/supervisord.conf",
        "local/prometheus/inputs.auto.tfvars.json",
    ],
)
def test_a_kill_while_the_real_stack_comes_up(binary, leftovers, tmp_path, monkeypatch, moment):
    data_folder = tmp_path / "data"
    monkeypatch.setenv("INFRA_GYM_DATA_FOLDER", str(data_folder))
    monkeypatch.setenv("INFRA_GYM_BINARY", binary)
    layers = [sys.executable, "-m", "infra_gym", "layers"]
    apply = [*layers, "apply", "SimpleK8sWebApp-v0", "--target", "local", "-p", "p", "-e", "e"]
    program = subprocess.Popen(apply, stdout=subprocess.DEVNULL, cwd=tmp_path)
    try:
        assert _wait_for((data_folder / "runs/p/e" / moment).exists, 60)
    finally:
        program.kill()
        program.wait()

    def tell(command: str) -> dict:
        argv = [*layers, command, "-p", "p", "-e", "e", "--json"]
        return json.loads(
            subprocess.run(argv, capture_output=True, check=True, cwd=tmp_path).stdout
        )

    status = tell("status")
    assert (status["owner"]["pid"], status["owner_alive"]) == (program.pid, False)
    tell("destroy")
    assert leftovers() == []


def _wait_for(condition, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
