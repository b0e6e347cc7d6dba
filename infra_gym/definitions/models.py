"""What an environment's YAML file says: the contract on which all else builds.

Every model refuses unknown keys. ``infra_gym.definitions.loading`` turns a refusal into file,
line, key, what is allowed, and the nearest right word; ``infra-gym envs schema`` prints the JSON
Schema.
"""

from __future__ import annotations

import re
import shlex
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, JsonValue, PrivateAttr, model_validator

from infra_gym.definitions.agreement import TASK_METRICS, disagreements
from infra_gym.definitions.parts import (
    AbsoluteAction,
    Control,
    CounterMetric,
    DeltaAction,
    EnvironmentId,
    Formula,
    FormulaMetric,
    GaugeMetric,
    HistogramMetric,
    Identifier,
    LayerName,
    Metric,
    Observation,
    Prices,
    Slo,
    short_name,
)
from infra_gym.settings import Target
from infra_gym.settings.strict import MisplacedError, Strict
from infra_gym.workloads import Workload

__all__ = [
    "TASK_METRICS",
    "AbsoluteAction",
    "Control",
    "CounterMetric",
    "Definition",
    "DeltaAction",
    "FormulaMetric",
    "GaugeMetric",
    "HistogramMetric",
    "Identifier",
    "LayerName",
    "Metric",
    "Observation",
    "Prices",
    "Slo",
    "reference",
    "short_name",
]


class Definition(Strict):
    """One environment."""

    id: EnvironmentId
    summary: str = Field(min_length=1)
    max_episode_steps: int = Field(gt=0)
    layers: dict[Target, Annotated[tuple[LayerName, ...], Field(min_length=1)]] = Field(
        default_factory=dict
    )
    """Per target, in order of apply; destroyed in reverse."""
    simulator: str | None = None
    """The simulator behind the target ``sim``."""
    interval_s: dict[Target, Annotated[float, Field(gt=0)]]
    """Seconds of a step, per target."""
    time_scale: dict[Target, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Seconds of modelled time in one second of the target's clock (default 1): the load's profile
    and controllers' windows are written in modelled time."""
    inputs: dict[str, dict[Identifier, JsonValue]] = Field(default_factory=dict)
    """Per layer (``heater``, or ``local/heater`` for one target only): literals, or
    ``layer.output``."""
    workload: Workload
    prices: Prices = Prices()
    controls: dict[Identifier, Control] = Field(min_length=1)
    slo: Slo
    metrics: dict[Identifier, Metric]
    observations: tuple[Observation, ...] = Field(min_length=1)
    """The flat float32 observation, in this order."""
    rewards: dict[Identifier, Formula] = Field(min_length=1)
    """Named terms in ``reward_unit`` (US dollars where nothing is said), summed."""
    reward_unit: str = "USD"
    """What the reward is counted in, for people; say ``points`` where it is no money."""
    _file: str | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        problems = list(disagreements(self))
        if problems:
            raise MisplacedError(problems)
        return self

    @property
    def file(self) -> Path | None:
        """The whole path of the file that it was made from; ``None`` where the id finds it."""
        return None if self._file is None else Path(self._file).absolute()

    @property
    def named(self) -> str:
        """What to type for it in a shell: its id, or the file that it was made from."""
        return shlex.quote(self._file or self.id)

    def making(self, arguments: str) -> str:
        """What to write in Python to make it; ``gym.make`` finds what it knows by an id only."""
        maker = "gym.make" if self._file is None else "infra_gym.environments.make.make"
        return f'{maker}("{self._file or self.id}", {arguments})'

    def made_from(self, file: str) -> Self:
        """The same, of a file that is found by its path and not by the id."""
        copy = self.model_copy()
        copy._file = file  # noqa: SLF001 - its own class
        return copy

    @property
    def replica_controls(self) -> tuple[str, ...]:
        """The controls that set an input ``replicas``: what the price of a replica goes by."""
        return tuple(name for name, one in self.controls.items() if one.input == "replicas")

    @property
    def sha256(self) -> str:
        """Of all that the file says; what it leaves out, or how it is laid out, has no part."""
        return sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()

    def inputs_of(self, layer: str) -> dict[str, Any]:
        """The inputs written for ``provider/name``: the common ones, then this provider's own."""
        return {**self.inputs.get(short_name(layer), {}), **self.inputs.get(layer, {})}

    def scale(self, target: Target) -> float:
        """Modelled seconds in one second of the target's clock."""
        return self.time_scale.get(target, 1.0)


_REFERENCE = re.compile(r"^([a-z0-9-]+(?:/[a-z0-9-]+)?)\.([a-z][a-z0-9_]*)$")


def reference(value: object) -> tuple[str, str] | None:
    """``("heater", "url")`` where a literal is written as ``heater.url``, else ``None``."""
    match = _REFERENCE.match(value) if isinstance(value, str) else None
    return (match[1], match[2]) if match else None
