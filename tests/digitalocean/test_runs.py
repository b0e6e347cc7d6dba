"""What runs left in an account is found, and goes: the real pydo against the fake account."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from infra_gym.clouds.digitalocean import DigitalOcean
from infra_gym.clouds.digitalocean_runs import CloudRun, destroy_run, digest_of, find_runs
from infra_gym.errors import CloudError, CloudRefusedError, SettingsError
from infra_gym.testing.digitalocean import Durations, FakeDigitalOcean, droplets, networks, projects
from infra_gym.testing.digitalocean import kubernetes as clusters

NAME = f"ig-20261128t1200z-{digest_of('p', 'e')}"
TITLE = f"{NAME}-p-e"


class Clock:
    """A clock that moves by sleeping."""

    def __init__(self) -> None:
        self.now = 1_796_000_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fake(clock: Clock) -> Iterator[FakeDigitalOcean]:
    durations = Durations(cluster_boot_s=0, node_boot_s=0, cluster_delete_s=60)
    with FakeDigitalOcean(
        token="right", clock=clock, durations=durations, a_minute=10_000
    ) as server:
        yield server


@pytest.fixture
def account(fake: FakeDigitalOcean) -> DigitalOcean:
    return DigitalOcean("right", fake.url)


def make_run(fake: FakeDigitalOcean, title: str = TITLE) -> Any:
    """What a run with a cluster has, what Kubernetes made in it included."""
    there = fake.account
    projects.create(there, {"name": title, "purpose": "p"})
    vpc = networks.create_vpc(there, {"name": title, "region": "nyc3"})
    projects.ensure_tag(there, title)
    rule = {"protocol": "tcp", "ports": "22", "sources": {"addresses": ["10.0.0.0/8"]}}
    networks.create_firewall(there, {"name": title, "inbound_rules": [rule], "tags": [title]})
    pool = {"name": "system", "size": "s-2vcpu-4gb", "count": 1}
    cluster = clusters.create(
        there,
        {
            "name": title,
            "region": "nyc3",
            "version": "1.34.4-do.0",
            "vpc_uuid": vpc.id,
            "node_pools": [pool],
        },
    )
    forwarding = [{"entry_protocol": "tcp", "entry_port": 80}]
    networks.create_load_balancer(
        there,
        {
            "name": "a0b1c2d3",
            "region": "nyc3",
            "vpc_uuid": vpc.id,
            "forwarding_rules": forwarding,
            "tags": [f"k8s:{cluster['id']}"],
        },
    )
    volume = {"name": f"pvc-{title}", "region": "nyc3", "size_gigabytes": 1}
    droplets.create_volume(there, {**volume, "tags": [f"k8s:{cluster['id']}"]})
    return cluster


def destroy(account: DigitalOcean, run: CloudRun, clock: Clock, **more: Any) -> None:
    destroy_run(account, run, sleep=clock.sleep, clock=clock, **more)


def test_a_run_is_found_with_what_kubernetes_made_in_it(fake, account):
    make_run(fake)
    (run,) = find_runs(account)
    assert (run.name, run.title) == (NAME, TITLE)
    assert run.expires == datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
    assert run.digest == digest_of("p", "e")
    assert [thing.kind for thing in run.things] == [
        "kubernetes",
        "load_balancers",
        "droplets",
        "volumes",
        "firewalls",
        "vpcs",
        "projects",
        "tags",
    ]


def test_all_of_a_run_goes_and_nothing_else(fake, account, clock):
    make_run(fake)
    make_run(fake, "ig-20261130t0000z-00000000-other-one")
    network = networks.create_vpc(fake.account, {"name": "mine", "region": "nyc3"})
    first, second = find_runs(account)
    destroy(account, first, clock)
    assert find_runs(account) == [second]
    destroy(account, second, clock)
    assert [one.urn for one in fake.left()] == [network.urn]


def test_tags_go_last(fake, account, clock):
    make_run(fake)
    (run,) = find_runs(account)
    gone: list[str] = []
    destroy(account, run, clock, on_gone=lambda thing: gone.append(thing.kind))
    assert gone[0] == "kubernetes"
    assert gone[-1] == "tags"
    assert len(gone) == len(run.things)


def test_what_holds_a_vpc_is_told(fake, account, clock):
    make_run(fake)
    (vpc,) = (one for one in fake.account.all_of("vpc") if one.name == TITLE)
    fake.account.add("dbaas", {"name": "by-hand"}, vpc=vpc.id)
    (run,) = find_runs(account)
    with pytest.raises(CloudError, match="The VPC is held by dbaas by-hand") as caught:
        destroy(account, run, clock, deadline_s=90)
    assert f"infra-gym sweep {NAME}" in str(caught.value.next_command)


@pytest.mark.parametrize("status", [403, 500])
def test_a_kind_that_cannot_be_listed_keeps_the_others_no_longer(fake, account, clock, status):
    make_run(fake)
    (run,) = find_runs(account)
    account._client._config.retry_policy.total_retries = 0
    fake.fault("status", status, method="GET", path="firewalls")
    unseen = destroy_run(account, run, sleep=clock.sleep, clock=clock)
    assert [*unseen] == ["firewalls"]
    assert fake.left() == []


def test_what_only_another_token_may_delete_is_told_at_once(fake, account, clock):
    make_run(fake)
    (run,) = find_runs(account)
    fake.fault("status", 403, method="DELETE", path="firewalls")
    began = clock.now
    with pytest.raises(CloudRefusedError, match="not authorized"):
        destroy(account, run, clock)
    assert {one.kind for one in fake.left()} == {"firewall", "tag"}
    assert clock.now - began < 200


def test_what_outlives_its_cluster_is_still_found(fake, account, clock):
    cluster = make_run(fake)
    (run,) = find_runs(account)
    clusters.delete(fake.account, fake.account.find("kubernetes", cluster["id"]))
    clock.now += 100
    destroy(account, run, clock)
    assert fake.left() == []


def test_a_vpc_that_will_not_go_is_told(fake, account, clock):
    make_run(fake)
    (vpc,) = (one for one in fake.account.all_of("vpc") if one.name == TITLE)
    fake.account.stuck.add(vpc.urn)
    (run,) = find_runs(account)
    with pytest.raises(CloudError, match=f"still there after 90 s: vpcs/{TITLE}.*members"):
        destroy(account, run, clock, deadline_s=90)
    assert {one.kind for one in fake.left()} == {"vpc", "tag"}


def test_a_cluster_that_never_got_ready_goes_as_well(fake, account, clock):
    fake.account.durations.cluster_boot_s = math.inf
    make_run(fake)
    (run,) = find_runs(account)
    destroy(account, run, clock)
    assert fake.left() == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_storm_passes(fake, account, clock, status):
    make_run(fake)
    (run,) = find_runs(account)
    fake.fault("status", status, times=3)
    destroy(account, run, clock)
    assert fake.left() == []


def test_a_dropped_answer_is_asked_again(fake, account, clock):
    make_run(fake)
    (run,) = find_runs(account)
    fake.fault("drop", method="DELETE", times=2)
    destroy(account, run, clock)
    assert fake.left() == []


def test_an_expired_token_says_what_to_do(fake, account, clock):
    make_run(fake)
    (run,) = find_runs(account)
    fake.token = "new"
    with pytest.raises(CloudRefusedError, match="Unable to authenticate you") as caught:
        destroy(account, run, clock)
    assert "export" in str(caught.value.next_command) or "token" in str(caught.value.next_command)
    destroy(DigitalOcean("new", fake.url), run, clock)
    assert fake.left() == []


def test_prices_are_those_of_the_account(account):
    prices = account.prices()
    assert prices.sizes["s-2vcpu-4gb"] == 0.03571
    assert "read from the account on" in prices.source


def test_listings_are_read_to_their_last_page(fake, account):
    for number in range(450):
        projects.ensure_tag(fake.account, f"tag-{number}")
    assert len(account.listed("tags")) == 450


def test_credentials_become_a_kubeconfig(fake, account):
    cluster = make_run(fake)
    config = yaml.safe_load(account.kubeconfig(cluster["id"], 3600))
    assert config["users"][0]["user"] == {"token": f"token-{cluster['id']}"}
    with pytest.raises(CloudError, match="could not be found"):
        account.kubeconfig("nobody", 3600)


def test_the_token_comes_from_where_terraform_takes_it(fake):
    environ = {"DIGITALOCEAN_ACCESS_TOKEN": "right", "DIGITALOCEAN_API_URL": fake.url}
    assert DigitalOcean.from_environment(environ).identity() == f"team-{fake.account.uuid}"
    with pytest.raises(SettingsError, match="no DigitalOcean token"):
        DigitalOcean.from_environment({})


def test_a_token_goes_unencrypted_to_this_machine_alone():
    with pytest.raises(SettingsError, match="must begin with https"):
        DigitalOcean("secret", "http://api.example.com")


def test_an_api_that_is_not_there_is_told():
    account = DigitalOcean("any", "http://127.0.0.1:9")
    account._client._config.retry_policy.total_retries = 0
    with pytest.raises(CloudError, match="does not answer"):
        account.identity()
