"""``infra-gym verify-account``: whatever happens, nothing is left, and what happened is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import pytest

from infra_gym.cli.episode import Episode
from infra_gym.cli.play import Play
from infra_gym.cli.signals import Signals
from infra_gym.cli.verify_account import Verification
from infra_gym.clouds.digitalocean import DigitalOcean
from infra_gym.clouds.digitalocean_runs import digest_of
from infra_gym.cost import Bill
from infra_gym.definitions.catalog import find_definition
from infra_gym.errors import InfraGymError, WorldError
from infra_gym.testing.digitalocean import Durations, FakeDigitalOcean, networks, projects
from infra_gym.testing.digitalocean import kubernetes as clusters

DEFINITION = find_definition("SimpleK8sWebApp-v0")
NAME = f"ig-20261128t1200z-{digest_of('p', 'e')}-p-e"
KUBECONFIG = os.environ.get("INFRA_GYM_TEST_KUBECONFIG")


class Clock:
    """A clock that moves by sleeping."""

    def __init__(self) -> None:
        self.now = 1_796_000_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class MadeEnv(gym.Env):
    """An environment that makes its things in the fake account, and fails where it is told."""

    definition = DEFINITION
    place = SimpleNamespace(project="p", environment="e", target="do")
    world = None

    def __init__(self, fake: FakeDigitalOcean, clock: Clock, fails: str) -> None:
        self.account, self.clock, self.fails = fake.account, clock, fails
        self.bill = Bill(usd=0.02, usd_per_hour=0.0)
        self.closes = 0

    def reset(self, *, seed: int) -> tuple[list[float], dict[str, Any]]:
        projects.create(self.account, {"name": NAME, "purpose": "p"})
        vpc = networks.create_vpc(self.account, {"name": NAME, "region": "nyc3"})
        pools = [{"name": "system", "size": "s-2vcpu-4gb", "count": 1}]
        asked = {"name": NAME, "region": "nyc3", "version": "1.34.4-do.0", "node_pools": pools}
        clusters.create(self.account, {**asked, "vpc_uuid": vpc.id})
        self.clock.sleep(400)
        if self.fails == "reset":
            raise WorldError("the cluster never got ready")
        return [], {}

    def step(self, action: Any) -> tuple[Any, ...]:
        self.clock.sleep(60)
        if self.fails == "step":
            raise WorldError("Prometheus is gone")
        if self.fails == "interrupt":
            raise KeyboardInterrupt
        over = self.fails == "budget"
        info = {"truncated_because": "budget spent"} if over else {}
        return [], 0.0, False, over, info

    def close(self) -> None:
        self.closes += 1
        if self.fails == "close" or (self.fails == "once" and self.closes == 1):
            raise InfraGymError("the VPC would not go")
        for cluster in self.account.all_of("kubernetes"):
            clusters.delete(self.account, cluster)
        self.clock.sleep(300)
        for kind in ("vpc", "project"):
            for one in self.account.all_of(kind):
                if one.name == NAME:
                    self.account.remove(one)


class Silent:
    """A view that shows nothing."""

    def phase(self, text: str) -> None:
        pass

    def stepped(self, reward: float) -> None:
        pass


class Still:
    """An agent that does nothing."""

    def reset(self, seed: int, env: Any) -> None:
        pass

    def act(self, observation: Any, info: Any) -> int:
        return 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fake(clock: Clock) -> Iterator[FakeDigitalOcean]:
    durations = Durations(cluster_boot_s=300, node_boot_s=60, cluster_delete_s=240)
    with FakeDigitalOcean(clock=clock, durations=durations, a_minute=10_000) as server:
        yield server


def verify(
    fake: FakeDigitalOcean, clock: Clock, fails: str = "", interrupts: int = 0
) -> Verification:
    env: Any = MadeEnv(fake, clock, fails)
    left = iter(range(interrupts))

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if next(left, None) is not None:
            signal.raise_signal(signal.SIGINT)

    with Signals() as signals:
        play = Play(
            env, Still(), Episode(DEFINITION), Silent(), signals, steps=3, seed=1, keep=False
        )  # fmt: skip
        account = DigitalOcean("any", fake.url)
        told: list[str] = []
        return Verification(play, account, note=told.append, sleep=sleep, clock=clock).run()


def test_what_went_well_is_verified(fake, clock):
    done = verify(fake, clock)
    assert done.verified
    assert fake.left() == []
    document = done.document()
    assert (document["steps"], document["left"], document["billed_usd"]) == (3, [], 0.02)
    assert document["seconds"] >= 400 + 3 * 60


@pytest.mark.slow
def test_what_is_still_billed_is_not_verified(fake, clock):
    done = verify(fake, clock)
    done.play.env.bill = Bill(usd=0.02, usd_per_hour=0.003)
    assert not done.verified
    assert done.document()["still_billed_usd_per_hour"] == 0.003


@pytest.mark.slow
@pytest.mark.parametrize("fails", ["reset", "step", "interrupt", "budget", "once", "close"])
def test_nothing_is_left_on_any_path(fake, clock, fails):
    done = verify(fake, clock, fails)
    assert not done.verified
    assert fake.left() == []
    assert done.left == []
    assert (done.problem is None) == (fails in ("interrupt", "budget"))
    # Only what its own teardown could not destroy twice had to be swept.
    assert bool(done.swept) == (fails == "close")


@pytest.mark.slow
def test_an_interrupt_does_not_stop_the_destroying(fake, clock):
    done = verify(fake, clock, "close", interrupts=1)
    assert fake.left() == []
    assert done.left == []
    assert done.play.signals.first == signal.SIGINT


@pytest.mark.slow
def test_a_second_interrupt_does_and_what_is_left_is_told(fake, clock):
    done = verify(fake, clock, "close", interrupts=2)
    assert not done.verified
    assert str(done.problem).endswith("Next: infra-gym sweep")
    assert {f"vpcs/{NAME}", f"kubernetes/{NAME}"} <= set(done.left)


@pytest.mark.slow
def test_what_will_not_go_is_told(fake, clock):
    fake.account.durations.cluster_delete_s = 1e9
    done = verify(fake, clock, "close")
    assert not done.verified
    assert any(name.startswith("vpcs/") for name in done.left)
    assert done.problem == "the VPC would not go"


@pytest.mark.slow
def test_others_are_left_alone(fake, clock):
    theirs = NAME.replace(digest_of("p", "e"), "00000000")
    networks.create_vpc(fake.account, {"name": theirs, "region": "fra1"})
    verify(fake, clock, "close")
    assert [one.name for one in fake.left()] == [theirs]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("needs_provider")
@pytest.mark.skipif(not KUBECONFIG, reason="INFRA_GYM_TEST_KUBECONFIG names no kubeconfig")
def test_the_whole_of_it_on_a_fake_account(tmp_path):
    with FakeDigitalOcean(kubeconfig=Path(str(KUBECONFIG))) as fake:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "infra_gym", "verify-account", "--yes", "--json"),
                *("--steps", "2", "--interval", "10"),
            ],
            env={
                **{name: value for name, value in os.environ.items() if name != "KUBECONFIG"},
                "DIGITALOCEAN_TOKEN": "any",
                "DIGITALOCEAN_API_URL": fake.url,
                "INFRA_GYM_DATA_FOLDER": str(tmp_path / "data"),
                "TF_VAR_pool": "",
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=590,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        told = json.loads(done.stdout)
        assert told["verified"]
        assert fake.left() == []
        assert f"{told['billed_usd']:.2f}" == str(fake.bill_usd())
    evidence = json.loads(Path(tmp_path / told["evidence"]).read_text())
    assert evidence == told
    assert "any" not in Path(tmp_path / told["log"]).read_text().split('"')
