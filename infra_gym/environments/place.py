"""Where one environment lives: its names, its clock and its load."""

from __future__ import annotations

from dataclasses import dataclass

from infra_gym.settings import Target
from infra_gym.workloads import Workload


@dataclass(frozen=True)
class Place:
    """Where one environment lives.

    Attributes:
        target: ``local``, ``sim``, ...
        project: First part of all names.
        environment: Second part.
        interval_s: Seconds of a step on the target's clock.
        time_scale: Modelled seconds in one of the target's seconds.
        workload: The load.
    """

    target: Target
    project: str
    environment: str
    interval_s: float
    time_scale: float
    workload: Workload
