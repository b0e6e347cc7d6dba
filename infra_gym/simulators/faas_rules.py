"""What the simulator of FaaSScaling-v0 keeps to; needs no compiler, so it is checked at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from infra_gym.errors import UsageError

MIB = 1 << 20
"""Bytes."""

CODES = ("200", "429", "504")
"""What a call can end with, as the gateway's label ``code``."""

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, np.inf)
"""Upper bounds (``le``) of the gateway's histogram, in seconds."""


@dataclass(frozen=True)
class Rules:
    """What stays the same for a whole life; times in seconds.

    Raises:
        UsageError: A parameter is out of range; names it.
    """

    slots: int = 2
    service_time_s: float = 0.5
    queue_limit: int = 8
    cpu_s: float = 0.01
    memory_mib: float = 4.0
    timeout_s: float = 60.0
    max_in_flight: int = 512
    boot_s: float = 1.4
    drain_s: float = 1.0
    overhead_s: float = 0.01
    """What network and programs add to the time of an answer."""
    overhead_cpu_s: float = 0.004
    """What the program itself needs for a call, beyond ``cpu_s``."""
    boot_cpu_s: float = 0.15
    idle_cores: float = 0.006
    memory_base_mib: float = 21.5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            lowest = 1 if name in ("slots", "max_in_flight") else 0
            strictly = name in ("service_time_s", "timeout_s")
            if not lowest <= value < np.inf or (strictly and value == 0):
                bound = "above 0" if strictly else f"at least {lowest}"
                raise UsageError(f"The faas simulator needs {name} {bound}, not {value!r}.")

    @property
    def places(self) -> int:
        """Calls that a replica has at most."""
        return self.slots + self.queue_limit

    @property
    def array(self) -> RulesArray:
        """The same in the form that the compiled functions take."""
        return RulesArray(
            self.slots,
            self.places,
            self.max_in_flight,
            float(self.service_time_s),
            float(self.timeout_s),
            float(self.overhead_s),
            float(self.boot_s),
            float(self.drain_s),
            float(self.cpu_s + self.overhead_cpu_s),
        )


class RulesArray(NamedTuple):
    """See :class:`Rules`."""

    slots: int
    places: int
    max_in_flight: int
    service_time_s: float
    timeout_s: float
    overhead_s: float
    boot_s: float
    drain_s: float
    cpu_s: float
