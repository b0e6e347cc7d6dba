"""The benchmark's statistics. Pure.

A *score* is what one episode of one agent under one load came to. An agent that was trained several
times has a row of scores for each time, so scores under one load have the shape (models, seeds),
and (1, seeds) for a rule. Loads are the strata: none is ever mixed with another when scores are
drawn anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]

LEVEL = 0.95
"""Of the intervals."""
RESAMPLES = 2000
_TRIMMED = 0.25


@dataclass(frozen=True)
class Interval:
    """An estimate, and where it lies with a confidence of :data:`LEVEL`."""

    value: float
    low: float
    high: float


def interquartile_mean(values: ArrayLike, axis: int | None = None) -> Array:
    """The mean without the lowest and the highest quarter of the values.

    Args:
        values: Any number of them; a quarter is rounded down.
        axis: Along which; ``None``: of all.
    """
    return np.asarray(stats.trim_mean(np.asarray(values, dtype=np.float64), _TRIMMED, axis=axis))


def interval(strata: Sequence[ArrayLike], *, robust: bool = True, seed: int = 0) -> Interval:
    """The interquartile mean over all strata, and its interval: the bootstrap's percentiles.

    In each resample every stratum draws its models, and then its seeds, with replacement; the
    models' mean is the score of a seed.

    Args:
        strata: One array of shape (models, seeds) or (seeds,) each.
        robust: The interquartile mean; else the mean.
        seed: Of the draws: the same scores give the same interval.
    """
    tables = [np.atleast_2d(np.asarray(each, dtype=np.float64)) for each in strata]
    rng = np.random.default_rng(seed)
    drawn = np.concatenate([_resampled(table, rng) for table in tables], axis=1)
    scores = np.concatenate([table.mean(axis=0) for table in tables])
    value, values = (
        (float(interquartile_mean(scores)), interquartile_mean(drawn, axis=1))
        if robust
        else (float(scores.mean()), drawn.mean(axis=1))
    )
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def _resampled(table: Array, rng: np.random.Generator) -> Array:
    """Scores drawn anew, shape (:data:`RESAMPLES`, seeds)."""
    models, seeds = table.shape
    chosen = rng.integers(models, size=(RESAMPLES, models))
    weights = np.stack([(chosen == model).mean(axis=1) for model in range(models)], axis=1)
    scores = weights @ table
    places = rng.integers(seeds, size=(RESAMPLES, seeds))
    return np.take_along_axis(scores, places, axis=1)


def paired_p_value(differences: ArrayLike) -> float:
    """How likely such differences, or larger ones, are if their signs are chance: Wilcoxon's
    signed-rank test, two-sided. 1 where there is no difference at all."""
    given = np.asarray(differences, dtype=np.float64)
    if not given.any():
        return 1.0
    return float(stats.wilcoxon(given, zero_method="zsplit").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for that there are so many of them (Holm, 1979), in their order."""
    ordered = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    highest = 0.0
    for rank, place in enumerate(ordered.tolist()):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return [float(each) for each in corrected]


def pareto_front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Whom nobody beats in both: lower cost and higher share; the cheapest first.

    Args:
        points: Cost and share of each.
    """
    front = [
        name
        for name, (cost, share) in points.items()
        if not any(
            other_cost <= cost
            and other_share >= share
            and (other_cost, other_share) != (cost, share)
            for other_cost, other_share in points.values()
        )
    ]
    return sorted(front, key=lambda name: points[name])


def rank_correlation(one: ArrayLike, other: ArrayLike, *, seed: int = 0) -> Interval | None:
    """Spearman's rank correlation of the same cells in two places, and its interval.

    ``None`` where all cells of one place are alike, so that there is nothing to rank.

    Args:
        one: A number for each cell.
        other: The same cells' elsewhere.
        seed: Of the bootstrap's draws of cells.
    """
    pairs = np.stack([np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)])
    rng = np.random.default_rng(seed)
    value = _spearman(pairs)
    if np.isnan(value):
        return None
    values = [_spearman(pairs[:, chosen]) for chosen in _drawn(pairs.shape[1], rng)]
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def _drawn(number: int, rng: np.random.Generator) -> Iterable[NDArray[np.int64]]:
    return (rng.integers(number, size=number) for _ in range(RESAMPLES))


def _spearman(pairs: Array) -> float:
    """NaN where one side is all the same: such a draw has no ranks."""
    ranks = stats.rankdata(pairs, axis=1)
    deviations = ranks - ranks.mean(axis=1, keepdims=True)
    spread = float(np.sqrt((deviations**2).sum(axis=1).prod()))
    return float(deviations.prod(axis=0).sum()) / spread if spread else float("nan")
