"""The environment over a real stack: Terraform, processes and Prometheus on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from infra_gym.clouds.buckets import BucketStorage, check_bucket, create_bucket
from infra_gym.definitions import definitions_folder
from infra_gym.environments.env import InfraEnv
from infra_gym.environments.make import make
from infra_gym.errors import DefinitionError, LayerFailedError, MetricsError, StackLockedError
from infra_gym.settings import load_settings
from infra_gym.stack.leftovers import processes_in
from infra_gym.testing import check_environment
from infra_gym.workloads import arrival_schedule

ID = "SimpleK8sWebApp-v0"
INTERVAL_S = 2.0

on_one_stack = pytest.mark.xdist_group("live")
"""Of the tests that share :func:`live`."""


@pytest.fixture(autouse=True, scope="module")
def data_folder(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INFRA_GYM_DATA_FOLDER", str(folder))
        yield folder


@pytest.fixture(scope="module")
def live(data_folder) -> Iterator[InfraEnv]:
    env = make(ID, target="local", project="tests", environment="live", interval_s=INTERVAL_S)
    yield env
    env.close()
    root = data_folder / "runs" / "tests" / "live"
    assert processes_in(root) == []
    assert not root.exists()
    assert not list((data_folder / "state").rglob("*.json"))


@pytest.fixture
def env(live, data_folder) -> InfraEnv:
    live.reset(seed=1)
    remaining(live, data_folder, 2)
    return live


def heaters(env: InfraEnv, data_folder: Path) -> dict[str, psutil.Process]:
    """The heaters' processes by the address that they serve."""
    root = data_folder / "runs" / env.place.project / env.place.environment
    found = {}
    for process in processes_in(root):
        line = process.cmdline()
        if any(part.endswith("heater.py") for part in line):
            found[f"127.0.0.1:{line[line.index('--port') + 1]}"] = process
    return found


def remaining(env: InfraEnv, data_folder: Path, number: int) -> set[int]:
    """The heaters' process ids, once as many are left; one that leaves first finishes its work."""
    for _ in range(100):
        found = {process.pid for process in heaters(env, data_folder).values()}
        if len(found) == number:
            return found
        time.sleep(0.1)
    pytest.fail(f"{len(found)} heaters run, not {number}")


def act(env: InfraEnv, *actions: int) -> None:
    for action in actions:
        env.step(action)


@pytest.mark.both_programs
@on_one_stack
def test_an_action_becomes_a_process_and_its_work_a_reward(env, data_folder):
    before = heaters(env, data_folder)
    assert len(before) == 2
    requests = []
    for action in (2, 1, 1, 1):
        observation, reward, terminated, truncated, info = env.step(action)
        assert env.observation_space.contains(observation)
        assert np.isfinite(reward)
        assert not terminated
        assert not truncated
        requests.append(info["metrics"]["requests"])
    after = heaters(env, data_folder)
    assert len(after) == 3
    assert {address: after[address].pid for address in before} == {
        address: process.pid for address, process in before.items()
    }
    assert info["metrics"]["ready"] == 3
    assert info["metrics"]["starting"] == 0
    assert set(info["by_label"]["replica_utilisation"]) == set(after)
    assert min(info["by_label"]["replica_utilisation"].values()) > 0
    schedule = arrival_schedule(
        env.place.workload,
        seconds=(env.definition.max_episode_steps + 2) * INTERVAL_S,
        time_scale=env.place.time_scale,
        seed=1,
    )
    sent = np.searchsorted(schedule.times, [4 * INTERVAL_S - 1.2, 4 * INTERVAL_S])
    ended = sum(requests) + info["metrics"]["backlog"]
    assert sent[0] - 20 <= ended <= sent[1] + 20
    assert sum(info["rewards"].values()) == pytest.approx(reward)


@on_one_stack
def test_every_panel_of_its_dashboard_has_data(env, panel_values):
    act(env, 1)
    shown = panel_values(env)
    assert len(shown) > 10
    assert [title for title, values in shown.items() if not values] == []
    assert max(shown["ready"]) >= 2
    assert max(shown["replica started"]) < 600, "an age, not a moment"


@on_one_stack
def test_a_replica_that_dies_is_seen_and_comes_back(env, data_folder):
    address, process = max(heaters(env, data_folder).items())
    process.send_signal(signal.SIGKILL)
    ready, started = [], None
    for _ in range(4):
        *_, info = env.step(1)
        ready.append(info["metrics"]["ready"])
        started = info["by_label"]["replica_started"].get(address, started)
    assert ready[-1] == 2
    assert started is not None
    assert started > process.create_time() + 1
    assert heaters(env, data_folder)[address].pid != process.pid


@on_one_stack
def test_a_replica_that_somebody_stopped_is_told_and_put_back(env, data_folder):
    _, process = max(heaters(env, data_folder).items())
    process.send_signal(signal.SIGSTOP)  # it hangs: up is 0, and the supervisor sees nothing
    told, repaired = [], []
    try:
        for _ in range(5):
            *_, info = env.step(1)
            told.append(info["mismatch"])
            repaired += info["repaired"]
    finally:
        process.send_signal(signal.SIGCONT)
    assert {"wanted": 2.0, "existing": 1.0} in [each.get("replicas") for each in told]
    assert repaired[0] == "local/heater"
    for _ in range(3):
        *_, info = env.step(1)
    assert info["mismatch"] == {}


@on_one_stack
def test_prometheus_that_hangs_is_an_error_and_no_number(env, data_folder):
    root = data_folder / "runs" / "tests" / "live"
    (prometheus,) = [one for one in processes_in(root) if "prometheus" in one.name()]
    prometheus.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(MetricsError, match="http://127"):
            env.step(1)
    finally:
        prometheus.send_signal(signal.SIGCONT)
    observation, _ = env.reset(seed=2, options={"mode": "soft"})
    assert env.observation_space.contains(observation)


@on_one_stack
def test_a_late_learner_is_told_and_no_request_is_lost(env):
    *_, first = env.step(1)
    time.sleep(INTERVAL_S * 1.5)
    *_, late = env.step(1)
    assert late["overrun_s"] > 0
    assert late["tick"] > first["tick"] + 1
    missed = late["at"] - first["at"]
    rate = late["metrics"]["request_rate"]
    assert late["metrics"]["requests"] == pytest.approx(rate * missed, rel=0.35)


@on_one_stack
def test_a_soft_reset_keeps_the_processes_and_a_layer_reset_does_not(env, data_folder):
    env.step(2)
    before = remaining(env, data_folder, 3)
    _, info = env.reset(seed=3)
    soft = remaining(env, data_folder, 2)
    assert len(list((data_folder / "runs" / "tests" / "live").glob("schedule-*.igs"))) == 1
    assert soft < before
    assert info["metrics"]["requests"] == 0
    env.reset(seed=3, options={"mode": "layer"})
    assert not remaining(env, data_folder, 2) & before


@pytest.mark.both_programs
@on_one_stack
def test_a_layer_that_fails_raises_and_the_next_reset_mends_it(env, data_folder):
    taken = max(int(address.rpartition(":")[2]) for address in heaters(env, data_folder)) + 1
    with (
        socket.create_server(("127.0.0.1", taken)),
        pytest.raises(LayerFailedError, match=str(taken)),
    ):
        act(env, 2, 2, 2)
    _, info = env.reset(seed=4)
    assert info["metrics"]["ready"] == 2
    *_, info = env.step(2)
    assert info["controls"] == {"replicas": 3}


def test_pausing_holds_the_load_while_the_learner_thinks(data_folder):
    env = make(
        ID,
        target="local",
        environment="paused",
        interval_s=INTERVAL_S,
        overrun="pause",
        workload={"profile": "constant", "mean_rps": 40},
    )
    try:
        env.reset(seed=1)
        counts = []
        for _ in range(2):
            time.sleep(INTERVAL_S)
            *_, info = env.step(1)
            counts.append(info["metrics"]["requests"])
            assert info["time_s"] == pytest.approx(
                info["tick"] * INTERVAL_S * env.place.time_scale, abs=0.01
            )
        assert sum(counts) == pytest.approx(2 * INTERVAL_S * 40, rel=0.35)
    finally:
        env.close()


@pytest.mark.both_programs
def test_a_dry_run_shows_the_plan_and_touches_nothing(data_folder, capsys):
    def files() -> list[Path]:
        """All but those of the environment beside it, whose Prometheus writes meanwhile."""
        live = data_folder / "runs" / "tests" / "live"
        return sorted(path for path in data_folder.rglob("*") if not path.is_relative_to(live))

    before = files()
    env = make(ID, target="local", environment="dry", dry_run=True)
    _, info = env.reset(seed=1)
    *_, stepped = env.step(2)
    env.close()
    assert any("local/heater" in line and "to add" in line for line in info["plan"])
    assert "nothing is touched" in capsys.readouterr().err
    assert stepped["metrics"]["requests"] > 0
    assert files() == before
    assert os.environ["INFRA_GYM_DATA_FOLDER"] == str(data_folder)


@pytest.mark.slow
def test_its_state_may_lie_in_a_bucket(bucket_state, monkeypatch):
    for name in ("backend", "bucket", "region", "endpoint"):
        monkeypatch.setenv(f"INFRA_GYM_STATE__{name.upper()}", getattr(bucket_state, name))
    create_bucket(bucket_state)
    assert check_bucket(load_settings()).locks_hold
    store = BucketStorage(bucket_state)
    env = make(ID, target="local", project="tests", environment="bucket", interval_s=INTERVAL_S)
    try:
        env.reset(seed=1)
        *_, info = env.step(2)
        prefix = "infrastructure/tests/bucket/"
        kept = {key.removeprefix(prefix) for key in store.keys(prefix)}
        layers = ("local/core", "local/heater", "local/siege-engine", "local/prometheus")
        assert {f"state/{layer}.tfstate" for layer in layers} <= kept
        assert {f"ledger/{layer}.json" for layer in layers} <= kept
        assert any(key.startswith("lock/") for key in kept)
        assert info["controls"] == {"replicas": 3}
    finally:
        env.close()
    assert store.keys(prefix) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_live_environment_conforms(data_folder):
    report = check_environment(ID, steps=6, target="local", interval_s=INTERVAL_S)
    print(report)
    report.raise_for_failures()


def test_an_environment_that_nobody_closed_is_destroyed_at_exit(data_folder):
    script = (
        "from infra_gym.environments.make import make\n"
        f"env = make('{ID}', target='local', project='tests', environment='forgotten')\n"
        "env.reset(seed=1)\n"
        "raise RuntimeError('the training script has a bug')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 1
    assert "the training script has a bug" in done.stderr
    assert "tests/forgotten was not closed: destroying it." in done.stderr
    root = data_folder / "runs" / "tests" / "forgotten"
    assert processes_in(root) == []
    assert not root.exists()


def test_a_vector_that_nobody_closed_is_destroyed_too(data_folder):
    script = (
        "import gymnasium as gym\n"
        f"envs = gym.make_vec('infra_gym:{ID}', num_envs=1, vectorization_mode='async',\n"
        "                    target='local', project='tests', environment='worker')\n"
        "envs.reset(seed=1)\n"
        "raise RuntimeError('the training script has a bug')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 1
    root = data_folder / "runs" / "tests" / "worker"
    assert processes_in(root) == []
    assert not root.exists()


@pytest.mark.slow
@pytest.mark.parametrize("vector", [False, True], ids=["one", "vector"])
def test_a_script_that_is_told_to_end_destroys_first(data_folder, vector):
    make_it = (
        f"gym.make_vec('infra_gym:{ID}', num_envs=2, vectorization_mode='async', target='local',\n"
        "              project='told')\n"
        if vector
        else f"gym.make('infra_gym:{ID}', target='local', project='told')\n"
    )
    script = (
        "import gymnasium as gym, time\n"
        "if __name__ == '__main__':\n"
        f"    env = {make_it}"
        "    env.reset(seed=1)\n"
        "    print('up', flush=True)\n"
        "    time.sleep(300)\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert run.stdout.readline() == "up\n"
        assert processes_in(data_folder / "runs/told") != []
        run.send_signal(signal.SIGTERM)
        _, told = run.communicate(timeout=100)  # workers hold the pipe until they have destroyed
    finally:
        run.kill()
        run.wait()
    # A vector's own process has nothing to destroy: its workers do it, when it is gone.
    assert run.returncode == (-signal.SIGTERM if vector else 128 + signal.SIGTERM), told
    assert processes_in(data_folder / "runs/told") == []
    assert not (data_folder / "runs/told").exists()


def test_a_destroy_that_was_interrupted_is_done_again_at_exit(data_folder):
    script = (
        "import os, signal, threading\n"
        "from infra_gym.environments.make import make\n"
        f"env = make('{ID}', target='local', project='tests', environment='hasty')\n"
        "env.reset(seed=1)\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "env.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False
    )
    assert "KeyboardInterrupt" in done.stderr
    assert "tests/hasty was not closed: destroying it." in done.stderr
    root = data_folder / "runs" / "tests" / "hasty"
    assert processes_in(root) == []
    assert not root.exists()


def test_a_stack_without_prometheus_is_refused_before_anything_is_made(tmp_path, data_folder):
    definition = yaml.safe_load((definitions_folder() / f"{ID}.yaml").read_text())
    definition["layers"]["local"].remove("local/prometheus")
    del definition["inputs"]["local/prometheus"]
    path = tmp_path / f"{ID}.yaml"
    path.write_text(yaml.safe_dump(definition))
    with pytest.raises(DefinitionError, match="no layer 'prometheus'"):
        make(str(path), target="local")


@on_one_stack
def test_a_second_run_of_the_same_name_is_refused_and_destroys_nothing(env, data_folder):
    second = make(ID, target="local", project="tests", environment="live")
    with pytest.raises(StackLockedError, match=str(os.getpid())):
        second.reset(seed=1)
    second.close()
    assert len(remaining(env, data_folder, 2)) == 2
    *_, info = env.step(1)
    assert info["metrics"]["ready"] == 2
