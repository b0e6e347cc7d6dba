"""What of the web app's twin is not written in a definition, and so has to be measured."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from infra_gym.errors import UsageError


@dataclass(frozen=True, slots=True)
class WebAppParameters:
    """How fast a target is, beyond the inputs of its layers. The times are wall-clock seconds.

    The defaults are what a probe of the target ``local`` gave on 2 cores, rounded; only the drain,
    of which it tells little, is the heater's own. See ``benchmarks/README.md``, calibration.py.

    Raises:
        UsageError: A number that cannot be; names it.
    """

    overhead_s: float = 0.008
    """What network and programs add to the latency of an answer."""
    boot_s: float = 0.4
    """From a replica's start until it takes requests."""
    drain_s: float = 1.0
    """How long a removed replica is still seen."""
    service_time_factor: float = 1.0
    """How long a service really takes, over the heater's ``service_time_s``; above 0."""
    apply_s: float = 0.5
    """From a step's begin until its change is made: added replicas start, removed ones get no more
    requests. At the step's end it is made in any case."""

    def __post_init__(self) -> None:
        for field in fields(self):
            number = getattr(self, field.name)
            if not 0 <= number < float("inf") or (
                field.name == "service_time_factor" and number == 0
            ):
                raise UsageError(f"A twin cannot have {field.name}={number}.")


@dataclass(frozen=True, slots=True)
class WebAppSpread:
    """Parameters between two bounds: what a calibration leaves open, for domain randomisation."""

    low: WebAppParameters
    high: WebAppParameters

    def draw(self, seed: int) -> WebAppParameters:
        """Each parameter evenly from its low to its high, and independent of the others.

        Args:
            seed: At least 0; the same seed gives the same parameters.
        """
        rng = np.random.default_rng(seed)
        return WebAppParameters(
            **{
                field.name: float(
                    rng.uniform(getattr(self.low, field.name), getattr(self.high, field.name))
                )
                for field in fields(WebAppParameters)
            }
        )
