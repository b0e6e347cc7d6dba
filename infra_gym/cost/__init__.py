"""What a run costs and may cost. Pure: no clock, no files."""

from infra_gym.cost.account_meter import AccountMeter, Bill, Standing
from infra_gym.cost.budget import Budget
from infra_gym.cost.estimate import Estimate
from infra_gym.cost.meter import Charge, Meter
from infra_gym.cost.price_table import LISTED, PriceTable

__all__ = [
    "LISTED",
    "AccountMeter",
    "Bill",
    "Budget",
    "Charge",
    "Estimate",
    "Meter",
    "PriceTable",
    "Standing",
]
