"""Droplets, volumes and SSH keys."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

from infra_gym.testing.digitalocean import catalog
from infra_gym.testing.digitalocean.account import (
    Account,
    Resource,
    not_found,
    timestamp,
    unprocessable,
)

_addresses: Iterator[int] = itertools.count(2)


def add(
    account: Account, body: dict[str, Any], *, boot_s: float, billed_at_once: bool = False
) -> Resource:
    """Make a droplet: one of a cluster's nodes, or one that was asked for."""
    size = catalog.size(body.get("size", ""))
    region = catalog.region(body.get("region", ""))
    image = catalog.image(body.get("image"))
    number = next(_addresses)
    address = f"{number // 250 % 250}.{number % 250 + 2}"
    networks = [
        {"type": "private", "ip_address": f"10.116.{address}", "netmask": "255.255.240.0"},
        {"type": "public", "ip_address": f"198.18.{address}", "netmask": "255.255.240.0"},
    ]
    for network in networks:
        network["gateway"] = network["ip_address"].rsplit(".", 1)[0] + ".1"
    return account.add(
        "droplet",
        {
            "name": body["name"],
            "memory": size["memory"],
            "vcpus": size["vcpus"],
            "disk": size["disk"],
            "locked": False,
            "kernel": None,
            "features": ["private_networking"],
            "backup_ids": [],
            "snapshot_ids": [],
            "next_backup_window": None,
            "image": image,
            "volume_ids": list(body.get("volumes") or []),
            "size": size,
            "size_slug": size["slug"],
            "networks": {"v4": networks, "v6": []},
            "region": region,
            "tags": list(body.get("tags") or []),
            "vpc_uuid": body.get("vpc_uuid"),
        },
        boot_s=boot_s,
        vpc=body.get("vpc_uuid"),
        numbered=True,
        usd_per_hour=size["price_hourly"],
        billed_at_once=billed_at_once,
    )


def create(account: Account, body: dict[str, Any]) -> Resource:
    """POST /v2/droplets, for one droplet."""
    if not body.get("name"):
        raise unprocessable("Name can't be blank")
    if body.get("vpc_uuid"):
        account.find("vpc", body["vpc_uuid"])
    else:
        body = {**body, "vpc_uuid": _default_vpc(account, body.get("region", ""))}
    image = body.get("image")
    if isinstance(image, int):
        body = {**body, "image": _slug(image)}
    for key in body.get("ssh_keys") or []:
        find_key(account, str(key))
    return add(account, body, boot_s=account.durations.droplet_boot_s, billed_at_once=True)


def told(account: Account, droplet: Resource) -> dict[str, Any]:
    """A droplet as the API tells it now."""
    return {**droplet.body, "status": "active" if account.is_ready(droplet) else "new"}


def action(account: Account, droplet: Resource, kind: str) -> dict[str, Any]:
    """POST .../actions: done at once."""
    if kind not in {"power_off", "power_on", "shutdown", "reboot"}:
        raise unprocessable(f"{kind} is not an action that can be performed")
    now = timestamp(account.clock())
    return {
        "id": int(droplet.id),
        "status": "completed",
        "type": kind,
        "started_at": now,
        "completed_at": now,
        "resource_id": int(droplet.id),
        "resource_type": "droplet",
        "region": droplet.body["region"],
        "region_slug": droplet.body["region"]["slug"],
    }


def create_volume(account: Account, body: dict[str, Any]) -> Resource:
    """POST /v2/volumes."""
    gib = int(body.get("size_gigabytes") or 0)
    if gib < 1:
        raise unprocessable("invalid size")
    account.unique("volume", body["name"], "a volume with this name already exists")
    return account.add(
        "volume",
        {
            "name": body["name"],
            "description": body.get("description", ""),
            "size_gigabytes": gib,
            "droplet_ids": [],
            "region": catalog.region(body.get("region", "")),
            "filesystem_type": body.get("filesystem_type", ""),
            "filesystem_label": body.get("filesystem_label", ""),
            "tags": list(body.get("tags") or []),
        },
        usd_per_hour=catalog.VOLUME_USD_PER_GIB_HOUR * gib,
    )


def create_key(account: Account, body: dict[str, Any]) -> Resource:
    """POST /v2/account/keys."""
    public_key = body.get("public_key", "")
    if not public_key.startswith(("ssh-", "ecdsa-")):
        raise unprocessable("Key invalid, key should be of the format `type key [comment]`")
    digest = hashlib.sha256(public_key.encode()).hexdigest()[:32]
    fingerprint = ":".join(digest[i : i + 2] for i in range(0, 32, 2))
    if any(key.body["fingerprint"] == fingerprint for key in account.all_of("key")):
        raise unprocessable("SSH Key is already in use on your account")
    return account.add(
        "key",
        {"name": body["name"], "public_key": public_key, "fingerprint": fingerprint},
        numbered=True,
    )


def find_key(account: Account, identity: str) -> Resource:
    """An SSH key by its number or its fingerprint."""
    for key in account.all_of("key"):
        if identity in {key.id, key.body["fingerprint"]}:
            return key
    raise not_found()


def _slug(number: int) -> str:
    for image in catalog.images():
        if image["id"] == number:
            return str(image["slug"])
    raise unprocessable("You specified an invalid image for Droplet creation.")


def _default_vpc(account: Account, region: str) -> str | None:
    for vpc in account.all_of("vpc"):
        if vpc.body["default"] and vpc.body["region"] == region:
            return vpc.id
    return None
