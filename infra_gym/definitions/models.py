"""What an environment's YAML file says: the contract on which all else builds.

Every model refuses unknown keys. ``infra_gym.definitions.loading`` turns a refusal into file, line,
key, what is allowed, and the nearest right word; ``infra-gym envs schema`` prints the JSON Schema.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from infra_gym.errors import did_you_mean
from infra_gym.expressions import names_in
from infra_gym.settings import Target
from infra_gym.workloads import Workload

LayerName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
ID_PATTERN = r"^[A-Za-z][A-Za-z0-9-]*-v\d+$"

# What a task computes itself; a definition's expressions and observations may name these as well.
TASK_METRICS = ("cost_usd", "cost_rate", "last_action", "interval_s")


class Model(BaseModel):
    """Strict and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DeltaAction(Model):
    """One discrete action an entry: what is added to the control (``Discrete(len(delta))``)."""

    delta: tuple[int, ...] = Field(min_length=2)


class AbsoluteAction(Model):
    """The action is the control's value itself (``Discrete(high - low + 1)``, offset ``low``)."""

    absolute: Literal[True]


class Control(Model):
    """One input of one layer that the agent sets."""

    layer: str
    """The layer's name without provider, so that one control serves every target."""
    input: Identifier
    low: int
    high: int
    initial: int
    action: DeltaAction | AbsoluteAction
    existing: Identifier | None = None
    """The metric that counts what really exists; a lasting difference forces a refresh."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.initial <= self.high:
            raise ValueError(
                f"low <= initial <= high is needed, not {self.low}, {self.initial}, {self.high}"
            )
        return self


class _MetricBase(Model):
    unit: str = ""
    """For people: ``s``, ``requests``, ``replicas``, ``ratio``."""
    empty: float | None = None
    """The value when there is nothing to measure; left out, that is an error."""
    by: str | None = None
    """A label: the metric becomes one value for each of its values, for agents only (in ``info``)."""


class CounterMetric(_MetricBase):
    """Difference of a counter over the step: per series, resets handled, then summed."""

    counter: str
    """A bare selector such as ``siege_requests_total{code="200"}``."""
    rate: bool = False
    """Divide by the time between the samples, in seconds."""


class HistogramMetric(_MetricBase):
    """A quantile of a classic histogram's difference over the step (linear inside a bucket)."""

    histogram: str
    """The selector without ``_bucket``: ``siege_request_duration_seconds{code="200"}``."""
    quantile: float = Field(gt=0, lt=1)
    starved: Literal["high"] | None = None
    """``high``: where requests were sent and none counted here, the observation's upper bound."""


class GaugeMetric(_MetricBase):
    """An instant PromQL expression, evaluated at the step's end."""

    gauge: str


class FormulaMetric(_MetricBase):
    """An expression over the other metrics, the controls and the task's own metrics."""

    formula: str


Metric = CounterMetric | HistogramMetric | GaugeMetric | FormulaMetric


class Observation(Model):
    """One entry of the observation vector; values outside the bounds are clipped to them."""

    metric: Identifier
    low: float
    high: float
    change: bool = False
    """The change since the step before, instead of the value."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low < high is needed, not {self.low}, {self.high}")
        return self

    @property
    def name(self) -> str:
        return f"{self.metric}_change" if self.change else self.metric


class Slo(Model):
    """The service level objective: ``share`` of requests within ``latency_s``."""

    latency_s: float = Field(gt=0)
    share: float = Field(gt=0, le=1)


class Prices(Model):
    """What is charged where no bill is metered, in US dollars."""

    replica_usd_per_hour: float = Field(default=0.0, ge=0)


class Definition(Model):
    """One environment."""

    id: Annotated[str, StringConstraints(pattern=ID_PATTERN)]
    summary: str
    max_episode_steps: int = Field(gt=0)
    layers: dict[Target, tuple[LayerName, ...]]
    """Per target, in order of apply; destroyed in reverse."""
    simulator: str | None = None
    interval_s: dict[Target, float]
    """Seconds of a step, per target."""
    time_scale: dict[Target, float] = Field(default_factory=dict)
    """Seconds of modelled time in one second of the target's clock (default 1): the load's profile
    and controllers' windows are written in modelled time."""
    inputs: dict[str, dict[Identifier, Any]] = Field(default_factory=dict)
    """Per layer (``heater``, or ``local/heater`` for one target only): literals, or ``layer.output``."""
    workload: Workload
    prices: Prices = Prices()
    controls: dict[Identifier, Control] = Field(min_length=1)
    slo: Slo
    metrics: dict[Identifier, Metric]
    observations: tuple[Observation, ...] = Field(min_length=1)
    rewards: dict[Identifier, str] = Field(min_length=1)
    """Named terms in US dollars, summed."""

    @field_validator("interval_s", "time_scale")
    @classmethod
    def _positive(cls, value: dict[Target, float]) -> dict[Target, float]:
        for target, number in value.items():
            if not 0 < number < float("inf"):
                raise ValueError(f"{target}: a positive number of seconds is needed, not {number}")
        return value

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        known = {*self.metrics, *self.controls, *TASK_METRICS}
        per_series = {name for name, metric in self.metrics.items() if metric.by is not None}
        for observation in self.observations:
            if observation.metric not in known - per_series:
                raise ValueError(_unknown("observations", observation.metric, known - per_series))
        for term, expression in self.rewards.items():
            for name in sorted(names_in(expression)):
                if name not in known - per_series:
                    raise ValueError(_unknown(f"rewards.{term}", name, known - per_series))
        for metric_name, metric in self.metrics.items():
            if isinstance(metric, FormulaMetric):
                for name in sorted(names_in(metric.formula)):
                    if name not in known - {metric_name}:
                        raise ValueError(_unknown(f"metrics.{metric_name}", name, known))
        for control_name, control in self.controls.items():
            for target, layers in self.layers.items():
                if layers and control.layer not in {short_name(layer) for layer in layers}:
                    raise ValueError(
                        f"controls.{control_name}: target {target} has no layer {control.layer!r}"
                    )
            if control.existing is not None and control.existing not in self.metrics:
                raise ValueError(
                    _unknown(
                        f"controls.{control_name}.existing", control.existing, set(self.metrics)
                    )
                )
        return self

    def inputs_of(self, layer: str) -> dict[str, Any]:
        """The inputs written for ``provider/name``: the common ones, then this provider's own."""
        return {**self.inputs.get(short_name(layer), {}), **self.inputs.get(layer, {})}

    def scale(self, target: Target) -> float:
        return self.time_scale.get(target, 1.0)


def short_name(layer: str) -> str:
    """``heater`` for ``k8s/heater``."""
    return layer.rpartition("/")[2]


_REFERENCE = re.compile(r"^([a-z0-9-]+(?:/[a-z0-9-]+)?)\.([a-z][a-z0-9_]*)$")


def reference(value: object) -> tuple[str, str] | None:
    """``("heater", "url")`` where a literal is written as ``heater.url``, else ``None``."""
    match = _REFERENCE.match(value) if isinstance(value, str) else None
    return (match[1], match[2]) if match else None


def _unknown(place: str, name: str, known: set[str]) -> str:
    return f"{place}: there is no metric {name!r}.{did_you_mean(name, sorted(known))}"
