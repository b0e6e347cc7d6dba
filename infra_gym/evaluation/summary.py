"""Results in one line an agent: means, and how sure they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from infra_gym.evaluation.evaluate import Result

_RESAMPLES = 2000
_SHARE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over episodes, and the 95 % interval that the bootstrap gives it."""

    mean: float
    low: float | None
    """``None`` for a single episode."""
    high: float | None


@dataclass(frozen=True)
class Summary:
    """One agent's episodes; what was never measured is ``None``."""

    agent: str
    episodes: int
    steps: float
    """Mean."""
    reward: Estimate
    cost_usd: Estimate | None
    slo_share: Estimate | None


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of ``values``, and its interval: the bootstrap's percentiles.

    The same values give the same interval. With fewer than about ten values it is too narrow.
    """
    measured = np.sort(np.asarray(values, dtype=float))  # in whatever order they came
    mean = float(measured.mean())
    if len(measured) < 2:
        return Estimate(mean, None, None)
    random = np.random.default_rng(0)
    means = [random.choice(measured, len(measured)).mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, [(1 - _SHARE) / 2, (1 + _SHARE) / 2])
    return Estimate(mean, float(low), float(high))


def summarise(results: Iterable[Result]) -> list[Summary]:
    """One summary an agent, in the order of the agents' first results."""
    by_agent: dict[str, list[Result]] = {}
    for result in results:
        by_agent.setdefault(result.agent, []).append(result)
    return [
        Summary(
            agent=agent,
            episodes=len(theirs),
            steps=float(np.mean([one.steps for one in theirs])),
            reward=estimate([one.reward for one in theirs]),
            cost_usd=_measured(theirs, lambda one: one.cost_usd),
            slo_share=_measured(theirs, lambda one: one.slo_share),
        )
        for agent, theirs in by_agent.items()
    ]


def _measured(results: list[Result], of: Callable[[Result], float | None]) -> Estimate | None:
    values = [value for one in results if (value := of(one)) is not None]
    return estimate(values) if values else None
