"""How well a calibrated twin predicts a run that it was not fitted to: intervals, and the errors.

The twin runs over what the run did, with parameters from the fitted spread, other chances, and
samples of every age that they may have: that gives a mean and a deviation of each metric at each
step. How far the runs that it *was* fitted to lay from theirs, in units of the deviation and the
metric's resolution, has quantiles; the interval is as far on either side (split conformal
prediction with normalised errors: Lei et al., "Distribution-free predictive inference for
regression", 2018). So what the twin does not know of counts as it counted in the probe, and the
stated level holds where the other run met a host like the probe's. Steps that the environment
marked as disturbed, because the host or the sender was late, are counted apart.

For a whole run, each of the twin's runs gets such errors, drawn in blocks of steps, and is summed
up. They have the chances twice then, so that this interval is rather too wide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from infra_gym.errors import UsageError
from infra_gym.evaluation.fit import LEVEL, METRICS, Fit, parameters_at, scale
from infra_gym.evaluation.follow import Follower
from infra_gym.evaluation.recordings import Array, Recording

PREDICTED: Mapping[str, str] = {"latency_p95": "s", "slo_share": "ratio", "requests": "requests"}
"""What is predicted, where the environment has it, and its unit."""

_RESOLUTION: Mapping[str, tuple[float, float]] = {**METRICS, "slo_share": (0.005, 0.0)}
_RUNS = 60
_SUMS = 1000
_BLOCK = 5  # steps


@dataclass(frozen=True)
class Errors:
    """How one metric of a run was predicted.

    Steps that the environment marked as disturbed count in nothing but ``disturbed`` and
    ``coverage_disturbed``.

    Attributes:
        unit: Of the metric.
        steps: How many.
        mean_error: Measured minus predicted, on average over the steps.
        mean_absolute_error: The same without signs.
        coverage: The share of steps that lay in their interval.
        measured: Over the whole run: the sum of requests, else the mean of the steps.
        predicted: The same of the twin.
        low: Lower end of its interval.
        high: Upper end.
        disturbed: How many steps were disturbed.
        coverage_disturbed: The share of those that lay in their interval; ``None``: there are none.
    """

    unit: str
    steps: int
    mean_error: float
    mean_absolute_error: float
    coverage: float
    measured: float
    predicted: float
    low: float
    high: float
    disturbed: int
    coverage_disturbed: float | None

    @property
    def inside(self) -> bool:
        """Whether the whole run lay in its interval."""
        return self.low <= self.measured <= self.high


@dataclass(frozen=True)
class Prediction:
    """One run, predicted.

    Attributes:
        recording: The run.
        errors: By metric.
    """

    recording: Recording
    errors: Mapping[str, Errors]


class Predictor:
    """Predicts runs with a fitted twin.

    Args:
        fitted: The fit.
        recordings: What it was fitted to.
        seed: Of all chances.
    """

    def __init__(self, fitted: Fit, recordings: Sequence[Recording], *, seed: int = 0) -> None:
        self._fit = fitted
        self._seed = seed
        self.names = tuple(name for name in PREDICTED if name in recordings[0].measured)
        self._misses = [self._normalised(one) for one in recordings]

    def predict(self, recording: Recording) -> Prediction:
        """Predict a run, and compare.

        Raises:
            UsageError: Every step of it was disturbed.
        """
        runs, unit = self._ensemble(recording)
        mean = runs.mean(axis=0)
        measured = _columns(recording, self.names)
        low, high = self._interval(mean, unit)
        inside = (low <= measured) & (measured <= high)
        calm = recording.calm
        if not calm.any():
            raise UsageError(
                f"Every step of {recording.path} was disturbed: there is nothing to compare with.",
                next_command="record the run again, on a quieter machine",
            )
        whole = self._whole_runs(runs[:, calm], unit[calm])
        errors = {
            name: Errors(
                unit=PREDICTED[name],
                steps=int(calm.sum()),
                mean_error=float((measured - mean)[calm, at].mean()),
                mean_absolute_error=float(np.abs(measured - mean)[calm, at].mean()),
                coverage=float(inside[calm, at].mean()),
                measured=_whole(name, measured[calm, at]),
                predicted=_whole(name, mean[calm, at]),
                low=whole[name][0],
                high=whole[name][1],
                disturbed=int((~calm).sum()),
                coverage_disturbed=None if calm.all() else float(inside[~calm, at].mean()),
            )
            for at, name in enumerate(self.names)
        }
        return Prediction(recording, errors)

    def _ensemble(self, recording: Recording) -> tuple[Array, Array]:
        """Runs of the twin, ``(runs, steps, metrics)``, and what each metric may differ by."""
        follower = Follower(recording, self.names)
        rng = np.random.default_rng(self._seed)
        takes = rng.choice(self._fit.takes, _RUNS)
        ages = rng.uniform(0, recording.scrape_interval_s, _RUNS)
        runs = np.stack(
            [
                follower.run(parameters_at(take), age_s=float(age), chances=chances)
                for chances, (take, age) in enumerate(zip(takes, ages, strict=True))
            ]
        )
        unit = scale(runs.mean(axis=0), runs.std(axis=0), self.names, _RESOLUTION)
        return runs, unit

    def _normalised(self, recording: Recording) -> Array:
        """How far a run lay from the twin's mean, in units of what it may differ by."""
        runs, unit = self._ensemble(recording)
        far: Array = (_columns(recording, self.names) - runs.mean(axis=0)) / unit
        return far[recording.calm]

    def _interval(self, mean: Array, unit: Array) -> tuple[Array, Array]:
        """The interval of each metric at each step."""
        far = np.sort(np.vstack(self._misses), axis=0)
        tail = (1 - LEVEL) / 2 * (len(far) + 1)
        lowest = far[max(int(np.floor(tail)), 1) - 1]
        highest = far[min(int(np.ceil(len(far) + 1 - tail)), len(far)) - 1]
        low = self._possible(mean + np.minimum(lowest, 0) * unit)
        high = self._possible(mean + np.maximum(highest, 0) * unit)
        return low, high

    def _whole_runs(self, runs: Array, unit: Array) -> dict[str, tuple[float, float]]:
        """The interval of each metric over the whole run."""
        rng = np.random.default_rng(self._seed)
        steps = runs.shape[1]
        found = []
        for _ in range(_SUMS):
            drawn = [_block(self._misses, rng) for _ in range(-(-steps // _BLOCK))]
            path = runs[rng.integers(len(runs))] + np.vstack(drawn)[:steps] * unit
            found.append([_whole(name, path[:, at]) for at, name in enumerate(self.names)])
        tail = (1 - LEVEL) / 2
        # Only the whole is clipped: clipped steps would push it away from where it can be.
        low, high = map(self._possible, np.quantile(found, [tail, 1 - tail], axis=0))
        return {name: (float(low[at]), float(high[at])) for at, name in enumerate(self.names)}

    def _possible(self, values: Array) -> Array:
        """``values`` where the metrics can be: at least 0, a share at most 1."""
        most = [1.0 if PREDICTED[name] == "ratio" else np.inf for name in self.names]
        clipped: Array = np.clip(values, 0.0, most)
        return clipped


def _block(misses: Sequence[Array], rng: np.random.Generator) -> Array:
    """Errors of steps that followed each other; one recording's end is followed by its begin."""
    one = misses[rng.choice(len(misses), p=_shares([len(each) for each in misses]))]
    block: Array = one[(rng.integers(len(one)) + np.arange(_BLOCK)) % len(one)]
    return block


def _shares(lengths: Sequence[int]) -> Array:
    return np.array(lengths) / sum(lengths)


def _columns(recording: Recording, names: Sequence[str]) -> Array:
    return np.column_stack([recording.measured[name] for name in names])


def _whole(name: str, values: Array) -> float:
    return float(values.sum() if PREDICTED[name] == "requests" else values.mean())
