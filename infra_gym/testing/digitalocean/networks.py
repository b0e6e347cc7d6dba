"""VPCs, firewalls and load balancers."""

from __future__ import annotations

import ipaddress
from typing import Any

from infra_gym.testing.digitalocean import catalog
from infra_gym.testing.digitalocean.account import Account, Refusal, Resource, unprocessable


def create_vpc(account: Account, body: dict[str, Any], *, default: bool = False) -> Resource:
    """POST /v2/vpcs."""
    catalog.region(body.get("region", ""))
    account.unique("vpc", body["name"], "A VPC with the same name already exists in your account")
    taken = [ipaddress.ip_network(vpc.body["ip_range"]) for vpc in account.all_of("vpc")]
    if body.get("ip_range"):
        try:
            chosen: Any = ipaddress.ip_network(body["ip_range"])
        except ValueError as error:
            raise unprocessable("ip_range is not a valid CIDR block") from error
        if any(chosen.overlaps(one) for one in taken):
            raise unprocessable(
                "This range/size overlaps with another VPC network in your account."
            )
    else:
        ranges = ipaddress.ip_network("10.116.0.0/14").subnets(new_prefix=20)
        chosen = next(one for one in ranges if not any(one.overlaps(other) for other in taken))
    vpc = account.add(
        "vpc",
        {
            "name": body["name"],
            "description": body.get("description", ""),
            "region": body["region"],
            "ip_range": str(chosen),
            "default": default,
        },
    )
    vpc.body["urn"] = vpc.urn
    return vpc


def delete_vpc(account: Account, vpc: Resource) -> None:
    """DELETE /v2/vpcs/ID: refused while anything is in it."""
    if vpc.body["default"]:
        raise Refusal(403, "forbidden", "Can not delete default VPCs")
    if vpc.urn in account.stuck or account.members(vpc.id):
        raise Refusal(403, "forbidden", "Can not delete VPC with members")
    account.remove(vpc)


def create_firewall(account: Account, body: dict[str, Any]) -> Resource:
    """POST /v2/firewalls."""
    account.unique("firewall", body.get("name", ""), "duplicate name")
    return account.add("firewall", _firewall(account, body))


def update_firewall(account: Account, firewall: Resource, body: dict[str, Any]) -> None:
    """PUT /v2/firewalls/ID: all is replaced."""
    firewall.body |= _firewall(account, body)


def change_firewall(
    account: Account, firewall: Resource, body: dict[str, Any], *, add: bool
) -> None:
    """POST or DELETE .../droplets, .../tags and .../rules: parts of it come or go."""
    for key in ("inbound_rules", "outbound_rules", "droplet_ids", "tags"):
        given = [_rule(one) if "rules" in key else one for one in body.get(key) or []]
        kept = [one for one in firewall.body[key] if one not in given]
        firewall.body[key] = kept + given if add else kept
    _check_tags(account, firewall.body)


def firewalls_of(account: Account, droplet: Resource) -> list[Resource]:
    """The firewalls that a droplet is behind: what any of them lets in comes in."""
    return [
        one
        for one in account.all_of("firewall")
        if int(droplet.id) in one.body["droplet_ids"]
        or set(droplet.body["tags"]) & set(one.body["tags"])
    ]


def create_load_balancer(account: Account, body: dict[str, Any]) -> Resource:
    """POST /v2/load_balancers."""
    if not body.get("forwarding_rules"):
        raise unprocessable("forwarding_rules is required")
    units = int(body.get("size_unit") or 1)
    region = catalog.region(body.get("region", ""))
    return account.add(
        "loadbalancer",
        {
            "name": body["name"],
            "ip": "203.0.113.20",
            "size_unit": units,
            "algorithm": "round_robin",
            "forwarding_rules": body["forwarding_rules"],
            "health_check": body.get("health_check", {}),
            "sticky_sessions": body.get("sticky_sessions", {"type": "none"}),
            "region": region,
            "tag": body.get("tag", ""),
            "tags": list(body.get("tags") or []),
            "droplet_ids": body.get("droplet_ids", []),
            "vpc_uuid": body.get("vpc_uuid", ""),
            "redirect_http_to_https": False,
            "enable_proxy_protocol": False,
            "enable_backend_keepalive": False,
        },
        boot_s=account.durations.load_balancer_boot_s,
        vpc=body.get("vpc_uuid"),
        usd_per_hour=catalog.LOAD_BALANCER_USD_PER_HOUR * units,
        billed_at_once=True,
    )


def update_load_balancer(account: Account, one: Resource, body: dict[str, Any]) -> None:
    """PUT /v2/load_balancers/ID: what may be changed is replaced."""
    if not body.get("forwarding_rules"):
        raise unprocessable("forwarding_rules is required")
    for key in ("name", "forwarding_rules", "health_check", "sticky_sessions", "droplet_ids"):
        if body.get(key) is not None:
            one.body[key] = body[key]
    for droplet in one.body["droplet_ids"]:
        account.find("droplet", str(droplet))


def load_balancer_told(account: Account, one: Resource) -> dict[str, Any]:
    """A load balancer as the API tells it now."""
    told = {**one.body, "status": "active" if account.is_ready(one) else "new"}
    told.pop("tags")  # known to the fake alone: DigitalOcean has none on load balancers
    return told


def _firewall(account: Account, body: dict[str, Any]) -> dict[str, Any]:
    name = body.get("name") or ""
    if not name:
        raise unprocessable("name is required")
    if not body.get("inbound_rules") and not body.get("outbound_rules"):
        raise unprocessable("at least one rule is required")
    _check_tags(account, body)
    return {
        "name": name,
        "status": "succeeded",
        "inbound_rules": [_rule(rule) for rule in body.get("inbound_rules") or []],
        "outbound_rules": [_rule(rule) for rule in body.get("outbound_rules") or []],
        "droplet_ids": [int(number) for number in body.get("droplet_ids") or []],
        "tags": list(body.get("tags") or []),
        "pending_changes": [],
    }


def _check_tags(account: Account, firewall: dict[str, Any]) -> None:
    """Those of its targets and those in its rules have to be there."""
    sources = [rule.get("sources") or {} for rule in firewall.get("inbound_rules") or []]
    targets = [rule.get("destinations") or {} for rule in firewall.get("outbound_rules") or []]
    for named in [firewall, *sources, *targets]:
        for tag in named.get("tags") or []:
            account.find("tag", tag)


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    """DigitalOcean writes ``0`` for all ports."""
    ports = rule.get("ports") or "0"
    return {**rule, "ports": "0" if ports == "all" else ports}
