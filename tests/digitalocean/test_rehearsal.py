"""DigitalOcean from nothing to nothing: real providers, a real cluster, a fake account."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest

from infra_gym.clouds.kubernetes import Cluster
from infra_gym.testing.digitalocean import Durations, FakeDigitalOcean

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl run"
KUBECONFIG = os.environ.get("INFRA_GYM_TEST_KUBECONFIG")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("needs_provider"),
]
needs_cluster = pytest.mark.skipif(
    not KUBECONFIG, reason="INFRA_GYM_TEST_KUBECONFIG names no kubeconfig"
)


def rehearse(
    *arguments: str, folder: Path, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command as a user types it, in a folder of its own; it tells in JSON."""
    return subprocess.run(
        [sys.executable, "-m", "infra_gym", "rehearse", *arguments, "--json"],
        env=environ,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )


def test_the_account_is_listed_where_the_cluster_cannot_be_reached(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # nobody's, once it is closed
    kubeconfig = tmp_path / "away"
    kubeconfig.write_text(
        json.dumps(
            {
                "current-context": "away",
                "contexts": [{"name": "away", "context": {"cluster": "away", "user": "away"}}],
                "clusters": [{"name": "away", "cluster": {"server": f"https://127.0.0.1:{port}"}}],
                "users": [{"name": "away", "user": {"token": "any"}}],
            }
        )
    )
    done = rehearse("SimpleK8sWebApp-v0", "--kubeconfig", str(kubeconfig), folder=tmp_path)
    assert done.returncode == 1, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["left"] == []
    assert told["bill_usd"] > 0  # the account had a cluster
    assert told["namespaces"] is None


def test_an_environment_without_pods_needs_no_cluster(tmp_path):
    environ = {
        **{key: value for key, value in os.environ.items() if not key.startswith("KUBE")},
        "KUBECONFIG": str(tmp_path / "none"),
        "TF_VAR_ssh_from": '["192.0.2.7/32"]',
        "TF_VAR_ssh_public_key": KEY,
        "INFRA_GYM_READY_SECONDS": "1",  # no droplet of the fake account ever boots
    }
    done = rehearse("SwarmWebApp-v0", folder=tmp_path, environ=environ)
    assert done.returncode == 1, done.stderr[-3000:]
    assert "not ready after 1 s" in done.stderr
    told = json.loads(done.stdout)
    assert told["bill_usd"] > 0
    assert (told["left"], told["namespaces"]) == ([], [])


@needs_cluster
def test_an_episode_leaves_nothing_in_the_account(tmp_path):
    short = ("--kubeconfig", str(KUBECONFIG), "--steps", "2", "--interval", "10")
    done = rehearse("SimpleK8sWebApp-v0", *short, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["left"] == []
    assert round(told["metered_usd"], 2) == told["bill_usd"] > 0
    steps = [
        record
        for record in map(json.loads, Path(told["log"]).read_text().splitlines())
        if record["kind"] == "step"
    ]
    assert len(steps) == 2
    assert told["namespaces"] == []


def environ_of(fake: FakeDigitalOcean, folder: Path) -> dict[str, str]:
    """A machine of its own, as far as the account and settings go; nobody said yes to a bill."""
    kept = ("INFRA_GYM_", "KUBE", "DIGITALOCEAN_")
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(kept)},
        "DIGITALOCEAN_TOKEN": "any",
        "DIGITALOCEAN_API_URL": fake.url,
        "INFRA_GYM_DATA_FOLDER": str(folder / "data"),
        "TF_VAR_pool": "",  # no node of the cluster behind is kept for the app
    }


@needs_cluster
def test_the_budgeted_example_asks_first_and_leaves_nothing(tmp_path):
    """Its last command, cut short: in its first minutes a run costs the least that things cost, so
    no budget above that ends it."""
    log, budget_usd = tmp_path / "run.jsonl", 0.05
    program = [sys.executable, str(EXAMPLES / "09-budgeted-run/budgeted_run.py")]
    given = ["--target", "do", "--budget", str(budget_usd)]
    with FakeDigitalOcean(kubeconfig=Path(str(KUBECONFIG)), durations=Durations(1, 1, 1)) as fake:
        environ = environ_of(fake, tmp_path)

        def run(*more: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*program, *given, *more],
                env=environ,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=840,
                check=False,
            )

        unsaid = run()
        assert unsaid.returncode != 0
        assert "spend_money" in unsaid.stderr
        assert fake.left() == []
        assert fake.bill_usd() == 0
        done = run("--spend", "yes", "--steps", "2", "--log", str(log))
        assert done.returncode == 0, done.stdout + done.stderr[-3000:]
        assert "ended: after 2 steps" in done.stdout, done.stdout
        assert fake.left() == []
        assert 0 < fake.bill_usd() <= budget_usd
    steps = [line for line in log.read_text().splitlines() if '"kind":"step"' in line]
    assert len(steps) == 2
    assert 0 < json.loads(steps[-1])["info"]["bill"]["usd"] <= budget_usd


@needs_cluster
def test_a_run_that_is_killed_among_its_pods_is_swept(tmp_path):
    name, behind = f"killed-{uuid.uuid4().hex[:6]}", Path(str(KUBECONFIG))
    with FakeDigitalOcean(kubeconfig=behind, durations=Durations(1, 1, 1)) as fake:
        environ = {**environ_of(fake, tmp_path), "INFRA_GYM_SPEND_MONEY": "true"}
        program = [sys.executable, "-m", "infra_gym"]
        stack = ["--target", "do", "-p", "p", "-e", name]
        run = subprocess.Popen(
            [*program, "layers", "apply", "SimpleK8sWebApp-v0", *stack, "--quiet"],
            env=environ,
            cwd=tmp_path,
        )
        try:
            heater = tmp_path / f"data/state/infrastructure/p/{name}/ledger/k8s/heater.json"
            deadline = time.monotonic() + 240
            while not heater.exists():
                assert run.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            run.send_signal(signal.SIGKILL)
            run.wait()
        done = subprocess.run(
            [*program, "sweep", "--json"],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["swept"] == [f"p/{name}"]
        assert fake.left() == []
    with Cluster.connect(behind) as cluster:
        assert cluster.namespaces("p", name) == []
    assert [path for path in (tmp_path / "data").rglob("*") if not path.is_dir()] == []
