"""Managed clusters: they boot, have pools of nodes that boot, and take their time to go.

Every node is a droplet as well, as on DigitalOcean: it is billed as one, and carries the tags by
which a node is known.
"""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from infra_gym.testing.digitalocean import catalog, droplets
from infra_gym.testing.digitalocean.account import (
    Account,
    Resource,
    not_found,
    timestamp,
    unprocessable,
)

_DEFAULT_EXPIRY_S = 7 * 24 * 3600
_LAST_VERSION_WITHOUT_HA_BY_DEFAULT = (1, 35)
_NO_SERVER = "https://cluster.k8s.example.com"
_OPTIONAL = (
    "surge_upgrade",
    "auto_upgrade",
    "maintenance_policy",
    "cluster_subnet",
    "service_subnet",
)


def create(account: Account, body: dict[str, Any]) -> dict[str, Any]:
    """POST /v2/kubernetes/clusters."""
    name, version = body.get("name"), body.get("version")
    if not name:
        raise unprocessable("name is required")
    if version not in catalog.VERSIONS:
        raise unprocessable(f"validation error: invalid version slug {version}")
    catalog.region(body.get("region", ""))
    if not body.get("node_pools"):
        raise unprocessable("validation error: at least one node pool is required")
    for pool in body["node_pools"]:
        _check(pool)
    account.unique("kubernetes", name, f"a cluster with the name {name} already exists")
    vpc = body.get("vpc_uuid") or _default_vpc(account, body["region"])
    account.find("vpc", vpc)
    ha = body.get("ha", _ha_by_default(version))
    cluster = account.add(
        "kubernetes",
        {
            "name": name,
            "region": body["region"],
            "version": version,
            "vpc_uuid": vpc,
            "ha": ha,
            "ipv4": "203.0.113.10",
            "endpoint": _server(account.kubeconfig),
            "cluster_subnet": "10.244.0.0/16",
            "service_subnet": "10.245.0.0/16",
            "auto_upgrade": False,
            "surge_upgrade": False,
            "registry_enabled": False,
            "maintenance_policy": {"start_time": "00:00", "duration": "4h0m0s", "day": "any"},
            **{key: body[key] for key in _OPTIONAL if body.get(key) is not None},
        },
        boot_s=account.durations.cluster_boot_s,
        vpc=vpc,
        usd_per_hour=catalog.HA_USD_PER_HOUR if ha else 0.0,
        billed_at_once=True,
    )
    cluster.body["tags"] = ["k8s", f"k8s:{cluster.id}", *body.get("tags", [])]
    cluster.body["node_pools"] = []
    for pool in body["node_pools"]:
        _add_pool(account, cluster, pool)
    return told(account, cluster)


def told(account: Account, cluster: Resource) -> dict[str, Any]:
    """A cluster as the API tells it now."""
    return {
        **cluster.body,
        "updated_at": timestamp(account.clock()),
        "status": {"state": _state(account, cluster)},
        "node_pools": [_pool_told(account, pool) for pool in cluster.body["node_pools"]],
    }


def update(account: Account, cluster: Resource, body: dict[str, Any]) -> dict[str, Any]:
    """PUT /v2/kubernetes/clusters/ID."""
    for key in ("name", "maintenance_policy", "auto_upgrade", "surge_upgrade"):
        if body.get(key) is not None:
            cluster.body[key] = body[key]
    if "tags" in body:
        cluster.body["tags"] = ["k8s", f"k8s:{cluster.id}", *_own_tags(body["tags"])]
    return told(account, cluster)


def delete(account: Account, cluster: Resource, *, associated: bool = False) -> None:
    """DELETE: nodes go with the cluster; load balancers and volumes only when ``associated``."""
    if _state(account, cluster) == "deleting":
        return
    after_s = account.durations.cluster_delete_s
    account.remove(cluster, after_s=after_s)
    for pool in cluster.body["node_pools"]:
        _resize(account, cluster, pool, 0, after_s=after_s)
    if associated:
        for kind in ("loadbalancer", "volume"):
            for resource in associated_with(account, cluster, kind):
                account.remove(resource)


def associated_with(account: Account, cluster: Resource, kind: str) -> list[Resource]:
    """Load balancers or volumes that the cluster's own controllers made."""
    return [one for one in account.all_of(kind) if f"k8s:{cluster.id}" in one.body["tags"]]


def associated(account: Account, cluster: Resource) -> dict[str, Any]:
    """GET .../destroy_with_associated_resources."""
    return {
        f"{key}s": [{"id": one.id, "name": one.name} for one in found]
        for key, found in (
            ("load_balancer", associated_with(account, cluster, "loadbalancer")),
            ("volume", associated_with(account, cluster, "volume")),
            ("volume_snapshot", []),
        )
    }


def credentials(account: Account, cluster: Resource, expiry_s: int) -> dict[str, Any]:
    """GET .../credentials: those of the kubeconfig that stands behind the cluster."""
    expires = datetime.fromtimestamp(account.clock(), UTC) + timedelta(
        seconds=expiry_s or _DEFAULT_EXPIRY_S
    )
    found = {
        "server": _server(account.kubeconfig),
        "certificate_authority_data": "",
        "client_certificate_data": "",
        "client_key_data": "",
        "token": "" if account.kubeconfig else f"token-{cluster.id}",
        "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if account.kubeconfig is not None:
        backing = _backing(account.kubeconfig)
        found |= {
            "certificate_authority_data": backing["cluster"].get("certificate-authority-data", ""),
            "client_certificate_data": backing["user"].get("client-certificate-data", ""),
            "client_key_data": backing["user"].get("client-key-data", ""),
            "token": backing["user"].get("token", ""),
        }
    return found


def kubeconfig(account: Account, cluster: Resource) -> str:
    """GET .../kubeconfig: YAML."""
    name = f"do-{cluster.body['region']}-{cluster.name}"
    told_now = credentials(account, cluster, 0)
    user = {
        "client-certificate-data": told_now["client_certificate_data"],
        "client-key-data": told_now["client_key_data"],
        "token": told_now["token"],
    }
    cluster_part = {
        "server": told_now["server"],
        "certificate-authority-data": told_now["certificate_authority_data"],
    }
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {k: v for k, v in cluster_part.items() if v}}],
            "users": [{"name": f"{name}-admin", "user": {k: v for k, v in user.items() if v}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": f"{name}-admin"}}],
            "current-context": name,
        }
    )


def create_pool(account: Account, cluster: Resource, body: dict[str, Any]) -> dict[str, Any]:
    """POST .../node_pools."""
    _check(body)
    if any(pool["name"] == body["name"] for pool in cluster.body["node_pools"]):
        raise unprocessable(f"a node pool with the name {body['name']} already exists")
    return _pool_told(account, _add_pool(account, cluster, body))


def update_pool(
    account: Account, cluster: Resource, pool: dict[str, Any], body: dict[str, Any]
) -> dict[str, Any]:
    """PUT .../node_pools/ID."""
    for key in ("name", "labels", "auto_scale", "min_nodes", "max_nodes"):
        if body.get(key) is not None:
            pool[key] = body[key]
    if body.get("taints") is not None:
        pool["taints"] = _taints(body)
    if "tags" in body:
        pool["tags"] = ["k8s", f"k8s:{cluster.id}", "k8s:worker", *_own_tags(body["tags"])]
    if body.get("count") is not None:
        _resize(account, cluster, pool, int(body["count"]))
    return _pool_told(account, pool)


def delete_pool(account: Account, cluster: Resource, pool: dict[str, Any]) -> None:
    """DELETE .../node_pools/ID; a cluster keeps at least one."""
    if len(cluster.body["node_pools"]) == 1:
        raise unprocessable("the last node pool of a cluster cannot be deleted")
    _resize(account, cluster, pool, 0)
    cluster.body["node_pools"].remove(pool)


def pool_of(cluster: Resource, identity: str) -> dict[str, Any]:
    """A cluster's pool; 404 when it has no such one."""
    for pool in cluster.body["node_pools"]:
        if pool["id"] == identity:
            found: dict[str, Any] = pool
            return found
    raise not_found()


def pool_told(account: Account, pool: dict[str, Any]) -> dict[str, Any]:
    """A pool as the API tells it now."""
    return _pool_told(account, pool)


def _check(pool: dict[str, Any]) -> None:
    if not pool.get("name"):
        raise unprocessable("validation error: node pool name is required")
    if pool.get("size") not in catalog.node_sizes():
        raise unprocessable(f"validation error: invalid node size {pool.get('size')}")
    if int(pool.get("count") or 0) < 1 and not pool.get("auto_scale"):
        raise unprocessable("validation error: node pool count must be at least 1")


def _add_pool(account: Account, cluster: Resource, body: dict[str, Any]) -> dict[str, Any]:
    pool: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "name": body["name"],
        "size": body["size"],
        "count": 0,
        "tags": ["k8s", f"k8s:{cluster.id}", "k8s:worker", *_own_tags(body.get("tags", []))],
        "labels": body.get("labels") or {},
        "taints": _taints(body),
        "auto_scale": body.get("auto_scale", False),
        "min_nodes": body.get("min_nodes", 0),
        "max_nodes": body.get("max_nodes", 0),
        "nodes": [],
    }
    cluster.body["node_pools"].append(pool)
    _resize(account, cluster, pool, int(body.get("count") or body.get("min_nodes") or 1))
    return pool


def _resize(
    account: Account, cluster: Resource, pool: dict[str, Any], count: int, *, after_s: float = 0.0
) -> None:
    """Make nodes, or take the newest away."""
    now = account.clock()
    while len(pool["nodes"]) > count:
        node = pool["nodes"].pop()
        account.remove(account.find("droplet", node["droplet_id"]), after_s=after_s)
    boot_s = max(0.0, cluster.ready_at - now) + account.durations.node_boot_s
    while len(pool["nodes"]) < count:
        name = f"{pool['name']}-{uuid.uuid4().hex[:5]}"
        droplet = droplets.add(
            account,
            {
                "name": name,
                "region": cluster.body["region"],
                "size": pool["size"],
                "image": "debian-12-x64",
                "tags": list(pool["tags"]),
                "vpc_uuid": cluster.vpc,
            },
            boot_s=boot_s,
        )
        node = {"id": str(uuid.uuid4()), "name": name, "droplet_id": droplet.id}
        pool["nodes"].append({**node, "created_at": timestamp(now), "updated_at": timestamp(now)})
    pool["count"] = count


def _pool_told(account: Account, pool: dict[str, Any]) -> dict[str, Any]:
    return {**pool, "nodes": [_node_told(account, node) for node in pool["nodes"]]}


def _node_told(account: Account, node: dict[str, Any]) -> dict[str, Any]:
    """A node as the API tells it now: its last update is its becoming ready."""
    droplet = account.find("droplet", node["droplet_id"])
    if not account.is_ready(droplet):
        return {**node, "status": {"state": "provisioning"}}
    return {
        **node,
        "status": {"state": "running"},
        "updated_at": timestamp(droplet.ready_at),
    }


def _state(account: Account, cluster: Resource) -> str:
    if cluster.gone_at != float("inf"):
        return "deleting"
    return "running" if account.is_ready(cluster) else "provisioning"


def _taints(body: dict[str, Any]) -> list[dict[str, str]]:
    """DigitalOcean's own Go client writes the keys with capitals."""
    return [
        {key.lower(): value for key, value in taint.items()} for taint in body.get("taints") or []
    ]


def _own_tags(tags: list[str]) -> list[str]:
    return [tag for tag in tags if tag != "k8s" and not tag.startswith("k8s:")]


def _ha_by_default(version: str) -> bool:
    major, minor = (int(part) for part in version.split(".")[:2])
    return (major, minor) > _LAST_VERSION_WITHOUT_HA_BY_DEFAULT


def _default_vpc(account: Account, region: str) -> str:
    for vpc in account.all_of("vpc"):
        if vpc.body["default"] and vpc.body["region"] == region:
            return vpc.id
    raise unprocessable(f"there is no default VPC in {region}")


def _server(file: Path | None) -> str:
    return _NO_SERVER if file is None else str(_backing(file)["cluster"]["server"])


def _backing(file: Path) -> dict[str, Any]:
    """Cluster and user of a kubeconfig's current context, with files read into ``-data``."""
    whole = yaml.safe_load(file.read_text())
    context = _named(whole["contexts"], whole["current-context"])["context"]
    found = {
        "cluster": dict(_named(whole["clusters"], context["cluster"])["cluster"]),
        "user": dict(_named(whole["users"], context["user"])["user"]),
    }
    for part in found.values():
        for key in ("certificate-authority", "client-certificate", "client-key"):
            if key in part:
                data = (file.parent / part[key]).read_bytes()
                part[f"{key}-data"] = base64.b64encode(data).decode()
    return found


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)
