"""What of a run stands in a DigitalOcean account now and is billed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, Protocol

from infra_gym.cost import PriceTable, Standing

_NOT_IN_SERVICE = "provisioning"


class Lister(Protocol):
    """The part of an account that is needed here."""

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """See :meth:`infra_gym.clouds.digitalocean.DigitalOcean.listed`."""


class AccountView:
    """Looks at one run in one account.

    What Kubernetes made has names of its own; it is known by its cluster and VPC, also after those
    are gone.

    Args:
        account: The account.
        prices: In US dollars.
    """

    def __init__(self, account: Lister, prices: PriceTable) -> None:
        self._account = account
        self._prices = prices
        self._clusters: set[str] = set()
        self._vpcs: set[str] = set()

    def look(self, names: Collection[str]) -> list[Standing]:
        """All of the run that stands and is, or will be, billed.

        Args:
            names: What the names of its things begin with.

        Raises:
            CloudError: The account does not answer, or refuses.
        """
        beginnings = tuple(names)
        clusters = [
            one for one in self._account.listed("kubernetes") if one["name"].startswith(beginnings)
        ]
        vpcs = [one for one in self._account.listed("vpcs") if one["name"].startswith(beginnings)]
        self._clusters |= {f"k8s:{one['id']}" for one in clusters}
        self._vpcs |= {str(one["id"]) for one in vpcs}
        return [
            *self._control_planes(clusters),
            *self._droplets(beginnings, clusters),
            *self._load_balancers(beginnings),
            *self._volumes(beginnings),
        ]

    def _control_planes(self, clusters: list[dict[str, Any]]) -> Iterator[Standing]:
        for one in clusters:
            if one.get("ha"):
                yield Standing(
                    key=f"ha:{one['id']}",
                    what=f"highly available control plane {one['name']}",
                    usd_per_hour=self._prices.ha_usd_per_hour,
                    since_s=_seconds(one["created_at"]),
                )

    def _droplets(
        self, beginnings: tuple[str, ...], clusters: list[dict[str, Any]]
    ) -> Iterator[Standing]:
        """Droplets, and nodes, which are droplets too and cost from when they are in service."""
        nodes = {
            str(node.get("droplet_id")): node
            for cluster in clusters
            for pool in cluster["node_pools"]
            for node in pool["nodes"]
        }
        for one in self._account.listed("droplets"):
            node = nodes.get(str(one["id"]))
            if node is None and not self._is_ours(one, beginnings):
                continue
            yield Standing(
                key=f"droplet:{one['id']}",
                what=f"{'node' if self._tags(one) else 'droplet'} {one['size_slug']} {one['name']}",
                usd_per_hour=self._price(one),
                since_s=_seconds(one["created_at"]) if node is None else _in_service(node),
            )

    def _price(self, droplet: dict[str, Any]) -> float:
        """As the account tells it of this very droplet: sizes of old are in no list any more."""
        told = (droplet.get("size") or {}).get("price_hourly")
        return self._prices.size_usd_per_hour(droplet["size_slug"]) if told is None else float(told)

    def _load_balancers(self, beginnings: tuple[str, ...]) -> Iterator[Standing]:
        for one in self._account.listed("load_balancers"):
            if self._is_ours(one, beginnings):
                units = int(one.get("size_unit") or 1)
                yield Standing(
                    key=f"load_balancer:{one['id']}",
                    what=f"load balancer {one['name']}",
                    usd_per_hour=self._prices.load_balancer_usd_per_hour * units,
                    since_s=_seconds(one["created_at"]),
                )

    def _volumes(self, beginnings: tuple[str, ...]) -> Iterator[Standing]:
        for one in self._account.listed("volumes"):
            if self._is_ours(one, beginnings):
                yield Standing(
                    key=f"volume:{one['id']}",
                    what=f"volume of {one['size_gigabytes']} GiB {one['name']}",
                    usd_per_hour=self._prices.volume_usd_per_gib_hour * one["size_gigabytes"],
                    since_s=_seconds(one["created_at"]),
                )

    def _is_ours(self, one: dict[str, Any], beginnings: tuple[str, ...]) -> bool:
        return (
            str(one["name"]).startswith(beginnings)
            or bool(self._tags(one))
            or str(one.get("vpc_uuid")) in self._vpcs
        )

    def _tags(self, one: dict[str, Any]) -> set[str]:
        """The tags that say which of the run's clusters it belongs to."""
        return self._clusters & {*(one.get("tags") or ())}


def _in_service(node: dict[str, Any]) -> float | None:
    """When a node began to serve: it was updated last then."""
    if node["status"]["state"] == _NOT_IN_SERVICE:
        return None
    return _seconds(node["updated_at"])


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
