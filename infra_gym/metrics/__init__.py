"""Reading Prometheus: typed queries, counters' growth from tick to tick, freshness, the ticks."""

from infra_gym.metrics.histograms import quantile
from infra_gym.metrics.prometheus import Prometheus, Series
from infra_gym.metrics.reader import Measured, MetricsReader
from infra_gym.metrics.readings import Counters, Growth
from infra_gym.metrics.ticks import Ticks
from infra_gym.metrics.transport import session_for

__all__ = [
    "Counters",
    "Growth",
    "Measured",
    "MetricsReader",
    "Prometheus",
    "Series",
    "Ticks",
    "quantile",
    "session_for",
]
