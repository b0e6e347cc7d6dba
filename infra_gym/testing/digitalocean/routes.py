"""What the fake answers about the account, clusters, networks, projects and tags."""

from __future__ import annotations

from infra_gym.testing.digitalocean import catalog, kubernetes, networks, projects
from infra_gym.testing.digitalocean.account import Account, not_found
from infra_gym.testing.digitalocean.routing import Answer, Asked, route

# What the account may have, and the account itself.


@route("GET", "/account")
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


@route("GET", "/customers/my/balance")
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


@route("GET", "/sizes")
def _sizes(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, catalog.sizes(), "sizes")


@route("GET", "/regions")
def _regions(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, catalog.regions(), "regions")


@route("GET", "/images")
def _images(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, catalog.images(), "images")


@route("GET", "/images/<identity>")
def _image(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    for image in catalog.images():
        if identity in {image["slug"], str(image["id"])}:
            return Answer(200, {"image": image})
    raise not_found()


@route("GET", "/kubernetes/options")
def _options(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, {"options": catalog.kubernetes_options()})


# Clusters.


@route("GET", "/kubernetes/clusters")
def _clusters(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    told = [kubernetes.told(account, cluster) for cluster in account.all_of("kubernetes")]
    return Answer(200, told, "kubernetes_clusters")


@route("POST", "/kubernetes/clusters")
def _create_cluster(account: Account, asked: Asked) -> Answer:
    return Answer(201, {"kubernetes_cluster": kubernetes.create(account, asked.body)})


@route("GET", "/kubernetes/clusters/<identity>")
def _cluster(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    cluster = account.find("kubernetes", identity)
    return Answer(200, {"kubernetes_cluster": kubernetes.told(account, cluster)})


@route("PUT", "/kubernetes/clusters/<identity>")
def _update_cluster(account: Account, asked: Asked, identity: str) -> Answer:
    cluster = account.find("kubernetes", identity)
    return Answer(202, {"kubernetes_cluster": kubernetes.update(account, cluster, asked.body)})


@route("DELETE", "/kubernetes/clusters/<identity>")
def _delete_cluster(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    kubernetes.delete(account, account.find("kubernetes", identity))
    return Answer(204)


@route("GET", "/kubernetes/clusters/<identity>/credentials")
def _credentials(account: Account, asked: Asked, identity: str) -> Answer:
    cluster = account.find("kubernetes", identity)
    expiry_s = int(asked.query.get("expiry_seconds", 0))
    return Answer(200, kubernetes.credentials(account, cluster, expiry_s))


@route("GET", "/kubernetes/clusters/<identity>/kubeconfig")
def _kubeconfig(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, kubernetes.kubeconfig(account, account.find("kubernetes", identity)))


@route("GET", "/kubernetes/clusters/<identity>/destroy_with_associated_resources")
def _associated(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, kubernetes.associated(account, account.find("kubernetes", identity)))


@route("DELETE", "/kubernetes/clusters/<identity>/destroy_with_associated_resources/dangerous")
def _delete_associated(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    kubernetes.delete(account, account.find("kubernetes", identity), associated=True)
    return Answer(204)


@route("GET", "/kubernetes/clusters/<identity>/node_pools")
def _pools(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    cluster = account.find("kubernetes", identity)
    told = [kubernetes.pool_told(account, pool) for pool in cluster.body["node_pools"]]
    return Answer(200, told, "node_pools")


@route("POST", "/kubernetes/clusters/<identity>/node_pools")
def _create_pool(account: Account, asked: Asked, identity: str) -> Answer:
    cluster = account.find("kubernetes", identity)
    return Answer(201, {"node_pool": kubernetes.create_pool(account, cluster, asked.body)})


@route("GET", "/kubernetes/clusters/<identity>/node_pools/<pool_id>")
def _pool(account: Account, asked: Asked, identity: str, pool_id: str) -> Answer:  # noqa: ARG001
    pool = kubernetes.pool_of(account.find("kubernetes", identity), pool_id)
    return Answer(200, {"node_pool": kubernetes.pool_told(account, pool)})


@route("PUT", "/kubernetes/clusters/<identity>/node_pools/<pool_id>")
def _update_pool(account: Account, asked: Asked, identity: str, pool_id: str) -> Answer:
    cluster = account.find("kubernetes", identity)
    pool = kubernetes.pool_of(cluster, pool_id)
    return Answer(202, {"node_pool": kubernetes.update_pool(account, cluster, pool, asked.body)})


@route("DELETE", "/kubernetes/clusters/<identity>/node_pools/<pool_id>")
def _delete_pool(account: Account, asked: Asked, identity: str, pool_id: str) -> Answer:  # noqa: ARG001
    cluster = account.find("kubernetes", identity)
    kubernetes.delete_pool(account, cluster, kubernetes.pool_of(cluster, pool_id))
    return Answer(204)


# VPCs, firewalls, load balancers.


@route("GET", "/vpcs")
def _vpcs(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, [vpc.body for vpc in account.all_of("vpc")], "vpcs")


@route("POST", "/vpcs")
def _create_vpc(account: Account, asked: Asked) -> Answer:
    return Answer(201, {"vpc": networks.create_vpc(account, asked.body).body})


@route("GET", "/vpcs/<identity>")
def _vpc(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, {"vpc": account.find("vpc", identity).body})


@route("PUT", "/vpcs/<identity>")
@route("PATCH", "/vpcs/<identity>")
def _update_vpc(account: Account, asked: Asked, identity: str) -> Answer:
    vpc = account.find("vpc", identity)
    vpc.body |= {key: asked.body[key] for key in ("name", "description") if key in asked.body}
    return Answer(200, {"vpc": vpc.body})


@route("DELETE", "/vpcs/<identity>")
def _delete_vpc(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    networks.delete_vpc(account, account.find("vpc", identity))
    return Answer(204)


@route("GET", "/vpcs/<identity>/members")
def _members(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    vpc = account.find("vpc", identity)
    told = [
        {"urn": one.urn, "name": one.name, "created_at": one.body["created_at"]}
        for one in account.members(vpc.id)
    ]
    return Answer(200, told, "members")


@route("GET", "/firewalls")
def _firewalls(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, [firewall.body for firewall in account.all_of("firewall")], "firewalls")


@route("POST", "/firewalls")
def _create_firewall(account: Account, asked: Asked) -> Answer:
    return Answer(202, {"firewall": networks.create_firewall(account, asked.body).body})


@route("GET", "/firewalls/<identity>")
def _firewall(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, {"firewall": account.find("firewall", identity).body})


@route("PUT", "/firewalls/<identity>")
def _update_firewall(account: Account, asked: Asked, identity: str) -> Answer:
    firewall = account.find("firewall", identity)
    networks.update_firewall(account, firewall, asked.body)
    return Answer(200, {"firewall": firewall.body})


@route("DELETE", "/firewalls/<identity>")
def _delete_firewall(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    account.remove(account.find("firewall", identity))
    return Answer(204)


@route("POST", "/firewalls/<identity>/droplets")
@route("POST", "/firewalls/<identity>/tags")
@route("POST", "/firewalls/<identity>/rules")
def _add_to_firewall(account: Account, asked: Asked, identity: str) -> Answer:
    firewall = account.find("firewall", identity)
    networks.change_firewall(account, firewall, asked.body, add=True)
    return Answer(204)


@route("DELETE", "/firewalls/<identity>/droplets")
@route("DELETE", "/firewalls/<identity>/tags")
@route("DELETE", "/firewalls/<identity>/rules")
def _take_from_firewall(account: Account, asked: Asked, identity: str) -> Answer:
    firewall = account.find("firewall", identity)
    networks.change_firewall(account, firewall, asked.body, add=False)
    return Answer(204)


@route("GET", "/load_balancers")
def _load_balancers(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    told = [networks.load_balancer_told(account, one) for one in account.all_of("loadbalancer")]
    return Answer(200, told, "load_balancers")


@route("POST", "/load_balancers")
def _create_load_balancer(account: Account, asked: Asked) -> Answer:
    made = networks.create_load_balancer(account, asked.body)
    return Answer(202, {"load_balancer": networks.load_balancer_told(account, made)})


@route("GET", "/load_balancers/<identity>")
def _load_balancer(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    one = account.find("loadbalancer", identity)
    return Answer(200, {"load_balancer": networks.load_balancer_told(account, one)})


@route("PUT", "/load_balancers/<identity>")
def _update_load_balancer(account: Account, asked: Asked, identity: str) -> Answer:
    one = account.find("loadbalancer", identity)
    networks.update_load_balancer(account, one, asked.body)
    return Answer(200, {"load_balancer": networks.load_balancer_told(account, one)})


@route("DELETE", "/load_balancers/<identity>")
def _delete_load_balancer(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    account.remove(account.find("loadbalancer", identity))
    return Answer(204)


# Projects and tags.


@route("GET", "/projects")
def _projects(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, [projects.told(one) for one in account.all_of("project")], "projects")


@route("POST", "/projects")
def _create_project(account: Account, asked: Asked) -> Answer:
    return Answer(201, {"project": projects.told(projects.create(account, asked.body))})


@route("GET", "/projects/<identity>")
def _project(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, {"project": projects.told(projects.find(account, identity))})


@route("PUT", "/projects/<identity>")
@route("PATCH", "/projects/<identity>")
def _update_project(account: Account, asked: Asked, identity: str) -> Answer:
    project = projects.find(account, identity)
    projects.update(account, project, asked.body)
    return Answer(200, {"project": projects.told(project)})


@route("DELETE", "/projects/<identity>")
def _delete_project(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    projects.delete(account, projects.find(account, identity))
    return Answer(204)


@route("GET", "/projects/<identity>/resources")
def _resources(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    found = projects.resources(account, projects.find(account, identity))
    return Answer(200, found, "resources")


@route("POST", "/projects/<identity>/resources")
def _assign(account: Account, asked: Asked, identity: str) -> Answer:
    project = projects.find(account, identity)
    return Answer(200, {"resources": projects.assign(account, project, asked.body["resources"])})


@route("GET", "/tags")
def _tags(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, [projects.tag_told(account, tag) for tag in account.all_of("tag")], "tags")


@route("POST", "/tags")
def _create_tag(account: Account, asked: Asked) -> Answer:
    tag = projects.ensure_tag(account, asked.body.get("name", ""))
    return Answer(201, {"tag": projects.tag_told(account, tag)})


@route("GET", "/tags/<identity>")
def _tag(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, {"tag": projects.tag_told(account, account.find("tag", identity))})


@route("POST", "/tags/<identity>/resources")
def _add_tag(account: Account, asked: Asked, identity: str) -> Answer:
    tag = account.find("tag", identity)
    for one in projects.tagged(account, asked.body["resources"]):
        one.body["tags"] = sorted({*one.body["tags"], tag.id})
    return Answer(204)


@route("DELETE", "/tags/<identity>/resources")
def _take_tag(account: Account, asked: Asked, identity: str) -> Answer:
    tag = account.find("tag", identity)
    for one in projects.tagged(account, asked.body["resources"]):
        one.body["tags"] = [each for each in one.body["tags"] if each != tag.id]
    return Answer(204)


@route("DELETE", "/tags/<identity>")
def _delete_tag(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    projects.delete_tag(account, account.find("tag", identity))
    return Answer(204)
