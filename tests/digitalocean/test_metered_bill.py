"""The meter's bill, made of looks from outside, against the bill that the account keeps itself."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from infra_gym.clouds.digitalocean import DigitalOcean
from infra_gym.clouds.digitalocean_standing import AccountView
from infra_gym.errors import CloudError, CloudRefusedError
from infra_gym.testing.digitalocean import Durations, FakeDigitalOcean, droplets, networks, projects
from infra_gym.testing.digitalocean import kubernetes as clusters
from infra_gym.worlds.metering import LOOK_S, PATIENCE_S, Metering

NAME = "ig-20261128t1200z-86ffe8ef-p-e"


class Clock:
    """A clock that moves by sleeping."""

    def __init__(self) -> None:
        self.now = 1_796_000_000.0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Run:
    """A run of one environment, and the process that meters it."""

    def __init__(self, fake: FakeDigitalOcean, clock: Clock) -> None:
        self.account, self.clock, self.fake = fake.account, clock, fake
        self.kept: list[dict[str, Any]] = []
        self.begin_process()

    def begin_process(self) -> None:
        """As after a crash: nothing is known but what the ledger has."""
        door = DigitalOcean("any", self.fake.url)
        # Retries would wait in real time.
        door._client._config.retry_policy.total_retries = 0
        self.metering = Metering(
            lambda: AccountView(door, door.prices()),
            name=lambda: NAME,
            load=lambda: list(self.kept),
            save=lambda lines: setattr(self, "kept", list(lines)),
            clock=self.clock,
        )

    def make(self, *, ha: bool = False) -> None:
        projects.create(self.account, {"name": NAME, "purpose": "p"})
        self.vpc = networks.create_vpc(self.account, {"name": NAME, "region": "nyc3"})
        pools = [
            {"name": "system", "size": "s-2vcpu-4gb", "count": 1},
            {"name": "app", "size": "s-2vcpu-2gb", "count": 1},
        ]
        asked = {"name": NAME, "region": "nyc3", "version": "1.34.4-do.0", "node_pools": pools}
        told = clusters.create(self.account, {**asked, "vpc_uuid": self.vpc.id, "ha": ha})
        self.cluster = self.account.find("kubernetes", told["id"])

    def scale(self, count: int) -> None:
        app = self.cluster.body["node_pools"][1]
        clusters.update_pool(self.account, self.cluster, app, {"count": count})

    def make_what_kubernetes_makes(self) -> None:
        tags = [f"k8s:{self.cluster.id}"]
        rule = [{"entry_protocol": "tcp", "entry_port": 80}]
        balancer = {"name": "a1b2", "region": "nyc3", "vpc_uuid": self.vpc.id, "tags": tags}
        networks.create_load_balancer(self.account, {**balancer, "forwarding_rules": rule})
        volume = {"name": "pvc-1", "region": "nyc3", "size_gigabytes": 20, "tags": tags}
        droplets.create_volume(self.account, volume)

    def watch(self, seconds: float) -> None:
        """So much time passes, with a look every so often, as while an apply runs."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.sleep(min(LOOK_S, end - self.clock.now))
            self.metering.look()

    def destroy(self) -> None:
        clusters.delete(self.account, self.cluster, associated=True)

    @property
    def metered(self) -> float:
        return self.metering.look().usd


def cents(usd: float) -> Decimal:
    return Decimal(repr(usd)).quantize(Decimal("0.01"), ROUND_HALF_UP)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fake(clock: Clock) -> Iterator[FakeDigitalOcean]:
    durations = Durations(cluster_boot_s=307, node_boot_s=64, cluster_delete_s=240)
    limits = {"a_minute": 10**6, "an_hour": 10**6}
    with FakeDigitalOcean(clock=clock.time, durations=durations, **limits) as server:
        yield server


@pytest.fixture
def run(fake: FakeDigitalOcean, clock: Clock) -> Run:
    return Run(fake, clock)


@pytest.mark.slow
def test_the_two_bills_are_equal_to_the_cent(run, fake, clock):
    run.make(ha=True)
    run.watch(420)  # a reset
    steps, before = [], run.metered
    assert before > 0  # what stood before the first step is told
    for tick in range(180):
        if tick % 40 == 5:
            run.scale(random.Random(tick).randint(1, 5))
            run.metering.look()  # as after every apply of what is billed
        if tick == 60:
            run.make_what_kubernetes_makes()
        if tick == 90:
            run.begin_process()
        clock.sleep(60)
        usd = run.metered
        steps.append(usd - before)
        before = usd
        assert cents(usd) == fake.bill_usd(), tick
    assert min(steps) >= 0
    run.destroy()
    run.watch(300)
    assert fake.account.all_of("kubernetes") == []
    final = run.metered
    assert cents(final) == fake.bill_usd() > Decimal("0.50")
    assert final > before  # the teardown costs as well
    clock.sleep(86400)
    assert cents(run.metered) == fake.bill_usd() == cents(final)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_meter_never_states_less_and_hardly_more(run, fake, clock, seed):
    chance = random.Random(seed)
    run.make(ha=chance.random() < 0.5)
    changes = 0
    for _ in range(30):
        clock.sleep(chance.choice([3, 10, 27, 60]))
        if chance.random() < 0.3:
            run.scale(chance.randint(1, 6))
            changes += 6
        owed, metered = fake.bill_usd(), run.metered
        # An end is told 60 s late at most, and a boot that was broken off is counted as a cent.
        late = changes * (60 * 0.03571 / 3600 + 0.01)
        assert float(owed) - 0.005 <= metered <= float(owed) + 0.005 + late


@pytest.mark.slow
def test_nothing_of_others_is_metered(run, fake, clock):
    run.make()
    other = {"name": "mine", "region": "nyc3", "size": "s-8vcpu-16gb", "image": "debian-12-x64"}
    droplets.create(fake.account, other)
    run.watch(400)
    assert run.metering.look().usd_per_hour == pytest.approx(0.03571 + 0.02679)


@pytest.mark.slow
def test_an_account_that_does_not_answer_is_waited_for(run, fake, clock):
    run.make()
    run.watch(400)
    clock.sleep(3600)
    before = run.metered
    fake.fault("status", 500)
    clock.sleep(PATIENCE_S - 1)
    assert run.metering.read().usd > before  # what stands goes on costing
    clock.sleep(2)
    with pytest.raises(CloudError):
        run.metering.read()
    fake.heal()
    assert cents(run.metering.read().usd) == fake.bill_usd()


def test_an_expired_token_is_told_at_once(run, fake):
    run.make()
    fake.token = "another"
    with pytest.raises(CloudRefusedError, match="Unable to authenticate"):
        run.metering.read()


def test_what_changes_meanwhile_is_watched(run, fake):
    run.make()
    with run.metering.watching():
        run.clock.sleep(1000)
    assert cents(run.metering.told().usd) == fake.bill_usd() > 0
