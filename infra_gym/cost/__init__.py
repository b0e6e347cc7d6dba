"""What a run costs and may cost. Pure: no clock, no files."""

from infra_gym.cost.budget import Budget
from infra_gym.cost.meter import Meter

__all__ = ["Budget", "Meter"]
