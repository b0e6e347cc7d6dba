"""Prices for the commands: the account's own where there is a token, else the list's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra_gym.cost import PriceTable


def known_prices() -> PriceTable:
    """What DigitalOcean asks, as far as this machine can know.

    Raises:
        CloudError: There is a token, and the account does not answer or refuses.
    """
    from infra_gym.cost import LISTED

    if not has_token():
        return LISTED
    from infra_gym.clouds.digitalocean import DigitalOcean

    return DigitalOcean.from_environment().prices()


def has_token() -> bool:
    """Whether there is a token for DigitalOcean."""
    from infra_gym.clouds.digitalocean import TOKENS

    return any(os.environ.get(name) for name in TOKENS)
