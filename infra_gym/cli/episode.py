"""One episode, step by step: what the live view shows and the summary adds up."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra_gym.definitions.models import Definition


@dataclass(frozen=True)
class Row:
    """One number that is followed through the episode."""

    name: str
    unit: str
    history: list[float]


class Episode:
    """Collects the steps of one episode.

    Args:
        definition: The environment's.
    """

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.ended = "not begun"
        """``not begun``, ``running``, or why it ended."""
        self.steps = 0
        self.reward = 0.0
        """Sum over the steps, in the definition's ``reward_unit``."""
        self.cost_usd = 0.0
        self.terms = dict.fromkeys(definition.rewards, 0.0)
        """Sum of each reward term, in the same unit."""
        self.rows = {
            name: Row(name, _unit(definition, name), [])
            for name in (*_watched(definition), "reward")
        }
        self._series: dict[str, list[float]] = {}
        self._controls: dict[str, int] = {}
        self._moves = dict.fromkeys(definition.controls, 0)

    def begin(self, info: Mapping[str, Any]) -> None:
        """Take in what ``reset`` told."""
        self._controls = dict(info.get("controls", {}))
        self._follow(info)
        self.ended = "running"

    def add(self, reward: float, info: Mapping[str, Any]) -> None:
        """Take in what ``step`` told."""
        self.steps += 1
        self.reward += reward
        self.cost_usd += float(info.get("cost_usd", 0.0))
        for term, value in info.get("rewards", {}).items():
            self.terms[term] = self.terms.get(term, 0.0) + float(value)
        for name, value in info.get("controls", {}).items():
            self._moves[name] += value != self._controls.get(name, value)
            self._controls[name] = value
        self._follow({**info, "metrics": {**info.get("metrics", {}), "reward": reward}})
        seconds = info.get("seconds", {})
        for name in ("apply", "jitter"):
            if name in seconds:
                self._series.setdefault(name, []).append(float(seconds[name]))
        for name in ("requests", "within_slo"):
            if name in info.get("metrics", {}):
                self._series.setdefault(name, []).append(float(info["metrics"][name]))

    def _follow(self, info: Mapping[str, Any]) -> None:
        values = {**info.get("metrics", {}), **info.get("controls", {})}
        for name, row in self.rows.items():
            if name in values:
                row.history.append(float(values[name]))

    def summary(self) -> dict[str, Any]:
        """The episode in numbers; what was never measured is ``None``."""
        latency = self.rows["latency_p95"].history[1:] if "latency_p95" in self.rows else []
        requests = sum(self._series.get("requests", []))
        applies = [seconds for seconds in self._series.get("apply", []) if seconds > 0]
        return {
            "steps": self.steps,
            "ended": self.ended,
            "reward": self.reward,
            "rewards": self.terms,
            "cost_usd": self.cost_usd,
            "requests": requests,
            "slo_share": sum(self._series.get("within_slo", [])) / requests if requests else None,
            "latency_p95_mean_s": statistics.fmean(latency) if latency else None,
            "latency_p95_max_s": max(latency, default=None),
            "moves": self._moves,
            "tick_jitter_p99_s": _quantile(self._series.get("jitter", []), 0.99),
            "apply_median_s": statistics.median(applies) if applies else None,
        }


def _watched(definition: Definition) -> list[str]:
    """The observations' metrics in their order, without changes and the action itself."""
    return [
        one.metric
        for one in definition.observations
        if not one.change and one.metric != "last_action"
    ]


def _unit(definition: Definition, name: str) -> str:
    metric = definition.metrics.get(name)
    if metric is not None:
        return "%" if metric.unit == "ratio" else metric.unit
    if name in definition.controls:
        return "replicas" if name == "replicas" else ""
    if name == "reward":
        return "$" if definition.reward_unit == "USD" else ""
    return {"cost_rate": "$/h", "cost_usd": "$"}.get(name, "")


def _quantile(values: list[float], share: float) -> float | None:
    """The smallest value that at least ``share`` of all do not pass."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1]
