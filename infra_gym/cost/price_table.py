"""What DigitalOcean asks for what the layers can make, in US dollars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from infra_gym.errors import SettingsError, did_you_mean

HOURS_A_MONTH = 672
"""After so many hours a calendar month costs no more."""


@dataclass(frozen=True)
class PriceTable:
    """Prices, and where they are from.

    Attributes:
        source: For people: where they are from, and of when.
        sizes: US dollars an hour, by the size of a droplet or node, such as ``s-2vcpu-4gb``.
        ha_usd_per_hour: A highly available control plane; one that is not costs nothing.
        load_balancer_usd_per_hour: One node of a load balancer.
        volume_usd_per_gib_hour: One GiB of a volume.
        spaces_usd_per_month: Spaces, once for the whole account, with 250 GiB in it.
    """

    source: str
    sizes: Mapping[str, float]
    ha_usd_per_hour: float = 40 / HOURS_A_MONTH
    load_balancer_usd_per_hour: float = 12 / HOURS_A_MONTH
    volume_usd_per_gib_hour: float = 0.10 / HOURS_A_MONTH
    spaces_usd_per_month: float = 5.0

    def size_usd_per_hour(self, slug: str) -> float:
        """What a droplet or node of a size costs.

        Raises:
            SettingsError: The size has no price here.
        """
        if slug not in self.sizes:
            raise SettingsError(
                f"The size {slug!r} has no price ({self.source})."
                f"{did_you_mean(slug, [*self.sizes])}",
                next_command="export DIGITALOCEAN_TOKEN=... (then the account's own list is read), "
                "or another size",
            )
        return self.sizes[slug]

    def of_account(self, sizes: Mapping[str, float], today: str) -> PriceTable:
        """The same with the sizes that an account's API offers.

        Args:
            sizes: US dollars an hour by size.
            today: The day on which they were read, such as ``2026-11-28``.
        """
        return replace(self, source=f"read from the account on {today}", sizes=sizes)


_USD_PER_MONTH = {
    "s-1vcpu-512mb-10gb": 4,
    "s-1vcpu-1gb": 6,
    "s-1vcpu-2gb": 12,
    "s-2vcpu-2gb": 18,
    "s-2vcpu-4gb": 24,
    "s-4vcpu-8gb": 48,
    "s-8vcpu-16gb": 96,
    "c-2": 42,
    "c-4": 84,
    "g-2vcpu-8gb": 63,
    "g-4vcpu-16gb": 126,
}

LISTED = PriceTable(
    source="DigitalOcean's price list as known on 2026-11-27, not read from an account",
    sizes={slug: round(usd / HOURS_A_MONTH, 5) for slug, usd in _USD_PER_MONTH.items()},
)
"""For those who have no token. The API tells prices of sizes only: the others are always these."""
