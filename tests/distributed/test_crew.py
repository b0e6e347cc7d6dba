"""Workers on simulators: the same results whatever their number, the lost replaced, an end."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from infra_gym.distributed.cluster import refuse_unshared, state_variables
from infra_gym.distributed.crew import RESTARTS, Crew
from infra_gym.errors import SettingsError, UsageError, WorkerLostError, WorkersError
from infra_gym.evaluation.arena import Arena
from infra_gym.evaluation.evaluate import Alone, Contestant, cases_of
from infra_gym.evaluation.logs import Logs
from infra_gym.recording import read_run
from infra_gym.settings import Settings, StateSettings

ID = "SimpleK8sWebApp-v0"
PROGRAM = [sys.executable, "-c", "from infra_gym.cli.main import main; main()"]
CASES = cases_of([Contestant("hpa"), Contestant("random")], [1, 2, 3])


@pytest.fixture
def arena(data: Path) -> Arena:
    return Arena.find(ID, target="sim", environment="demo", steps=20)


def played_by(team, cases=CASES):
    try:
        return sorted(team.play(cases), key=lambda one: one.case.index)
    finally:
        team.close()


def numbers(played):
    return [dataclasses.replace(one.result, worker=0) for one in played]


def test_results_and_log_do_not_depend_on_the_workers(
    cluster: str, arena: Arena, tmp_path: Path
) -> None:
    runs, results = {}, {}
    for name, team in (("one", Alone(arena)), ("many", Crew(arena, workers=3))):
        logs = Logs(tmp_path / f"{name}.jsonl", workers=name == "many")
        played = played_by(team)
        for one in played:
            logs.add(one)
        runs[name] = read_run(logs.close("closed"))
        results[name] = numbers(played)
    assert results["many"] == results["one"]
    assert len({one.reward for one in results["one"]}) > 3

    for run in runs.values():
        assert [(one.reset.info["agent"], one.reset.seed) for one in run.episodes] == [
            (agent, seed) for agent in ("hpa", "random") for seed in (1, 2, 3)
        ]
    assert [[step.reward for step in one.steps] for one in runs["one"].episodes] == [
        [step.reward for step in one.steps] for one in runs["many"].episodes
    ]
    by_worker = dict.fromkeys((1, 2, 3), 0)
    for episode in runs["many"].episodes:
        worker = episode.reset.info["worker"]
        assert {step.info["worker"] for step in episode.steps} == {worker}
        by_worker[worker] += 1
    for number, count in by_worker.items():
        path = tmp_path / f"many.worker-{number}.jsonl"
        assert (len(read_run(path).episodes) if path.exists() else 0) == count


def test_a_worker_that_dies_once_is_replaced(cluster: str, arena: Arena, tmp_path: Path) -> None:
    class DyingOnce(Arena):
        def make(self, log=None):
            if not (flag := tmp_path / "died").exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().make(log)

    played = played_by(Crew(DyingOnce(**vars(arena)), workers=2))
    assert numbers(played) == numbers(played_by(Alone(arena)))
    (lost,) = [one.lost for one in played if one.lost]
    assert lost[0].endswith("was lost and replaced.")


def test_a_worker_that_always_dies_is_given_up(cluster: str, arena: Arena, tmp_path: Path) -> None:
    class Dying(Arena):
        def make(self, log=None):
            with (tmp_path / "deaths").open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)

    crew = Crew(Dying(**vars(arena)), workers=1)
    with pytest.raises(WorkerLostError, match=f"replaced at most {RESTARTS} times, was lost"):
        played_by(crew)
    assert (tmp_path / "deaths").read_text() == "x" * (1 + RESTARTS)


def test_what_an_episode_raises_arrives(cluster: str) -> None:
    arena = Arena.find("CartPole-v1")
    with pytest.raises(UsageError, match="needs an infra-gym environment"):
        played_by(Crew(arena, workers=1), cases_of([Contestant("hpa")], [1]))


def test_there_must_be_room(cluster: str, arena: Arena) -> None:
    with pytest.raises(WorkersError, match="Ray has no room for 99 workers: each takes one CPU"):
        Crew(arena, workers=99)


def test_a_long_name_leaves_no_room_for_numbers(arena: Arena) -> None:
    with pytest.raises(SettingsError, match="at most 31 characters"):
        Crew(arena.named("x" * 32), workers=1)


@pytest.mark.parametrize("target", ["k8s", "do"])
def test_machines_must_share_the_state(target: str) -> None:
    alone = Settings(target=target)
    refuse_unshared(alone, machines=1)
    with pytest.raises(SettingsError, match="there are 2: what a lost one made"):
        refuse_unshared(alone, machines=2)
    shared = Settings(target=target, state=StateSettings(backend="s3", bucket="mine"))
    refuse_unshared(shared, machines=2)
    assert state_variables(shared) == {
        "INFRA_GYM_STATE__BACKEND": "s3",
        "INFRA_GYM_STATE__BUCKET": "mine",
        "INFRA_GYM_STATE__REGION": "us-east-1",
    }


def evaluate(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*PROGRAM, "evaluate", ID, "--target", "sim", *arguments],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def test_the_command_on_a_cluster(cluster: str, tmp_path: Path) -> None:
    done = evaluate(
        "--agent", "hpa", "--seeds", "1-2", "--steps", "5", "--workers", "2", "--ray", cluster,
        "--json", "--log", "all.jsonl",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [one["seed"] for one in document["episodes"]] == [1, 2]
    assert document["agents"][0]["reward"]["low"] <= document["agents"][0]["reward"]["mean"]
    assert len(read_run(tmp_path / "all.jsonl").episodes) == 2


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense"])
def test_an_address_without_a_cluster_is_told_at_once(address: str) -> None:
    done = evaluate("--workers", "2", "--ray", address)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert address in done.stderr
    assert "Next: " in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_interrupt_ends_ray_and_tells_what_was_played(tmp_path: Path) -> None:
    """With a Ray of its own: none of its processes may be left."""
    program = subprocess.Popen(
        [*PROGRAM, "evaluate", ID, "--target", "sim", "--agent", "random", "--seeds", "1-5000",
         "--workers", "2", "--json", "--log", "all.jsonl"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert program.stderr is not None
    for line in iter(program.stderr.readline, ""):
        if "/5000" in line:
            break
    family = psutil.Process(program.pid).children(recursive=True)
    assert any("raylet" in " ".join(process.cmdline()) for process in family)
    program.send_signal(signal.SIGINT)
    stdout, _ = program.communicate(timeout=120)
    assert program.returncode == 130
    assert 0 < len(json.loads(stdout)["episodes"]) < 5000
    run = read_run(tmp_path / "all.jsonl")
    assert run.closed is not None
    assert run.closed.reason == "stopped by SIGINT"
    end = time.monotonic() + 30
    while any(process.is_running() for process in family):
        assert time.monotonic() < end, [process for process in family if process.is_running()]
        time.sleep(0.2)
