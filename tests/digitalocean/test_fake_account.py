"""The fake DigitalOcean, driven by pydo, and held against the published OpenAPI description."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pydo
import pytest
import requests
import yaml
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError, ServiceResponseError
from azure.core.pipeline.policies import AzureKeyCredentialPolicy

from infra_gym.testing.digitalocean import Durations, FakeDigitalOcean
from tests.digitalocean.openapi import DESCRIPTION, Description

START = 1_790_000_000.0


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fake(clock: Clock) -> Iterator[FakeDigitalOcean]:
    description = Description() if DESCRIPTION.exists() else None
    durations = Durations(cluster_boot_s=60, node_boot_s=30, cluster_delete_s=120)
    with FakeDigitalOcean(
        clock=clock, durations=durations, token="right", on_exchange=description
    ) as server:
        yield server
    assert description is None or description.problems == []


def client_of(server: FakeDigitalOcean, token: str) -> pydo.Client:
    # Left alone, pydo sends no token over plain HTTP, not even to this machine.
    bearer = AzureKeyCredentialPolicy(AzureKeyCredential(token), "Authorization", prefix="Bearer")
    return pydo.Client(
        token, endpoint=server.url, authentication_policy=bearer, retry_total=0, timeout=10
    )


@pytest.fixture
def client(fake: FakeDigitalOcean) -> pydo.Client:
    return client_of(fake, "right")


def make_vpc(client: pydo.Client, name: str = "run-vpc") -> str:
    return str(client.vpcs.create({"name": name, "region": "nyc3"})["vpc"]["id"])


def cluster_body(vpc: str) -> dict[str, Any]:
    return {
        "name": "run",
        "region": "nyc3",
        "version": "1.34.4-do.0",
        "vpc_uuid": vpc,
        "node_pools": [{"name": "default", "size": "s-1vcpu-2gb", "count": 1}],
    }


def make_cluster(client: pydo.Client, *, vpc: str, **more: object) -> str:
    made = client.kubernetes.create_cluster({**cluster_body(vpc), **more})
    return str(made["kubernetes_cluster"]["id"])


def state(client: pydo.Client, cluster: str) -> str:
    found = client.kubernetes.get_cluster(cluster)["kubernetes_cluster"]
    return str(found["status"]["state"])


def refused(call: Callable[..., Any], *arguments: object) -> str:
    """The ``id`` of the error that the API answered.

    pydo raises only on statuses that an operation's description lacks; else it returns the error.
    """
    try:
        answered = call(*arguments)
    except HttpResponseError as error:
        return str(json.loads(error.response.text())["id"])
    assert set(answered) == {"id", "message", "request_id"}
    return str(answered["id"])


def test_a_cluster_from_nothing_to_nothing(fake, client, clock):
    vpc = make_vpc(client)
    cluster = make_cluster(client, vpc=vpc)
    assert state(client, cluster) == "provisioning"
    clock.now += 60
    assert state(client, cluster) == "running"
    pool = client.kubernetes.list_node_pools(cluster)["node_pools"][0]
    assert [node["status"]["state"] for node in pool["nodes"]] == ["provisioning"]
    clock.now += 30
    pool = client.kubernetes.list_node_pools(cluster)["node_pools"][0]
    assert [node["status"]["state"] for node in pool["nodes"]] == ["running"]
    assert {"k8s", f"k8s:{cluster}", "k8s:worker"} <= set(pool["tags"])

    client.kubernetes.delete_cluster(cluster)
    assert state(client, cluster) == "deleting"
    assert refused(client.vpcs.delete, vpc) == "forbidden"
    clock.now += 120
    assert refused(client.kubernetes.get_cluster, cluster) == "not_found"
    client.vpcs.delete(vpc)
    assert fake.left() == []


def test_a_pool_grows_and_shrinks_and_its_nodes_are_droplets(client, clock):
    cluster = make_cluster(client, vpc=make_vpc(client))
    body = {"name": "app", "size": "s-2vcpu-2gb", "count": 2}
    pool = client.kubernetes.add_node_pool(cluster, body)["node_pool"]
    clock.now += 90
    changed = client.kubernetes.update_node_pool(cluster, pool["id"], {"name": "app", "count": 3})
    assert [node["status"]["state"] for node in changed["node_pool"]["nodes"]] == [
        "running",
        "running",
        "provisioning",
    ]
    tagged = client.droplets.list(tag_name=f"k8s:{cluster}")["droplets"]
    assert len(tagged) == 4
    client.kubernetes.delete_node_pool(cluster, pool["id"])
    assert len(client.droplets.list(tag_name=f"k8s:{cluster}")["droplets"]) == 1


def test_load_balancers_and_volumes_survive_a_plain_delete(fake, client):
    vpc = make_vpc(client)
    cluster = make_cluster(client, vpc=vpc)
    rule = {
        "entry_protocol": "tcp",
        "entry_port": 80,
        "target_protocol": "tcp",
        "target_port": 30080,
    }
    balancer = {"name": "lb", "region": "nyc3", "forwarding_rules": [rule]}
    made = client.load_balancers.create({**balancer, "tag": f"k8s:{cluster}"})["load_balancer"]
    fake.account.find("loadbalancer", made["id"]).body["tags"].append(f"k8s:{cluster}")
    volume = {"name": "pvc-1", "region": "nyc3", "size_gigabytes": 10, "tags": [f"k8s:{cluster}"]}
    client.volumes.create(volume)
    found = client.kubernetes.list_associated_resources(cluster)
    assert [one["name"] for one in found["load_balancers"]] == ["lb"]
    assert [one["name"] for one in found["volumes"]] == ["pvc-1"]
    client.kubernetes.destroy_associated_resources_dangerous(cluster)
    assert {one.kind for one in fake.left()} <= {"kubernetes", "vpc", "droplet"}


def test_high_availability_is_the_default_only_of_later_versions(client):
    cluster = make_cluster(client, vpc=make_vpc(client))
    assert client.kubernetes.get_cluster(cluster)["kubernetes_cluster"]["ha"] is False


def test_credentials_expire_and_are_those_of_the_cluster_behind(tmp_path):
    file = tmp_path / "kubeconfig"
    file.write_text(
        yaml.safe_dump(
            {
                "current-context": "it",
                "contexts": [{"name": "it", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1:6443"}}],
                "users": [{"name": "u", "user": {"token": "secret"}}],
            }
        )
    )
    with FakeDigitalOcean(kubeconfig=file, clock=Clock()) as server:
        client = client_of(server, "any")
        cluster = make_cluster(client, vpc=make_vpc(client))
        found = client.kubernetes.get_credentials(cluster, expiry_seconds=3600)
        assert found["server"] == "https://192.0.2.1:6443"
        assert found["token"] == "secret"
        assert found["expires_at"] == "2026-09-21T15:13:20Z"
        # pydo cannot read YAML.
        path = f"{server.url}/v2/kubernetes/clusters/{cluster}/kubeconfig"
        answered = requests.get(path, headers={"Authorization": "Bearer any"}, timeout=10)
        config = yaml.safe_load(answered.text)
        assert config["users"][0]["user"] == {"token": "secret"}


def test_a_project_holds_its_resources_until_they_are_gone(client, clock):
    body = {"name": "run", "purpose": "Reinforcement learning", "environment": "Development"}
    project = client.projects.create(body)["project"]["id"]
    droplet = client.droplets.create(
        {"name": "d", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64"}
    )["droplet"]
    urn = f"do:droplet:{droplet['id']}"
    client.projects.assign_resources(project, {"resources": [urn]})
    assert refused(client.projects.delete, project) == "precondition_failed"
    client.droplets.destroy(droplet["id"])
    assert client.projects.list_resources(project)["resources"] == []
    client.projects.delete(project)
    assert [one["name"] for one in client.projects.list()["projects"]] == ["Default"]


def test_tags_lie_on_droplets_and_go_last(fake, client):
    client.tags.create({"name": "run-1"})
    client.droplets.create(
        {
            "name": "d",
            "region": "nyc3",
            "size": "s-1vcpu-1gb",
            "image": "debian-12-x64",
            "tags": ["run-1"],
        }
    )
    assert client.tags.get("run-1")["tag"]["resources"]["droplets"]["count"] == 1
    client.droplets.destroy_by_tag(tag_name="run-1")
    client.tags.delete("run-1")
    assert fake.left() == []


def test_a_firewall_takes_only_tags_that_there_are(client):
    rule = {"protocol": "tcp", "ports": "22", "sources": {"addresses": ["192.0.2.0/24"]}}
    body = {"name": "fw", "inbound_rules": [rule], "outbound_rules": [], "tags": ["nobody"]}
    assert refused(client.firewalls.create, body) == "not_found"
    client.tags.create({"name": "nobody"})
    made = client.firewalls.create(body)["firewall"]
    assert client.firewalls.get(made["id"])["firewall"]["inbound_rules"] == [rule]


DROPLET = {"name": "d", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64"}


def make_droplet(client: pydo.Client, **more: object) -> Any:
    return client.droplets.create({**DROPLET, **more})["droplet"]


def test_a_droplet_takes_time_has_addresses_and_can_be_off(client, clock):
    vpc = client.vpcs.create({"name": "v", "region": "nyc3", "ip_range": "10.9.0.0/24"})["vpc"][
        "id"
    ]
    droplet = make_droplet(client, vpc_uuid=vpc, user_data="#cloud-config\n")
    assert "user_data" not in droplet
    identity = droplet["id"]
    assert droplet["status"] == "new"
    shut = {"type": "shutdown"}
    assert refused(client.droplet_actions.post, identity, shut) == "unprocessable_entity"
    clock.now += 3
    found = client.droplets.get(identity)["droplet"]
    addresses = {one["type"]: one["ip_address"] for one in found["networks"]["v4"]}
    assert addresses["private"].startswith("10.9.0.")
    action = client.droplet_actions.post(identity, shut)["action"]
    assert client.droplet_actions.get(identity, action["id"])["action"]["status"] == "completed"
    assert client.droplets.get(identity)["droplet"]["status"] == "off"
    client.droplet_actions.post(identity, {"type": "resize", "size": "s-1vcpu-2gb"})
    client.droplet_actions.post(identity, {"type": "power_on"})
    found = client.droplets.get(identity)["droplet"]
    assert (found["status"], found["size_slug"]) == ("active", "s-1vcpu-2gb")
    assert [one["type"] for one in client.droplet_actions.list(identity)["actions"]] == [
        "shutdown",
        "resize",
        "power_on",
    ]


def test_a_droplet_stays_in_its_vpc_until_it_is_gone(fake, client, clock):
    fake.account.durations.droplet_delete_s = 5
    vpc = make_vpc(client)
    droplet = make_droplet(client, vpc_uuid=vpc)
    client.droplets.destroy(droplet["id"])
    assert refused(client.vpcs.delete, vpc) == "forbidden"
    clock.now += 6
    client.vpcs.delete(vpc)
    assert fake.left() == []


def test_tags_decide_what_a_droplet_lets_in(client):
    for name in ("run", "door"):
        client.tags.create({"name": name})
    rule = {"protocol": "tcp", "ports": "22", "sources": {"tags": ["door"]}}
    client.firewalls.create({"name": "fw", "inbound_rules": [rule], "tags": ["run"]})
    droplet = make_droplet(client)
    behind = client.droplets.list_firewalls
    assert behind(droplet["id"])["firewalls"] == []
    taken = {"resources": [{"resource_id": str(droplet["id"]), "resource_type": "droplet"}]}
    client.tags.assign_resources("run", taken)
    assert [one["name"] for one in behind(droplet["id"])["firewalls"]] == ["fw"]
    client.tags.unassign_resources("run", taken)
    assert behind(droplet["id"])["firewalls"] == []


def test_a_volume_goes_only_when_no_droplet_has_it(fake, client):
    volume = client.volumes.create({"name": "data", "region": "nyc3", "size_gigabytes": 1})[
        "volume"
    ]
    droplet = make_droplet(client)
    attach = {"type": "attach", "droplet_id": droplet["id"], "region": "nyc3"}
    client.volume_actions.post_by_id(volume["id"], attach)
    assert client.droplets.get(droplet["id"])["droplet"]["volume_ids"] == [volume["id"]]
    assert refused(client.volumes.delete, volume["id"]) == "conflict"
    client.droplets.destroy(droplet["id"])
    client.volumes.delete(volume["id"])
    assert fake.left() == []


def test_keys_are_known_before_droplets_take_them(fake, client):
    assert (
        refused(client.droplets.create, {**DROPLET, "ssh_keys": ["no"]}) == "unprocessable_entity"
    )
    body = {"name": "run", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA run"}
    key = client.ssh_keys.create(body)["ssh_key"]
    make_droplet(client, ssh_keys=[key["fingerprint"]])
    assert refused(client.ssh_keys.create, body) == "unprocessable_entity"
    assert client.ssh_keys.update(key["id"], {"name": "other"})["ssh_key"]["name"] == "other"
    client.ssh_keys.delete(key["id"])


def test_a_reserved_ip_costs_while_nobody_has_it(fake, client, clock):
    droplet = make_droplet(client)
    made = client.reserved_ips.create({"region": "nyc3"})["reserved_ip"]
    clock.now += 100 * 3600
    alone = fake.bill_usd()
    assign = {"type": "assign", "droplet_id": droplet["id"]}
    client.reserved_ips_actions.post(made["ip"], assign)
    assert client.reserved_ips.get(made["ip"])["reserved_ip"]["droplet"]["id"] == droplet["id"]
    clock.now += 100 * 3600
    # 100 hours of the droplet at 0.00893, and no more of the address at 5 / 672.
    assert fake.bill_usd() - alone == Decimal("0.89")
    client.reserved_ips.delete(made["ip"])
    assert {one.kind for one in fake.left()} == {"droplet"}


def test_a_project_is_told_what_it_asks_in_vain(client):
    project = client.projects.create({"name": "run", "purpose": "p"})["project"]["id"]
    asked = {"resources": ["do:droplet:1"]}
    told = client.projects.assign_resources(project, asked)["resources"]
    assert [one["status"] for one in told] == ["not_found"]
    assert client.projects.list_resources(project)["resources"] == []


def test_a_load_balancer_is_changed_and_goes(fake, client):
    rule = {
        "entry_protocol": "http",
        "entry_port": 80,
        "target_protocol": "http",
        "target_port": 8080,
    }
    body = {"name": "lb", "region": "nyc3", "forwarding_rules": [rule]}
    made = client.load_balancers.create({**body, "tag": "run"})["load_balancer"]
    droplet = make_droplet(client)
    changed = client.load_balancers.update(made["id"], {**body, "droplet_ids": [droplet["id"]]})
    assert changed["load_balancer"]["droplet_ids"] == [droplet["id"]]
    client.load_balancers.delete(made["id"])
    assert {one.kind for one in fake.left()} == {"droplet"}


def test_listings_come_in_pages(client):
    for number in range(5):
        client.tags.create({"name": f"tag-{number}"})
    first = client.tags.list(per_page=2, page=1)
    assert (len(first["tags"]), first["meta"]["total"]) == (2, 5)
    assert first["links"]["pages"]["last"].endswith("page=3")
    last = client.tags.list(per_page=2, page=3)
    assert [tag["name"] for tag in last["tags"]] == ["tag-4"]
    assert "next" not in last["links"]["pages"]


def test_sizes_have_prices(client):
    prices = {size["slug"]: size["price_hourly"] for size in client.sizes.list()["sizes"]}
    assert prices["s-1vcpu-2gb"] == 0.01786


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "0.1"}, "version"),
        ({"region": "mars1"}, "region"),
        ({"node_pools": []}, "node pool"),
        ({"node_pools": [{"name": "p", "size": "s-1vcpu-1gb", "count": 1}]}, "node size"),
        ({"node_pools": [{"name": "p", "size": "s-1vcpu-2gb", "count": 0}]}, "count"),
    ],
    ids=["version", "region", "no-pool", "size", "count"],
)
def test_what_cannot_be_is_422(client, change, message):
    with pytest.raises(HttpResponseError, match=message) as caught:
        client.kubernetes.create_cluster({**cluster_body(make_vpc(client)), **change})
    assert caught.value.status_code == 422


def test_names_are_used_once(client):
    vpc = make_vpc(client)
    make_cluster(client, vpc=vpc)
    assert refused(client.kubernetes.create_cluster, cluster_body(vpc)) == "unprocessable_entity"
    same = {"name": "run-vpc", "region": "nyc3"}
    assert refused(client.vpcs.create, same) == "unprocessable_entity"


def test_a_wrong_token_is_401(fake):
    assert refused(client_of(fake, "wrong").account.get) == "Unauthorized"


def test_too_many_requests_are_429_until_the_minute_is_over(clock):
    with FakeDigitalOcean(clock=clock, a_minute=3) as server:
        client = client_of(server, "any")
        for _ in range(3):
            client.account.get()
        assert refused(client.account.get) == "too_many_requests"
        clock.now += 61
        client.account.get()


def test_faults_fail_what_they_are_meant_for(fake, client):
    fake.fault("status", 503, method="POST", path="/vpcs$", times=1)
    client.vpcs.list()
    assert refused(client.vpcs.create, {"name": "v", "region": "nyc3"}) == "server_error"
    make_vpc(client)

    fake.fault("drop", method="POST", path="/tags$")
    with pytest.raises(ServiceResponseError):
        client.tags.create({"name": "made-all-the-same"})
    fake.heal()
    assert client.tags.get("made-all-the-same")["tag"]["name"] == "made-all-the-same"


def test_what_is_stuck_stays(fake, client):
    vpc = make_vpc(client)
    fake.account.stuck.add(f"do:vpc:{vpc}")
    assert refused(client.vpcs.delete, vpc) == "forbidden"
    fake.account.stuck.clear()
    client.vpcs.delete(vpc)


def test_a_cluster_may_never_get_ready(fake, client, clock):
    fake.account.durations.cluster_boot_s = math.inf
    cluster = make_cluster(client, vpc=make_vpc(client))
    clock.now += 1e6
    assert state(client, cluster) == "provisioning"
    assert fake.bill_usd() == 0


def test_the_bill_begins_when_nodes_are_ready_and_ends_when_they_are_gone(fake, client, clock):
    cluster = make_cluster(client, vpc=make_vpc(client), ha=True)
    clock.now += 60  # the control plane is ready; it costs 40 dollars in 672 hours from its making
    clock.now += 30  # the node is
    assert fake.bill_usd() == Decimal("0.01")  # the control plane's least; the node's has not begun
    clock.now += 10 * 3600
    client.kubernetes.delete_cluster(cluster)
    clock.now += 120
    # 10 hours of a node at 0.01786, and 90 s more of the control plane at 40 / 672; the last two
    # minutes are those of the deletion.
    owed = fake.bill_usd()
    assert owed == Decimal("0.78")
    clock.now += 3600
    assert fake.bill_usd() == owed


def test_a_short_life_costs_a_cent(fake, client, clock):
    droplet = client.droplets.create(
        {"name": "d", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64"}
    )["droplet"]
    clock.now += 3
    client.droplets.destroy(droplet["id"])
    assert fake.bill_usd() == Decimal("0.01")


def test_a_month_costs_672_hours(fake, client, clock):
    clock.now = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    client.droplets.create(
        {"name": "d", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64"}
    )
    clock.now += 31 * 24 * 3600
    assert fake.bill_usd() == Decimal("6.00")
    clock.now += 28 * 24 * 3600  # February has just as many
    assert fake.bill_usd() == Decimal("12.00")
