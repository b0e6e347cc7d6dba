"""What a stack will cost, told before anything of it is made."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra_gym.cost.account_meter import LEAST_USD
from infra_gym.cost.price_table import HOURS_A_MONTH, PriceTable
from infra_gym.definitions.billed import BilledThing
from infra_gym.errors import DefinitionError
from infra_gym.expressions import Expression

START_S = 480.0
"""From the first call until a managed cluster's nodes serve. An assumption: never measured."""
TEARDOWN_S = 600.0
"""From a destroy's beginning until a managed cluster and its nodes are gone. An assumption, too."""
_HOUR_S = 3600.0

Bounds = Mapping[str, tuple[int, int]]
"""By input, the least and the most that an agent may set."""


@dataclass(frozen=True)
class Part:
    """Things of one layer and kind.

    Attributes:
        layer: The layer that makes them.
        what: For people, such as ``node s-2vcpu-4gb``.
        usd_per_hour: Of one.
        low: How many there are at least.
        high: How many an agent can make of them.
    """

    layer: str
    what: str
    usd_per_hour: float
    low: int
    high: int


@dataclass(frozen=True)
class Estimate:
    """What a stack will cost.

    Attributes:
        parts: What is billed.
        source: Where the prices are from.
        untold: Layers that do not tell what they make; what they cost is in none of the numbers.
        episode_s: Seconds of an episode's steps; ``None`` for layers without an environment.
        spaces_usd_per_month: Spaces, where the state lies in one: once for the whole account.
    """

    parts: tuple[Part, ...]
    source: str
    untold: tuple[str, ...] = ()
    episode_s: float | None = None
    spaces_usd_per_month: float = 0.0

    @property
    def usd_per_hour(self) -> tuple[float, float]:
        """With the least and with the most that an agent can make."""
        return (
            sum(part.low * part.usd_per_hour for part in self.parts),
            sum(part.high * part.usd_per_hour for part in self.parts),
        )

    @property
    def usd_per_month(self) -> tuple[float, float]:
        """If it were forgotten for a calendar month."""
        low, high = self.usd_per_hour
        return low * HOURS_A_MONTH, high * HOURS_A_MONTH

    @property
    def episode_usd(self) -> tuple[float, float] | None:
        """One episode from nothing to nothing: its steps alone, and with start and teardown."""
        if self.episode_s is None:
            return None
        low, high = self.usd_per_hour
        hours = (self.episode_s / _HOUR_S, (self.episode_s + START_S + TEARDOWN_S) / _HOUR_S)
        most = LEAST_USD * sum(part.high for part in self.parts)
        return max(self.least_usd, low * hours[0]), max(most, high * hours[1])

    @property
    def least_usd(self) -> float:
        """What it costs even if it lives for a moment only."""
        return LEAST_USD * sum(part.low for part in self.parts)


def part(
    layer: str,
    thing: BilledThing,
    values: Mapping[str, Any],
    bounds: Bounds,
    prices: PriceTable,
) -> Part:
    """What one entry of a layer's ``cost.yaml`` comes to.

    Args:
        layer: The layer.
        thing: The entry.
        values: Of the layer's variables.
        bounds: Of the variables that an agent sets.
        prices: In US dollars.

    Raises:
        DefinitionError: The entry needs a variable that has no number, or no size.
        SettingsError: The size has no price.
    """
    numbers = {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, bool | int | float)
    }
    counts = _over(layer, thing.count, numbers, bounds)
    gib = _over(layer, thing.gib, numbers, bounds)[1]
    what, usd = _price(layer, thing, values, gib, prices)
    return Part(layer, what, usd, round(counts[0]), round(counts[1]))


def _price(
    layer: str, thing: BilledThing, values: Mapping[str, Any], gib: float, prices: PriceTable
) -> tuple[str, float]:
    if thing.kind in ("node", "droplet"):
        size = values.get(thing.size or "")
        if not isinstance(size, str):
            raise DefinitionError(f"{layer}: cost.yaml: {thing.size} holds no size")
        return f"{thing.kind} {size}", prices.size_usd_per_hour(size)
    if thing.kind == "volume":
        return f"volume of {gib:g} GiB", prices.volume_usd_per_gib_hour * gib
    if thing.kind == "ha":
        return "highly available control plane", prices.ha_usd_per_hour
    return "load balancer", prices.load_balancer_usd_per_hour


def _over(
    layer: str, text: str, numbers: Mapping[str, float], bounds: Bounds
) -> tuple[float, float]:
    """The least and the most of a formula, over the corners of what an agent may set."""
    formula = Expression(text)
    if missing := formula.names - numbers.keys() - bounds.keys():
        raise DefinitionError(f"{layer}: cost.yaml: {', '.join(sorted(missing))} has no number")
    free = sorted(formula.names & bounds.keys())
    corners: Sequence[tuple[int, ...]] = list(itertools.product(*(bounds[name] for name in free)))
    found = [formula.evaluate({**numbers, **dict(zip(free, c, strict=True))}) for c in corners]
    return min(found), max(found)
