"""Droplets, and what is made for them: volumes and SSH keys."""

from __future__ import annotations

import hashlib
import ipaddress
import math
from typing import Any

from infra_gym.testing.digitalocean import actions, catalog
from infra_gym.testing.digitalocean.account import (
    Account,
    Refusal,
    Resource,
    not_found,
    unprocessable,
)

_PRIVATE = frozenset({"off", "user_data", "ssh_keys"})
"""What is kept of a droplet and never told."""
_MOST_USER_DATA = 64 * 1024


def add(
    account: Account, body: dict[str, Any], *, boot_s: float, billed_at_once: bool = False
) -> Resource:
    """Make a droplet: one of a cluster's nodes, or one that was asked for."""
    size = catalog.size(body.get("size", ""))
    region = catalog.region(body.get("region", ""))
    image = catalog.image(body.get("image"))
    made = account.add(
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
            "networks": {"v4": [], "v6": []},
            "region": region,
            "tags": list(body.get("tags") or []),
            "vpc_uuid": body.get("vpc_uuid"),
            "off": False,
            "user_data": body.get("user_data") or "",
            "ssh_keys": [str(key) for key in body.get("ssh_keys") or []],
        },
        boot_s=boot_s,
        vpc=body.get("vpc_uuid"),
        numbered=True,
        usd_per_hour=size["price_hourly"],
        billed_at_once=billed_at_once,
    )
    made.body["networks"]["v4"] = _networks(account, made)
    return made


def _networks(account: Account, droplet: Resource) -> list[dict[str, str]]:
    """An address in its VPC, and a public one."""
    ranges = {"public": ipaddress.ip_network("198.18.0.0/15")}
    if droplet.vpc is not None:
        inside = account.find("vpc", droplet.vpc).body["ip_range"]
        ranges = {"private": ipaddress.ip_network(inside), **ranges}
    return [
        {
            "type": kind,
            # The first few are the gateway's and the platform's own.
            "ip_address": str(network[4 + int(droplet.id) % (network.num_addresses - 5)]),
            "netmask": str(network.netmask),
            "gateway": str(network[1]),
        }
        for kind, network in ranges.items()
    ]


def create(account: Account, body: dict[str, Any]) -> Resource:
    """POST /v2/droplets, for one droplet."""
    if not body.get("name"):
        raise unprocessable("Name can't be blank")
    if len(body.get("user_data") or "") > _MOST_USER_DATA:
        raise unprocessable("User data is too long (maximum is 64 KiB).")
    if body.get("vpc_uuid"):
        account.find("vpc", body["vpc_uuid"])
    else:
        body = {**body, "vpc_uuid": _default_vpc(account, body.get("region", ""))}
    image = body.get("image")
    if isinstance(image, int):
        body = {**body, "image": _slug(image)}
    known = {one for key in account.all_of("key") for one in (key.id, key.body["fingerprint"])}
    for key in body.get("ssh_keys") or []:
        if str(key) not in known:
            raise unprocessable(f"{key} are invalid key identifiers for Droplet creation.")
    return add(account, body, boot_s=account.durations.droplet_boot_s, billed_at_once=True)


def told(account: Account, droplet: Resource) -> dict[str, Any]:
    """A droplet as the API tells it now."""
    status = "active" if account.is_ready(droplet) else "new"
    body = {key: value for key, value in droplet.body.items() if key not in _PRIVATE}
    return {**body, "status": "off" if droplet.body["off"] else status}


def delete(account: Account, droplet: Resource) -> None:
    """DELETE /v2/droplets/ID; its volumes stay."""
    if droplet.gone_at != math.inf:
        return
    account.remove(droplet, after_s=account.durations.droplet_delete_s)
    for volume in account.all_of("volume"):
        _detach(volume, droplet)


def action(account: Account, droplet: Resource, body: dict[str, Any]) -> dict[str, Any]:
    """POST .../actions: done at once; a droplet that is off is billed as one that is not."""
    kind = body.get("type", "")
    if not account.is_ready(droplet):
        raise unprocessable("Droplet already has a pending event.")
    if kind == "resize":
        if not droplet.body["off"]:
            raise unprocessable("Droplet must be off in order to perform this action.")
        size = catalog.size(body.get("size", ""))
        droplet.body |= {key: size[key] for key in ("memory", "vcpus", "disk")}
        droplet.body |= {"size": size, "size_slug": size["slug"]}
        account.charge(droplet, size["price_hourly"])
    elif kind in {"power_off", "power_on", "shutdown", "reboot", "power_cycle"}:
        droplet.body["off"] = kind in {"power_off", "shutdown"}
    else:
        raise unprocessable(f"{kind} is not an action that can be performed")
    return actions.record(account, kind, droplet, int(droplet.id))


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


def volume_action(account: Account, volume: Resource, body: dict[str, Any]) -> dict[str, Any]:
    """POST .../actions: attach, detach or resize."""
    kind = body.get("type", "")
    if kind == "resize":
        _resize(account, volume, int(body.get("size_gigabytes") or 0))
    elif kind in {"attach", "detach"}:
        droplet = account.find("droplet", str(body.get("droplet_id")))
        attached = volume.body["droplet_ids"]
        if kind == "attach" and attached:
            raise unprocessable("volume is already attached to a Droplet")
        if kind == "detach" and int(droplet.id) not in attached:
            raise unprocessable("volume is not attached to this Droplet")
        if kind == "attach":
            attached.append(int(droplet.id))
            droplet.body["volume_ids"].append(volume.id)
        else:
            _detach(volume, droplet)
    else:
        raise unprocessable(f"{kind} is not an action that can be performed")
    return actions.record(account, f"{kind}_volume", volume, None)


def delete_volume(account: Account, volume: Resource) -> None:
    """DELETE /v2/volumes/ID: refused while a droplet has it."""
    if volume.body["droplet_ids"]:
        raise Refusal(409, "conflict", "a volume must be detached before it can be deleted")
    account.remove(volume)


def _detach(volume: Resource, droplet: Resource) -> None:
    if int(droplet.id) in volume.body["droplet_ids"]:
        volume.body["droplet_ids"].remove(int(droplet.id))
        droplet.body["volume_ids"].remove(volume.id)


def _resize(account: Account, volume: Resource, gib: int) -> None:
    if gib < volume.body["size_gigabytes"]:
        raise unprocessable("volumes cannot be made smaller")
    volume.body["size_gigabytes"] = gib
    account.charge(volume, catalog.VOLUME_USD_PER_GIB_HOUR * gib)


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
