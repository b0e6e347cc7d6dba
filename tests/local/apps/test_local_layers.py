"""The local layers by bare terraform (or tofu), as somebody without infra-gym would use them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from infra_gym.apps.keeper import socket_path

LAYERS = Path(__file__).parents[3] / "layers" / "local"
NAMES = ("core", "heater", "siege-engine", "prometheus")
ENVIRONMENT = {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"}
PROMETHEUS = shutil.which("prometheus")

needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")


class Stack:
    """The layers in folders of their own, and the processes that they start."""

    def __init__(self, binary, folder, apps, first_port, schedule):
        self.binary = binary
        self.folder = folder
        self.run_folder = folder / "processes of it"
        self.heater, self.engine, self.prometheus = first_port, first_port + 10, first_port + 11
        self._applied = []
        common = {
            "run_folder": str(self.run_folder),
            "supervisor": f"{self.run_folder}/supervisord.conf",
            "python": sys.executable,
            "apps_folder": str(apps),
        }
        targets = [f"127.0.0.1:{port}" for port in range(self.heater, self.heater + 10)]
        self._inputs = {
            "core": {name: common[name] for name in ("run_folder", "python", "apps_folder")},
            "heater": common | {"port": self.heater, "service_time_s": 0.05},
            "siege-engine": common
            | {
                "port": self.engine,
                "target": f"http://127.0.0.1:{self.heater}-{self.heater + 9}",
                "schedule": str(schedule),
            },
            "prometheus": common
            | {
                "prometheus": PROMETHEUS,
                "port": self.prometheus,
                "targets": {"heater": targets, "siege-engine": [f"127.0.0.1:{self.engine}"]},
            },
        }
        for layer in ("heater", "prometheus"):
            del self._inputs[layer]["run_folder"]

    def command(self, layer, *arguments, **environment):
        return subprocess.run(
            [self.binary, *arguments],
            cwd=self.folder / layer,
            env=os.environ | ENVIRONMENT | environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def attempt(self, layer, **inputs):
        """Apply, and return what came of it."""
        folder = self.folder / layer
        if not folder.exists():
            shutil.copytree(LAYERS / layer, folder)
            assert self.command(layer, "init").returncode == 0
        self._inputs[layer] |= inputs
        (folder / "inputs.auto.tfvars.json").write_text(json.dumps(self._inputs[layer]))
        self._applied = [*(name for name in self._applied if name != layer), layer]
        return self.command(layer, "apply", "-auto-approve", "-no-color")

    def apply(self, layer, **inputs):
        """Apply, which must succeed; returns what terraform said."""
        done = self.attempt(layer, **inputs)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def destroy(self, *layers):
        """Destroy these layers, or all, in the reverse order of their first apply."""
        for layer in layers or [name for name in reversed(NAMES) if name in self._applied]:
            done = self.command(layer, "destroy", "-auto-approve", "-no-color")
            assert done.returncode == 0, done.stdout + done.stderr
            self._applied.remove(layer)

    def processes(self):
        """The processes of the stack by name; a supervisor is ``supervisord``."""
        found = {}
        for process in psutil.process_iter():
            try:
                if Path(process.cwd()) == self.run_folder:
                    name = process.environ().get("SUPERVISOR_PROCESS_NAME", "supervisord")
                    found[name] = process
            except (psutil.Error, OSError):
                continue
        return found

    def pids(self):
        return {name: process.pid for name, process in self.processes().items()}

    def socket(self):
        """The supervisor's socket."""
        conf = (self.run_folder / "supervisord.conf").read_text()
        return Path(conf.split("file = ")[1].splitlines()[0].replace("%%", "%"))


@pytest.fixture
def stack(binary, tmp_path, apps, free_ports, write_schedule):
    folder = tmp_path / 'it\'s a "run" at 100% #1 [x]'
    folder.mkdir()
    copied = folder / "the apps"
    copied.mkdir()
    for program in apps.glob("*.py"):
        shutil.copy(program, copied)
    schedule = write_schedule(folder / "arrivals", [i / 60 for i in range(6000)], 100.0)
    stack = Stack(binary, folder, copied, free_ports(12), schedule)
    yield stack
    for process in stack.processes().values():
        process.kill()
    Path(socket_path(stack.run_folder)).unlink(missing_ok=True)


@pytest.mark.both_programs
@pytest.mark.parametrize("layer", sorted(folder.name for folder in LAYERS.iterdir()))
def test_is_formatted_and_valid(binary, layer, tmp_path):
    folder = shutil.copytree(LAYERS / layer, tmp_path / layer)
    for arguments in (["fmt", "-check", "-diff"], ["init"], ["validate", "-no-color"]):
        done = subprocess.run(
            [binary, *arguments],
            cwd=folder,
            env=os.environ | ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


class Sight:
    """What Prometheus sees."""

    def __init__(self, port, ask):
        self._port = port
        self._ask = ask

    def replicas(self):
        """How many answer."""
        _, text = self._ask(self._port, "/api/v1/query?query=sum(up%7Bjob%3D%22heater%22%7D)")
        result = json.loads(text)["data"]["result"]
        return int(result[0]["value"][1]) if result else None


@pytest.mark.both_programs
@needs_prometheus
def test_the_life_of_a_stack(stack, ask, samples, until, monkeypatch):
    monkeypatch.setenv("DIGITALOCEAN_TOKEN", "a-secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    for layer in NAMES:
        stack.apply(layer)
    before = stack.pids()
    assert set(before) == {"supervisord", "heater-0", "heater-1", "siege-engine", "prometheus"}
    for process in stack.processes().values():
        assert "a-secret" not in process.environ().values()
    sight = Sight(stack.prometheus, ask)
    until(lambda: sight.replicas() == 2)
    until(lambda: samples(stack.engine)["siege_ready_targets"] == 2)
    ask(stack.engine, "/start", "{}")

    # Applying again changes nothing.
    for layer in NAMES:
        assert "0 added, 0 changed, 0 destroyed" in stack.apply(layer)
    assert stack.pids() == before

    # One more starts one process, and disturbs none.
    assert "1 added, 0 changed, 0 destroyed" in stack.apply("heater", replicas=3)
    applied = time.monotonic()
    until(lambda: sight.replicas() == 3)
    assert time.monotonic() - applied < 6  # the goal is 3; the rest is for a busy machine
    after = stack.pids()
    assert before.items() < after.items()
    assert set(after) - set(before) == {"heater-2"}
    taken = 'heater_requests_total{code="200"}'
    until(lambda: samples(stack.heater + 2)[taken] > 20)

    # One fewer loses no request.
    assert "0 added, 0 changed, 1 destroyed" in stack.apply("heater", replicas=2)
    applied = time.monotonic()
    until(lambda: sight.replicas() == 2)
    assert time.monotonic() - applied < 8  # it drains for one second first
    until(lambda: "heater-2" not in stack.pids())
    assert stack.pids() == before
    metrics = samples(stack.engine)
    codes = {key: count for key, count in metrics.items() if key.startswith("siege_requests_total")}
    assert codes.pop('siege_requests_total{code="200"}') > 100
    assert set(codes.values()) == {0}

    # Nothing remains.
    unix_socket = stack.socket()
    assert unix_socket.exists()
    stack.destroy()
    assert stack.processes() == {}
    assert not unix_socket.exists()
    assert not stack.run_folder.exists()


def test_a_killed_replica_comes_back_and_is_seen_as_starting(stack, ask, samples, until):
    stack.apply("core")
    stack.apply("heater", start_delay_s=1.5)
    until(lambda: all(samples(port)["heater_ready"] for port in (stack.heater, stack.heater + 1)))
    before = stack.pids()
    os.kill(before["heater-1"], signal.SIGKILL)
    until(lambda: stack.pids().get("heater-1") not in (None, before["heater-1"]))
    until(lambda: ask(stack.heater + 1, "/ready")[0] == 503)
    assert samples(stack.heater + 1)["heater_ready"] == 0
    until(lambda: ask(stack.heater + 1, "/ready")[0] == 200)
    assert stack.pids()["heater-0"] == before["heater-0"]
    stack.destroy()
    assert stack.processes() == {}


def test_destroy_after_the_supervisor_died_leaves_nothing(stack, until):
    stack.apply("core")
    stack.apply("heater")
    stack.apply("siege-engine")
    unix_socket = stack.socket()
    until(lambda: len(stack.processes()) == 4)
    supervisor = stack.processes()["supervisord"]
    supervisor.kill()
    until(lambda: "supervisord" not in stack.processes())
    refused = stack.attempt("heater", replicas=3)
    assert refused.returncode != 0
    assert "is not running" in refused.stderr
    stack.destroy()
    assert stack.processes() == {}
    assert not unix_socket.exists()
    assert not stack.run_folder.exists()
    # And it can be made again.
    stack.apply("core")
    stack.apply("heater", replicas=1)
    until(lambda: set(stack.processes()) == {"supervisord", "heater-0"})
    stack.destroy()


@pytest.mark.slow
def test_destroy_after_the_run_folder_was_removed_leaves_nothing(stack, until):
    stack.apply("core")
    stack.apply("heater")
    unix_socket = stack.socket()
    until(lambda: len(stack.processes()) == 3)
    shutil.rmtree(stack.run_folder)
    stack.destroy()
    assert stack.processes() == {}
    assert not unix_socket.exists()


@pytest.mark.both_programs
def test_what_cannot_be_says_why(stack):
    def refusal(layer, **inputs):
        begin = time.monotonic()
        refused = stack.attempt(layer, **inputs)
        assert refused.returncode != 0
        assert time.monotonic() - begin < 30
        return " ".join(refused.stderr.split())

    stack.apply("core")
    with socket.create_server(("127.0.0.1", stack.heater + 1)):
        assert f"heater-1 cannot have port {stack.heater + 1}" in refusal("heater")
    stack.apply("heater")
    said = refusal("siege-engine", target="ftp://127.0.0.1")
    assert "siege-engine does not start" in said
    assert "must look like http://" in said
    schedule = (stack.folder / "arrivals").rename(stack.folder / "elsewhere")
    assert "cannot load the schedule" in refusal("siege-engine", target="http://127.0.0.1:9")
    stack.apply("siege-engine", schedule=str(schedule))
    stack.destroy()
    assert stack.processes() == {}


def test_another_schedule_is_loaded_without_a_restart(stack, samples, until, ask, write_schedule):
    stack.apply("core")
    stack.apply("heater")
    stack.apply("siege-engine")
    before = stack.pids()
    until(lambda: samples(stack.engine)["siege_ready_targets"] == 2)
    ask(stack.engine, "/start", "{}")
    answered = 'siege_requests_total{code="200"}'
    until(lambda: samples(stack.engine)[answered] > 20)
    first = json.loads(ask(stack.engine, "/status")[1])
    write_schedule(stack.folder / "arrivals", [0.5], 50.0)
    stack.apply("siege-engine")
    second = json.loads(ask(stack.engine, "/status")[1])
    assert (second["running"], second["position"], second["seconds"]) == (False, 0, 50.0)
    assert second["sha256"] != first["sha256"]
    assert samples(stack.engine)[answered] > 20
    assert stack.pids() == before
    # The engine plays it again after a crash; and it goes with a schedule that is gone.
    os.kill(before["siege-engine"], signal.SIGKILL)
    until(lambda: stack.pids().get("siege-engine") not in (None, before["siege-engine"]))
    until(lambda: json.loads(ask(stack.engine, "/status")[1])["sha256"] == second["sha256"])
    (stack.folder / "arrivals").unlink()
    stack.destroy()
    assert stack.processes() == {}


def test_repair_and_other_settings(stack, samples, until):
    stack.apply("core")
    stack.apply("heater")
    until(lambda: len(stack.processes()) == 3)
    before = stack.pids()
    command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", "supervisord.conf"]
    subprocess.run([*command, "stop", "heater-1"], cwd=stack.run_folder, check=True, timeout=60)
    assert "heater-1" not in stack.pids()
    assert "0 added, 0 changed, 0 destroyed" in stack.apply("heater")
    stack.apply("heater", repair=1)
    until(lambda: "heater-1" in stack.pids())
    assert stack.pids()["heater-0"] == before["heater-0"]
    # A replica that Terraform has forgotten, as a killed apply leaves it.
    stack.apply("heater", replicas=3)
    forgotten = "terraform_data.replica[2]"
    assert stack.command("heater", "state", "rm", forgotten).returncode == 0
    stack.apply("heater", replicas=2)
    assert "heater-2" in stack.pids()
    stack.apply("heater", repair=2)
    until(lambda: "heater-2" not in stack.pids())
    assert stack.pids()["heater-0"] == before["heater-0"]
    # Other settings: other processes at the same ports.
    stack.apply("heater", slots=7, replicas=1)
    until(lambda: samples(stack.heater)["heater_slots"] == 7)
    until(lambda: set(stack.pids()) == {"supervisord", "heater-0"})
    stack.destroy()


@pytest.mark.slow
def test_scaling_up_and_down_again_and_again_loses_nothing(stack, samples, until, ask):
    stack.apply("core")
    stack.apply("heater")
    stack.apply("siege-engine")
    until(lambda: samples(stack.engine)["siege_ready_targets"] == 2)
    ask(stack.engine, "/start", "{}")
    for replicas in (4, 2, 3, 1, 4, 2):
        stack.apply("heater", replicas=replicas)
        until(lambda replicas=replicas: samples(stack.engine)["siege_ready_targets"] == replicas)
    metrics = samples(stack.engine)
    codes = {key: count for key, count in metrics.items() if key.startswith("siege_requests_total")}
    assert codes.pop('siege_requests_total{code="200"}') > 100
    assert set(codes.values()) == {0}
    stack.destroy()
    assert stack.processes() == {}
