"""The load: arrival profiles, and the arrival schedule that a seed makes of one."""

from infra_gym.workloads.profiles import (
    Bursty,
    Constant,
    Daily,
    FlashCrowd,
    Profile,
    Ramp,
    Random,
    Sine,
    Staircase,
)
from infra_gym.workloads.schedule import Schedule, arrival_schedule
from infra_gym.workloads.trace import Trace
from infra_gym.workloads.workload import Workload, parse_workload

__all__ = [
    "Bursty",
    "Constant",
    "Daily",
    "FlashCrowd",
    "Profile",
    "Ramp",
    "Random",
    "Schedule",
    "Sine",
    "Staircase",
    "Trace",
    "Workload",
    "arrival_schedule",
    "parse_workload",
]
