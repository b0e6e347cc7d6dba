"""What running replicas costs by a price table, where nothing is billed."""

from __future__ import annotations

from dataclasses import dataclass

from infra_gym.definitions.models import Prices

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Charge:
    """What an account is billed.

    Attributes:
        usd: For an interval, US dollars.
        usd_per_hour: For what stands at its end.
    """

    usd: float
    usd_per_hour: float


@dataclass(frozen=True)
class Meter:
    """Costs by a definition's price table."""

    prices: Prices

    def cost_usd(self, replicas: float, seconds: float) -> float:
        """US dollars for a number of replicas over a time.

        Args:
            replicas: How many are paid for: those that exist, ready or not. At least 0; a mean
                over the time may be a fraction.
            seconds: How long, on the clock of the target, which is what a bill goes by. At least 0.
        """
        if replicas < 0 or seconds < 0:
            raise ValueError(f"replicas and seconds must not be negative: {replicas}, {seconds}")
        return replicas * self.prices.replica_usd_per_hour * seconds / SECONDS_PER_HOUR

    def charge(self, replicas: float, seconds: float) -> Charge:
        """The same as a bill tells it; see :meth:`cost_usd`."""
        return Charge(self.cost_usd(replicas, seconds), self.cost_usd(replicas, SECONDS_PER_HOUR))
