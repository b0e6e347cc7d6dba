"""What was done to droplets, volumes and addresses, as the API tells it afterwards."""

from __future__ import annotations

from typing import Any

from infra_gym.testing.digitalocean.account import Account, Resource, timestamp


def record(account: Account, kind: str, what: Resource, number: int | None) -> dict[str, Any]:
    """Note something that is done at once, and tell it.

    Args:
        account: The account.
        kind: ``power_off``, ``attach``, ``assign``, ...
        what: What it is done to.
        number: The id that the API tells for it; only droplets have numbers.
    """
    now = timestamp(account.clock())
    body = {
        "status": "completed",
        "type": kind,
        "started_at": now,
        "completed_at": now,
        "resource_id": number,
        "resource_type": what.kind,
        "region": what.body["region"],
        "region_slug": what.body["region"]["slug"],
    }
    made = account.add("action", body, numbered=True, kept=False)
    made.body.pop("created_at")
    return made.body


def of(account: Account, what: Resource) -> list[dict[str, Any]]:
    """All that was done to a droplet, oldest first."""
    return [
        one.body
        for one in account.all_of("action")
        if one.body["resource_type"] == what.kind and str(one.body["resource_id"]) == what.id
    ]
