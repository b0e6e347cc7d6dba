"""The load: arrival profiles, and the arrival schedule that a seed makes of one."""

from infra_gym.workloads.profiles import (
    Bursty,
    Constant,
    Daily,
    FlashCrowd,
    Ramp,
    Random,
    Sine,
    Workload,
)
from infra_gym.workloads.schedule import Schedule, arrival_schedule

__all__ = [
    "Bursty",
    "Constant",
    "Daily",
    "FlashCrowd",
    "Ramp",
    "Random",
    "Schedule",
    "Sine",
    "Workload",
    "arrival_schedule",
]
