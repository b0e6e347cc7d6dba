"""Reserved IPs: addresses that stay when droplets go, and that cost while nobody has them."""

from __future__ import annotations

import itertools
from typing import Any

from infra_gym.testing.digitalocean import actions, catalog, droplets
from infra_gym.testing.digitalocean.account import Account, Resource, unprocessable

KIND = "reservedip"


def create(account: Account, body: dict[str, Any]) -> Resource:
    """POST /v2/reserved_ips: for a droplet, or for a region."""
    if body.get("droplet_id"):
        droplet = account.find("droplet", str(body["droplet_id"]))
        region = droplet.body["region"]
    else:
        droplet, region = None, catalog.region(body.get("region", ""))
    taken = {one.id for one in account.all_of(KIND)}
    address = next(one for one in _addresses() if one not in taken)
    made = account.add(
        KIND,
        {"id": address, "ip": address, "name": address, "region": region, "droplet_id": None},
        usd_per_hour=catalog.RESERVED_IP_USD_PER_HOUR,
    )
    if droplet is not None:
        _assign(account, made, droplet)
    return made


def told(account: Account, one: Resource) -> dict[str, Any]:
    """A reserved IP as the API tells it now."""
    droplet = _droplet(account, one)
    return {
        "ip": one.id,
        "region": one.body["region"],
        "droplet": None if droplet is None else droplets.told(account, droplet),
        "locked": False,
    }


def action(account: Account, one: Resource, body: dict[str, Any]) -> dict[str, Any]:
    """POST .../actions: assign or unassign."""
    kind = body.get("type", "")
    if kind == "assign":
        _assign(account, one, account.find("droplet", str(body.get("droplet_id"))))
    elif kind == "unassign" and _droplet(account, one) is not None:
        one.body["droplet_id"] = None
        account.charge(one, catalog.RESERVED_IP_USD_PER_HOUR)
    else:
        raise unprocessable(f"{kind} is not an action that can be performed")
    return actions.record(account, f"{kind}_ip", one, None)


def _assign(account: Account, one: Resource, droplet: Resource) -> None:
    if any(other.body["droplet_id"] == droplet.id for other in account.all_of(KIND)):
        raise unprocessable("The Droplet already has a reserved IP.")
    one.body["droplet_id"] = droplet.id
    account.charge(one, 0.0)


def _droplet(account: Account, one: Resource) -> Resource | None:
    for droplet in account.all_of("droplet"):
        if droplet.id == one.body["droplet_id"]:
            return droplet
    return None


def _addresses() -> Any:
    return (f"203.0.113.{number}" for number in itertools.count(30))
