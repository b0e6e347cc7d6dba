"""The parts of a definition: names, controls, metrics, observations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from infra_gym.errors import ExpressionError, UnknownNameError, nearest
from infra_gym.expressions import names_in
from infra_gym.settings.strict import Pattern, Strict


def _checked(expression: str) -> str:
    try:
        names_in(expression)
    except ExpressionError as error:
        raise ValueError(error.message) from error
    return expression


ID = Pattern(r"[A-Za-z][A-Za-z0-9-]*-v[0-9]+", "a name and a version, such as MyApp-v0")
EnvironmentId = Annotated[str, ID]
LayerName = Annotated[
    str, Pattern(r"[a-z0-9-]+/[a-z0-9-]+", "PROVIDER/NAME in lower case, such as local/heater")
]
Identifier = Annotated[
    str,
    Pattern(
        r"[a-z][a-z0-9_]*", "a lower-case letter, then lower-case letters, digits, underscores"
    ),
]
Selector = Annotated[
    str,
    Pattern(
        r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})?",
        "a bare selector such as requests_total{code='200'}; rates and sums are taken for you",
    ),
]
Formula = Annotated[str, AfterValidator(_checked)]


class _Choice:
    """Tells the members of a union apart by the one key that each alone has."""

    def __init__(self, what: str, *keys: str) -> None:
        self.what = what
        self.keys = keys

    def check(self, value: Any) -> Any:
        """``value`` itself, if it has exactly one of the keys.

        Raises:
            ValueError: It has none of them, or several.
        """
        if isinstance(value, Strict):
            return value
        wanted = f"{self.what} has exactly one of the keys {', '.join(self.keys)}"
        if not isinstance(value, Mapping):
            raise ValueError(f"{wanted}; this is {value!r}")  # noqa: TRY004
        found = [key for key in self.keys if key in value]
        if len(found) != 1:
            near = [match for key in value for match in nearest(str(key), self.keys)]
            hint = f" Did you mean {near[0]!r}?" if near and not found else ""
            raise ValueError(f"{wanted}; this has {' and '.join(found) or 'none'}.{hint}")
        return value

    def tag(self, value: Any) -> str:
        """``<key>``: no key of a definition looks like this, so that paths stay clear."""
        given = value if isinstance(value, Mapping) else type(value).model_fields
        return next(f"<{key}>" for key in self.keys if key in given)


class DeltaAction(Strict):
    """One discrete action an entry: what is added to the control (``Discrete(len(delta))``)."""

    delta: tuple[int, ...] = Field(min_length=2)


class AbsoluteAction(Strict):
    """The action chooses the control's value, 0 for ``low`` (``Discrete(high - low + 1)``)."""

    absolute: Literal[True]


_ACTIONS = _Choice("an action", "delta", "absolute")
Action = Annotated[
    Annotated[DeltaAction, Tag("<delta>")] | Annotated[AbsoluteAction, Tag("<absolute>")],
    Discriminator(_ACTIONS.tag),
    BeforeValidator(_ACTIONS.check),
]


class Control(Strict):
    """One input of one layer that the agent sets."""

    layer: str
    """The layer's name without provider, so that one control serves every target."""
    input: Identifier
    low: int
    high: int
    initial: int
    action: Action
    beyond: Literal["clip", "keep"] = "clip"
    """What an action does that would leave the bounds: ``clip`` goes as far as the bound, ``keep``
    changes nothing. Either way ``out_of_bounds`` is 1 for its step."""
    existing: Identifier | None = None
    """The metric that counts what really exists; a lasting difference forces a refresh."""
    ready: Identifier | None = None
    """The metric that counts what is ready; ``reset`` waits until it equals the control."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.initial <= self.high:
            raise ValueError(
                f"low <= initial <= high is needed, not {self.low}, {self.initial}, {self.high}"
            )
        return self


class _MetricBase(Strict):
    unit: str = ""
    """For people: ``s``, ``requests``, ``replicas``, ``ratio``."""
    empty: float | None = None
    """The value when there is nothing to measure; left out, that is an error."""
    by: str | None = None
    """A label: one value for each of the label's values, for agents only (in ``info``)."""


class CounterMetric(_MetricBase):
    """Difference of a counter over the step: per series, resets handled, then summed."""

    counter: Selector
    """A bare selector such as ``siege_requests_total{code="200"}``."""
    rate: bool = False
    """Divide by the time between the samples, in seconds."""


class HistogramMetric(_MetricBase):
    """A quantile of a classic histogram's difference over the step (linear inside a bucket)."""

    histogram: Selector
    """The selector without ``_bucket``: ``siege_request_duration_seconds{code="200"}``."""
    quantile: float = Field(gt=0, lt=1)
    starved: Literal["high"] | None = None
    """``high``: where requests were sent and none counted here, the observation's upper bound."""


class GaugeMetric(_MetricBase):
    """An instant PromQL expression, evaluated at the step's end."""

    gauge: str = Field(min_length=1)


class FormulaMetric(_MetricBase):
    """An expression over the other metrics, the controls and the task's own metrics."""

    formula: Formula
    by: None = None
    """A formula has one value."""


_METRICS = _Choice("a metric", "counter", "histogram", "gauge", "formula")
Metric = Annotated[
    Annotated[CounterMetric, Tag("<counter>")]
    | Annotated[HistogramMetric, Tag("<histogram>")]
    | Annotated[GaugeMetric, Tag("<gauge>")]
    | Annotated[FormulaMetric, Tag("<formula>")],
    Discriminator(_METRICS.tag),
    BeforeValidator(_METRICS.check),
]


class Observation(Strict):
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
        """The entry's own name: the metric's, or ``METRIC_change``."""
        return f"{self.metric}_change" if self.change else self.metric


class Slo(Strict):
    """The service level objective: ``share`` of requests within ``latency_s``."""

    latency_s: float = Field(gt=0)
    share: float = Field(gt=0, le=1)


class Prices(Strict):
    """What is charged where no bill is metered, in US dollars."""

    replica_usd_per_hour: float = Field(default=0.0, ge=0)


def short_name(layer: str) -> str:
    """``heater`` for ``k8s/heater``."""
    return layer.rpartition("/")[2]


def full_name(name: str, layers: Sequence[str]) -> str:
    """The layer of ``layers`` that is called ``name``, with or without its provider.

    Raises:
        UnknownNameError: There is none.
    """
    for layer in layers:
        if name in (layer, short_name(layer)):
            return layer
    known = layers if "/" in name else [short_name(layer) for layer in layers]
    raise UnknownNameError("layer in the stack", name, known)
