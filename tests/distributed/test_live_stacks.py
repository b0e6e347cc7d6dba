"""Four live stacks at once, one a worker; one worker is killed, and the rest go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from infra_gym.distributed.cluster import Cluster
from infra_gym.distributed.crew import Crew
from infra_gym.distributed.leftovers import left_by
from infra_gym.distributed.serving import RayOffer
from infra_gym.errors import WorkerLostError
from infra_gym.evaluation.arena import Arena
from infra_gym.evaluation.evaluate import Contestant, cases_of
from infra_gym.settings import load_settings
from infra_gym.stack.ledger import Ledger
from infra_gym.stack.lock import StackLock
from infra_gym.stack.storage import Storage, open_storage

ID = "SimpleK8sWebApp-v0"
PROGRAM = [sys.executable, "-c", "from infra_gym.cli.main import main; main()"]
NAMES = [f"demo-{number}" for number in (1, 2, 3, 4)]


class Killer(threading.Thread):
    """Waits until all four stacks are up, looks at them, and kills the owner of one."""

    def __init__(self, project: str, victim: str) -> None:
        super().__init__(daemon=True)
        self._storage = open_storage(load_settings())
        self._project = project
        self._victim = victim
        self.states: dict[str, set[str]] = {}
        self.killed: int | None = None

    def run(self) -> None:
        end = time.monotonic() + 240
        while time.monotonic() < end:
            if all(self._is_up(name) for name in NAMES):
                break
            time.sleep(0.2)
        else:
            return
        for name in NAMES:
            prefix = f"infrastructure/{self._project}/{name}/state/"
            self.states[name] = {key[len(prefix) :] for key in self._storage.keys(prefix)}
        holder = StackLock(self._storage, self._project, self._victim).holder()
        assert holder is not None
        os.kill(holder.pid, signal.SIGKILL)
        self.killed = holder.pid

    def _is_up(self, name: str) -> bool:
        layers = Ledger(self._storage, self._project, name).layers()
        return len(layers) == 4 and all(one.status == "applied" for one in layers.values())


def processes_below(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(" ".join(process.cmdline()[:3]))
        except (psutil.Error, OSError):
            continue
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_workers_stack_is_destroyed_and_the_rest_go_on(data: Path) -> None:
    arena = Arena.find(ID, target="local", project="crew", environment="demo", steps=6)
    cases = cases_of([Contestant("random"), Contestant("hpa")], [1, 2, 3, 4])
    crew = Crew(arena, workers=4, address="local")
    killer = Killer("crew", "demo-2")
    try:
        killer.start()
        played = list(crew.play(cases))
        storage = open_storage(load_settings())
        assert killer.killed is not None
        assert set(killer.states) == set(NAMES)
        assert all(len(states) == 4 for states in killer.states.values())

        assert sorted(one.case.index for one in played) == list(range(8))
        assert [one.result.steps for one in played] == [6] * 8
        by_worker = {number: set() for number in (1, 2, 3, 4)}
        for one in played:
            by_worker[one.result.worker].add(one.environment)
        for number in (1, 3, 4):  # who was not killed kept the stack that it had
            assert by_worker[number] == {f"demo-{number}"}
        (told,) = [one.lost for one in played if one.lost]
        assert told == (
            "Worker 2 was lost and replaced.",
            "Destroyed what it left: crew/demo-2.",
        )
        (replacement,) = left_by(storage, "crew", "demo-2")
        assert by_worker[2] == {replacement}
        assert replacement != "demo-2"
    finally:
        crew.close()
    assert crew.left() == []
    assert storage.keys("infrastructure/") == []
    assert processes_below(data) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_served_stack_is_destroyed_when_its_actor_is_killed(data: Path) -> None:
    with Cluster("local", workers=0) as cluster:
        offer = RayOffer((ID,), "local", cluster=cluster)
        env = offer.make(ID)
        try:
            env.reset(seed=1)
            env.step(env.action_space.sample())
            storage = open_storage(load_settings())
            (name,) = {key.split("/")[2] for key in storage.keys("infrastructure/")}
            holder = StackLock(storage, "infra-gym", name).holder()
            assert holder is not None
            os.kill(holder.pid, signal.SIGKILL)
            with pytest.raises(WorkerLostError, match="was lost"):
                env.step(env.action_space.sample())
            assert storage.keys("infrastructure/") == []
            assert processes_below(data) == []
            env.reset(seed=1)
        finally:
            env.close()
        assert storage.keys("infrastructure/") == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_interrupt_destroys_every_workers_stack(data: Path) -> None:
    program = subprocess.Popen(
        [*PROGRAM, "evaluate", ID, "--target", "local", "--workers", "2", "--seeds", "1-2",
         "--agent", "random", "-e", "demo"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    storage = open_storage(load_settings())
    end = time.monotonic() + 400
    try:
        while not all(_begun(storage, name) for name in ("demo-1", "demo-2")):  # amid an apply
            assert time.monotonic() < end
            assert program.poll() is None
            time.sleep(0.05)
    finally:
        program.send_signal(signal.SIGINT)
        stdout, stderr = program.communicate(timeout=180)
    assert program.returncode == 130, stderr
    assert "No episode was played to its end." in stdout
    assert storage.keys("infrastructure/") == []
    assert processes_below(data) == []


def _begun(storage: Storage, name: str) -> bool:
    return bool(Ledger(storage, "infra-gym", name).layers())
