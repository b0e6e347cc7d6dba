"""Every request that the fake answers, as a table of routes.

A handler takes the account, what the path names, and the :class:`Asked`; it returns an
:class:`Answer`. Anything that is not in the table is 404, as on DigitalOcean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.routing import Map, Rule

from infra_gym.testing.digitalocean import catalog, droplets, kubernetes, networks, projects
from infra_gym.testing.digitalocean.account import Account, not_found, unprocessable


@dataclass(frozen=True)
class Asked:
    """A request's query and body."""

    query: Mapping[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """Status and body; ``listed`` names the key of a body that is told page by page."""

    status: int
    body: Any = None
    listed: str | None = None


Handler = Callable[..., Answer]
_ROUTES: dict[str, Handler] = {}
_RULES: list[Rule] = []


def _route(method: str, path: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        endpoint = f"{method} {path}"
        _ROUTES[endpoint] = handler
        _RULES.append(Rule(f"/v2{path}", methods=[method], endpoint=endpoint))
        return handler

    return register


def handler(endpoint: str) -> Handler:
    """The handler of an endpoint that :func:`table` matched."""
    return _ROUTES[endpoint]


def table() -> Map:
    """The table of routes."""
    return Map([rule.empty() for rule in _RULES], strict_slashes=False)


# What the account may have, and the account itself.


@_route("GET", "/account")
def _account(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(
        200,
        {
            "account": {
                "droplet_limit": 25,
                "floating_ip_limit": 5,
                "email": "user@example.com",
                "email_verified": True,
                "uuid": account.uuid,
                "team": {"uuid": f"team-{account.uuid}", "name": "My Team"},
                "status": "active",
                "status_message": "",
                "name": "A User",
            }
        },
    )


@_route("GET", "/customers/my/balance")
def _balance(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    owed = str(account.bill.usd(account.clock()))
    return Answer(
        200,
        {
            "month_to_date_balance": owed,
            "account_balance": "0.00",
            "month_to_date_usage": owed,
            "generated_at": "2026-01-01T00:00:00Z",
        },
    )


@_route("GET", "/sizes")
def _sizes(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, catalog.sizes(), "sizes")


@_route("GET", "/regions")
def _regions(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, catalog.regions(), "regions")


@_route("GET", "/images")
def _images(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, catalog.images(), "images")


@_route("GET", "/images/<identity>")
def _image(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    for image in catalog.images():
        if identity in {image["slug"], str(image["id"])}:
            return Answer(200, {"image": image})
    raise not_found()


@_route("GET", "/kubernetes/options")
def _options(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, {"options": catalog.kubernetes_options()})


# Clusters.


@_route("GET", "/kubernetes/clusters")
def _clusters(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    told = [kubernetes.told(account, cluster) for cluster in account.all_of("kubernetes")]
    return Answer(200, told, "kubernetes_clusters")


@_route("POST", "/kubernetes/clusters")
def _create_cluster(account: Account, asked: Asked) -> Answer:
    return Answer(201, {"kubernetes_cluster": kubernetes.create(account, asked.body)})


@_route("GET", "/kubernetes/clusters/<identity>")
def _cluster(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    cluster = account.find("kubernetes", identity)
    return Answer(200, {"kubernetes_cluster": kubernetes.told(account, cluster)})


@_route("PUT", "/kubernetes/clusters/<identity>")
def _update_cluster(account: Account, asked: Asked, identity: str) -> Answer:
    cluster = account.find("kubernetes", identity)
    return Answer(202, {"kubernetes_cluster": kubernetes.update(account, cluster, asked.body)})


@_route("DELETE", "/kubernetes/clusters/<identity>")
def _delete_cluster(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    kubernetes.delete(account, account.find("kubernetes", identity))
    return Answer(204)


@_route("GET", "/kubernetes/clusters/<identity>/credentials")
def _credentials(account: Account, asked: Asked, identity: str) -> Answer:
    cluster = account.find("kubernetes", identity)
    expiry_s = int(asked.query.get("expiry_seconds", 0))
    return Answer(200, kubernetes.credentials(account, cluster, expiry_s))


@_route("GET", "/kubernetes/clusters/<identity>/kubeconfig")
def _kubeconfig(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, kubernetes.kubeconfig(account, account.find("kubernetes", identity)))


@_route("GET", "/kubernetes/clusters/<identity>/destroy_with_associated_resources")
def _associated(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, kubernetes.associated(account, account.find("kubernetes", identity)))


@_route("DELETE", "/kubernetes/clusters/<identity>/destroy_with_associated_resources/dangerous")
def _delete_associated(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    kubernetes.delete(account, account.find("kubernetes", identity), associated=True)
    return Answer(204)


@_route("GET", "/kubernetes/clusters/<identity>/node_pools")
def _pools(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    cluster = account.find("kubernetes", identity)
    told = [kubernetes.pool_told(account, pool) for pool in cluster.body["node_pools"]]
    return Answer(200, told, "node_pools")


@_route("POST", "/kubernetes/clusters/<identity>/node_pools")
def _create_pool(account: Account, asked: Asked, identity: str) -> Answer:
    cluster = account.find("kubernetes", identity)
    return Answer(201, {"node_pool": kubernetes.create_pool(account, cluster, asked.body)})


@_route("GET", "/kubernetes/clusters/<identity>/node_pools/<pool_id>")
def _pool(account: Account, asked: Asked, identity: str, pool_id: str) -> Answer:  # noqa: ARG001
    pool = kubernetes.pool_of(account.find("kubernetes", identity), pool_id)
    return Answer(200, {"node_pool": kubernetes.pool_told(account, pool)})


@_route("PUT", "/kubernetes/clusters/<identity>/node_pools/<pool_id>")
def _update_pool(account: Account, asked: Asked, identity: str, pool_id: str) -> Answer:
    cluster = account.find("kubernetes", identity)
    pool = kubernetes.pool_of(cluster, pool_id)
    return Answer(202, {"node_pool": kubernetes.update_pool(account, cluster, pool, asked.body)})


@_route("DELETE", "/kubernetes/clusters/<identity>/node_pools/<pool_id>")
def _delete_pool(account: Account, asked: Asked, identity: str, pool_id: str) -> Answer:  # noqa: ARG001
    cluster = account.find("kubernetes", identity)
    kubernetes.delete_pool(account, cluster, kubernetes.pool_of(cluster, pool_id))
    return Answer(204)


# Droplets, volumes, SSH keys.


@_route("GET", "/droplets")
def _droplets(account: Account, asked: Asked) -> Answer:
    tag, name = asked.query.get("tag_name"), asked.query.get("name")
    told = [
        droplets.told(account, droplet)
        for droplet in account.all_of("droplet")
        if (tag is None or tag in droplet.body["tags"]) and (name is None or name == droplet.name)
    ]
    return Answer(200, told, "droplets")


@_route("POST", "/droplets")
def _create_droplet(account: Account, asked: Asked) -> Answer:
    for tag in asked.body.get("tags") or []:
        projects.ensure_tag(account, tag)
    droplet = droplets.create(account, asked.body)
    links = {"actions": [{"id": int(droplet.id), "rel": "create", "href": "https://example.com"}]}
    return Answer(202, {"droplet": droplets.told(account, droplet), "links": links})


@_route("DELETE", "/droplets")
def _delete_tagged(account: Account, asked: Asked) -> Answer:
    tag = asked.query.get("tag_name")
    if not tag:
        raise unprocessable("tag_name is required")
    for droplet in account.all_of("droplet"):
        if tag in droplet.body["tags"]:
            account.remove(droplet)
    return Answer(204)


@_route("GET", "/droplets/<identity>")
def _droplet(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, {"droplet": droplets.told(account, account.find("droplet", identity))})


@_route("DELETE", "/droplets/<identity>")
def _delete_droplet(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    account.remove(account.find("droplet", identity))
    return Answer(204)


@_route("POST", "/droplets/<identity>/actions")
def _droplet_action(account: Account, asked: Asked, identity: str) -> Answer:
    droplet = account.find("droplet", identity)
    return Answer(201, {"action": droplets.action(account, droplet, asked.body.get("type", ""))})


@_route("GET", "/volumes")
def _volumes(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, [volume.body for volume in account.all_of("volume")], "volumes")


@_route("POST", "/volumes")
def _create_volume(account: Account, asked: Asked) -> Answer:
    return Answer(201, {"volume": droplets.create_volume(account, asked.body).body})


@_route("GET", "/volumes/<identity>")
def _volume(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, {"volume": account.find("volume", identity).body})


@_route("DELETE", "/volumes/<identity>")
def _delete_volume(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    account.remove(account.find("volume", identity))
    return Answer(204)


@_route("GET", "/account/keys")
def _keys(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, [_key_told(key.body) for key in account.all_of("key")], "ssh_keys")


@_route("POST", "/account/keys")
def _create_key(account: Account, asked: Asked) -> Answer:
    return Answer(201, {"ssh_key": _key_told(droplets.create_key(account, asked.body).body)})


@_route("GET", "/account/keys/<identity>")
def _key(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, {"ssh_key": _key_told(droplets.find_key(account, identity).body)})


@_route("DELETE", "/account/keys/<identity>")
def _delete_key(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    account.remove(droplets.find_key(account, identity))
    return Answer(204)


def _key_told(body: dict[str, Any]) -> dict[str, Any]:
    return {key: body[key] for key in ("id", "name", "public_key", "fingerprint")}


# VPCs, firewalls, load balancers.


@_route("GET", "/vpcs")
def _vpcs(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, [vpc.body for vpc in account.all_of("vpc")], "vpcs")


@_route("POST", "/vpcs")
def _create_vpc(account: Account, asked: Asked) -> Answer:
    return Answer(201, {"vpc": networks.create_vpc(account, asked.body).body})


@_route("GET", "/vpcs/<identity>")
def _vpc(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, {"vpc": account.find("vpc", identity).body})


@_route("PUT", "/vpcs/<identity>")
@_route("PATCH", "/vpcs/<identity>")
def _update_vpc(account: Account, asked: Asked, identity: str) -> Answer:
    vpc = account.find("vpc", identity)
    vpc.body |= {key: asked.body[key] for key in ("name", "description") if key in asked.body}
    return Answer(200, {"vpc": vpc.body})


@_route("DELETE", "/vpcs/<identity>")
def _delete_vpc(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    networks.delete_vpc(account, account.find("vpc", identity))
    return Answer(204)


@_route("GET", "/vpcs/<identity>/members")
def _members(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    vpc = account.find("vpc", identity)
    told = [
        {"urn": one.urn, "name": one.name, "created_at": one.body["created_at"]}
        for one in account.members(vpc.id)
    ]
    return Answer(200, told, "members")


@_route("GET", "/firewalls")
def _firewalls(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, [firewall.body for firewall in account.all_of("firewall")], "firewalls")


@_route("POST", "/firewalls")
def _create_firewall(account: Account, asked: Asked) -> Answer:
    return Answer(202, {"firewall": networks.create_firewall(account, asked.body).body})


@_route("GET", "/firewalls/<identity>")
def _firewall(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, {"firewall": account.find("firewall", identity).body})


@_route("PUT", "/firewalls/<identity>")
def _update_firewall(account: Account, asked: Asked, identity: str) -> Answer:
    firewall = account.find("firewall", identity)
    networks.update_firewall(account, firewall, asked.body)
    return Answer(200, {"firewall": firewall.body})


@_route("DELETE", "/firewalls/<identity>")
def _delete_firewall(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    account.remove(account.find("firewall", identity))
    return Answer(204)


@_route("GET", "/load_balancers")
def _load_balancers(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    told = [networks.load_balancer_told(account, one) for one in account.all_of("loadbalancer")]
    return Answer(200, told, "load_balancers")


@_route("POST", "/load_balancers")
def _create_load_balancer(account: Account, asked: Asked) -> Answer:
    made = networks.create_load_balancer(account, asked.body)
    return Answer(202, {"load_balancer": networks.load_balancer_told(account, made)})


@_route("GET", "/load_balancers/<identity>")
def _load_balancer(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    one = account.find("loadbalancer", identity)
    return Answer(200, {"load_balancer": networks.load_balancer_told(account, one)})


@_route("DELETE", "/load_balancers/<identity>")
def _delete_load_balancer(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    account.remove(account.find("loadbalancer", identity))
    return Answer(204)


# Projects and tags.


@_route("GET", "/projects")
def _projects(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, [projects.told(one) for one in account.all_of("project")], "projects")


@_route("POST", "/projects")
def _create_project(account: Account, asked: Asked) -> Answer:
    return Answer(201, {"project": projects.told(projects.create(account, asked.body))})


@_route("GET", "/projects/<identity>")
def _project(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, {"project": projects.told(projects.find(account, identity))})


@_route("PUT", "/projects/<identity>")
@_route("PATCH", "/projects/<identity>")
def _update_project(account: Account, asked: Asked, identity: str) -> Answer:
    project = projects.find(account, identity)
    projects.update(account, project, asked.body)
    return Answer(200, {"project": projects.told(project)})


@_route("DELETE", "/projects/<identity>")
def _delete_project(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    projects.delete(account, projects.find(account, identity))
    return Answer(204)


@_route("GET", "/projects/<identity>/resources")
def _resources(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    found = projects.resources(account, projects.find(account, identity))
    return Answer(200, found, "resources")


@_route("POST", "/projects/<identity>/resources")
def _assign(account: Account, asked: Asked, identity: str) -> Answer:
    project = projects.find(account, identity)
    return Answer(200, {"resources": projects.assign(account, project, asked.body["resources"])})


@_route("GET", "/tags")
def _tags(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, [projects.tag_told(account, tag) for tag in account.all_of("tag")], "tags")


@_route("POST", "/tags")
def _create_tag(account: Account, asked: Asked) -> Answer:
    tag = projects.ensure_tag(account, asked.body.get("name", ""))
    return Answer(201, {"tag": projects.tag_told(account, tag)})


@_route("GET", "/tags/<identity>")
def _tag(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, {"tag": projects.tag_told(account, account.find("tag", identity))})


@_route("DELETE", "/tags/<identity>")
def _delete_tag(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    projects.delete_tag(account, account.find("tag", identity))
    return Answer(204)
