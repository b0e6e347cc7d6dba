"""A Grafana dashboard of a definition's metrics.

Every metric that Prometheus can answer has a panel. Queries say over Grafana's rate interval what
the environment reads between two ticks: a counter is ``increase``, a counter with ``rate`` is
``rate``, a histogram a quantile of both. A formula is one query where it is arithmetic of such
metrics; the others, and those of controls and cost, are named in a text panel.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from infra_gym.definitions.models import (
    CounterMetric,
    Definition,
    FormulaMetric,
    GaugeMetric,
    HistogramMetric,
    Metric,
)

_RANGE = "[$__rate_interval]"
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_UNITS = {"s": "s", "ratio": "percentunit", "%": "percent", "requests/s": "reqps"}
_UNITS |= {"bytes": "bytes", "USD": "currencyUSD"}
_WIDTH, _HEIGHT, _COLUMNS = 8, 7, 24
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
}
_BOUNDS = {"max": "clamp_min", "min": "clamp_max"}
_MOMENT = re.compile(r"\w*start_time_seconds(\{[^}]*\})?")
"""Names of moments in epoch seconds end so; nobody can read one, so its age is shown."""


def dashboard(definition: Definition) -> dict[str, Any]:
    """The dashboard, as Grafana imports it (schema version 39, Grafana 10 and later)."""
    queries = queries_of(definition.metrics)
    panels = [
        _panel(number, name, definition, queries[name]) for number, name in enumerate(queries)
    ]
    left_out = [name for name in definition.metrics if name not in queries]
    if left_out:
        panels.append(_text(len(panels), left_out))
    slug = re.sub(r"[^a-z0-9]+", "-", definition.id.lower())
    return {
        "uid": f"infra-gym-{slug}"[:40],
        "title": f"infra-gym: {definition.id}",
        "description": definition.summary,
        "tags": ["infra-gym"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {},
                    "hide": 0,
                }
            ]
        },
        "annotations": {"list": []},
        "panels": panels,
    }


def queries_of(metrics: Mapping[str, Metric]) -> dict[str, str]:
    """PromQL for every metric that has it, by name, in the definition's order."""
    measured = {
        name: _measured(metric)
        for name, metric in metrics.items()
        if not isinstance(metric, FormulaMetric)
    }
    found: dict[str, str] = {}
    for name, metric in metrics.items():
        query = (
            _formula(ast.parse(metric.formula.strip(), mode="eval").body, measured)
            if isinstance(metric, FormulaMetric)
            else measured[name]
        )
        if query is not None:
            found[name] = query
            measured.setdefault(name, f"({query})")
    return found


def _measured(metric: CounterMetric | HistogramMetric | GaugeMetric) -> str:
    match metric:
        case CounterMetric():
            grown = f"{'rate' if metric.rate else 'increase'}({metric.counter}{_RANGE})"
            return f"sum by ({metric.by}) ({grown})" if metric.by else f"sum({grown})"
        case HistogramMetric():
            name, brace, matchers = metric.histogram.partition("{")
            buckets = f"sum by (le) (rate({name}_bucket{brace}{matchers}{_RANGE}))"
            return f"histogram_quantile({metric.quantile:g}, {buckets})"
        case _:
            return metric.gauge


def _formula(node: ast.expr, names: Mapping[str, str]) -> str | None:
    """Arithmetic of known metrics as PromQL; ``None`` for what PromQL has no short form of."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return f"{number:g}"
        case ast.Name(id=name):
            known = names.get(name)
            return None if known is None else f"({known})"
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            parts = _formula(left, names), _formula(right, names)
            if None in parts:
                return None
            return f"({parts[0]} {_OPERATORS[type(operator)]} {parts[1]})"
        case ast.Call(func=ast.Name(id=("min" | "max") as bound), args=[value, limit]):
            inner, least = _formula(value, names), _formula(limit, names)
            if inner is None or not isinstance(limit, ast.Constant):
                return None
            return f"{_BOUNDS[bound]}({inner}, {least})"
        case _:
            return None


def _panel(number: int, name: str, definition: Definition, query: str) -> dict[str, Any]:
    metric = definition.metrics[name]
    is_moment = isinstance(metric, GaugeMetric) and _MOMENT.fullmatch(metric.gauge)
    by = getattr(metric, "by", None)
    defaults: dict[str, Any] = {
        "unit": _UNITS.get(metric.unit, "short"),
        "min": 0,
        "custom": {"lineWidth": 2, "fillOpacity": 8, "showPoints": "never"},
    }
    if isinstance(metric, HistogramMetric):
        defaults["custom"]["thresholdsStyle"] = {"mode": "line"}
        defaults["thresholds"] = {
            "mode": "absolute",
            "steps": [
                {"color": "green", "value": None},
                {"color": "red", "value": definition.slo.latency_s},
            ],
        }
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": name.replace("_", " "),
        "description": f"Seconds since {name}, a metric of {definition.id}."
        if is_moment
        else f"The metric {name} of {definition.id}.",
        "datasource": _DATASOURCE,
        "gridPos": _place(number),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}},
        "targets": [
            {
                "refId": "A",
                "datasource": _DATASOURCE,
                "expr": f"time() - ({query})" if is_moment else query,
                "legendFormat": f"{{{{{by}}}}}" if by else name,
                "range": True,
            }
        ],
    }


def _text(number: int, names: list[str]) -> dict[str, Any]:
    said = ", ".join(f"`{name}`" for name in names)
    return {
        "id": number + 1,
        "type": "text",
        "title": "Not in Prometheus",
        "gridPos": _place(number),
        "options": {
            "mode": "markdown",
            "content": f"Computed by the environment from controls and time: {said}. "
            "`infra-gym report` shows them.",
        },
    }


def _place(number: int) -> dict[str, int]:
    across = _COLUMNS // _WIDTH
    x, y = number % across * _WIDTH, number // across * _HEIGHT
    return {"x": x, "y": y, "w": _WIDTH, "h": _HEIGHT}
