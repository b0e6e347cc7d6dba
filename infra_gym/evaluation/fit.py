"""Fitting the twin's parameters to recordings, by running it over what they did.

1. **How old samples are** at a tick differs from stack to stack and is no property of the target.
   The arrivals are known, so the number of requests at each step gives it away.
2. **Distance.** The twin runs several times, with other chances. Step by step, each metric's
   distance from their mean counts in units of what it may differ by anyway: their own spread, and
   the metric's resolution (:data:`METRICS`). A step's loss is the sum over the metrics of
   Student's t with 4 degrees of freedom, which a single odd step cannot pull far. A step that the
   environment marked as disturbed does not count.
3. **Search.** Each parameter in turn over a grid, then rounds of samples from a normal distribution
   around the best, each round narrowed to where the loss is low.
4. **Spread.** Steps depend on each other and metrics in a step too, so the loss is no likelihood to
   be trusted. Blocks of steps are drawn again with replacement, the last samples are weighted by
   the loss of the blocks drawn, and one is taken; many times (Bühlmann, "Discussion of Big Bayes
   Stories and BayesBag", 2014). The middle of the takes is the estimate, their quantiles are the
   interval.
5. **The drain** shows only in replicas that still exist at a tick, so the logs bound it, and it is
   taken evenly from between its bounds.

A parameter of which the recordings say next to nothing keeps its default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from infra_gym.errors import UsageError
from infra_gym.evaluation.follow import Follower
from infra_gym.evaluation.recordings import STAYED, Array, Recording
from infra_gym.simulators.webapp_parameters import WebAppParameters

METRICS: Mapping[str, tuple[float, float]] = {
    "requests": (1.0, 0.01),
    "within_slo": (1.0, 0.02),
    "error_share": (0.01, 0.0),
    "latency_p50": (0.002, 0.02),
    "latency_p95": (0.005, 0.05),
    STAYED: (0.02, 0.02),
    "ready": (0.25, 0.0),
    "existing": (0.25, 0.0),
}
"""What is compared, where the environment has it, and its resolution: absolute, and as a share."""

NAMES = tuple(field.name for field in fields(WebAppParameters))
LEVEL = 0.9
"""Of all intervals."""

_RUNS = 4  # of the twin, with other chances, for each set of parameters
_GRID = 8
_SWEEPS = 3
_ROUNDS = 5
_SAMPLES = 150
_TAKES = 400
_BLOCK = 5  # steps
_FREEDOM = 4.0
_AGES = 21
_DRAINS = 21
_LIKELY = 4.0  # losses are twice a log-likelihood: two standard deviations
_UNSEEN = 0.25  # an interval this wide, as a share of the range, tells next to nothing
_HOTTEST = 1e6

# The drain has no gradient: either it shows at a tick, or it does not.
_SEARCHED = [index for index, name in enumerate(NAMES) if name != "drain_s"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Fit:
    """What the recordings say of the twin's parameters.

    Attributes:
        parameters: The estimate.
        low: Lower ends of the intervals of :data:`LEVEL`.
        high: Upper ends.
        takes: Draws of what else it may be, shape ``(takes, parameters)``, columns as
            :data:`NAMES`.
        unseen: Parameters that the recordings say nothing of; they keep their default.
    """

    parameters: WebAppParameters
    low: WebAppParameters
    high: WebAppParameters
    takes: Array
    unseen: tuple[str, ...]


def fit(
    recordings: Sequence[Recording], *, seed: int = 0, progress: Progress = lambda _: None
) -> Fit:
    """Fit the twin to recordings of one environment on one target.

    Args:
        recordings: At least one.
        seed: Of all chances; the same recordings and seed give the same numbers.
        progress: Is told what is being done.

    Raises:
        UsageError: There is too little to fit to.
    """
    steps = sum(int(one.calm.sum()) for one in recordings)
    if steps < 2 * len(NAMES):
        disturbed = sum(len(one.calm) for one in recordings) - steps
        raise UsageError(
            f"{steps} steps are too few to fit {len(NAMES)} parameters to; at least "
            f"{2 * len(NAMES)} are needed. {disturbed} more were disturbed and do not count.",
            next_command="give more logs, or probe with more --steps or on a quieter machine",
        )
    rng = np.random.default_rng(seed)
    progress("finding how old samples are")
    search = _Search([Distance(one, sample_age(one)) for one in recordings], progress)
    best = search.along_axes(np.array([getattr(WebAppParameters(), name) for name in NAMES]))
    samples, losses, likely = search.around(best, rng)
    takes = _takes(samples, losses, likely, [len(one.ticks) for one in recordings], rng)
    progress("bounding the drain")
    drain = search.drain(np.median(takes, axis=0))
    takes[:, NAMES.index("drain_s")] = rng.uniform(*drain, size=len(takes))
    return _summary(takes, search.low, search.high)


def sample_age(recording: Recording) -> float:
    """How old the samples of a reading were, in seconds: by the number of requests at each step."""
    follower = Follower(recording, ("requests",))
    ages = np.linspace(0, recording.scrape_interval_s, _AGES)
    measured = recording.measured["requests"]
    misses = [
        np.abs(follower.run(WebAppParameters(), age_s=float(age), chances=0)[:, 0] - measured).sum()
        for age in ages
    ]
    return float(ages[int(np.argmin(misses))])


class Distance:
    """How far the twin is from one recording, step by step.

    Args:
        recording: What was measured.
        age_s: How old its samples are.
    """

    def __init__(self, recording: Recording, age_s: float) -> None:
        self.recording = recording
        self.age_s = age_s
        self.names = tuple(name for name in METRICS if name in recording.measured)
        self.measured = np.column_stack([recording.measured[name] for name in self.names])
        self._follower = Follower(recording, self.names)
        self._scale = np.ones_like(self.measured)

    def runs(self, parameters: WebAppParameters, number: int = _RUNS) -> Array:
        """The twin's metrics, shape ``(number, steps, metrics)``."""
        return np.stack(
            [
                self._follower.run(parameters, age_s=self.age_s, chances=chances)
                for chances in range(number)
            ]
        )

    def rescale(self, parameters: WebAppParameters) -> None:
        """Measure distances from now on in what the metrics differ by at these parameters."""
        runs = self.runs(parameters)
        self._scale = scale(runs.mean(axis=0), runs.std(axis=0), self.names)

    def losses(self, parameters: WebAppParameters) -> Array:
        """The loss at each step, shape ``(steps,)``; none where the step was disturbed."""
        far = (self.measured - self.runs(parameters).mean(axis=0)) / self._scale
        loss: Array = (_FREEDOM + 1) * np.log1p(far**2 / _FREEDOM).sum(axis=1)
        return loss * self.recording.calm


def scale(
    mean: Array,
    deviation: Array,
    names: Sequence[str],
    resolution: Mapping[str, tuple[float, float]] = METRICS,
) -> Array:
    """What metrics may differ by: the twin's own spread and the resolution; shapes ``(..., n)``."""
    absolute = np.array([resolution[name][0] for name in names])
    share = np.array([resolution[name][1] for name in names])
    differs: Array = np.sqrt(deviation**2 + absolute**2 + (share * mean) ** 2)
    return differs


class _Search:
    """Looks for the parameters with the lowest loss, inside bounds."""

    def __init__(self, distances: Sequence[Distance], progress: Progress) -> None:
        self._distances = distances
        self._progress = progress
        interval_s = max(one.recording.interval_s for one in distances)
        bounds = {
            "overhead_s": (0.0, 0.1),
            "boot_s": (0.0, 4 * interval_s),
            "drain_s": (0.0, 2 * interval_s),
            "service_time_factor": (0.5, 2.0),
            "apply_s": (0.0, interval_s),
        }
        self.low = np.array([bounds[name][0] for name in NAMES])
        self.high = np.array([bounds[name][1] for name in NAMES])

    def along_axes(self, start: Array) -> Array:
        """The best on grids along each axis in turn, each sweep's a quarter of the last."""
        best = start
        for sweep in range(_SWEEPS):
            self._progress(f"searching along each parameter, {sweep + 1} of {_SWEEPS}")
            self._rescale(best)
            for axis in _SEARCHED:
                reach = (self.high[axis] - self.low[axis]) / 4**sweep
                lowest = max(best[axis] - reach, self.low[axis])
                highest = min(best[axis] + reach, self.high[axis])
                grid = np.append(np.linspace(lowest, highest, _GRID), best[axis])
                points = self._along(best, axis, grid)
                best = points[int(np.argmin(self._losses(points).sum(axis=1)))]
        return best

    def around(self, centre: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Samples about the best; the drain stays.

        Returns:
            The samples, shape ``(samples, parameters)``; their losses by step, ``(samples,
            steps)``; and the logarithm of how likely each was to be drawn, ``(samples,)``.
        """
        mean, covariance = centre, np.diag(((self.high - self.low) / 16) ** 2)
        for number in range(_ROUNDS):
            self._progress(f"sampling about the best, {number + 1} of {_ROUNDS}")
            self._rescale(mean)
            samples, losses, _ = self._sample(mean, 1.5**2 * covariance, _SAMPLES // 3, rng)
            weights = _weights(losses.sum(axis=1))
            mean = weights @ samples
            covariance = np.cov(samples.T, aweights=weights)
        self._progress("sampling the spread")
        self._rescale(mean)
        return self._sample(mean, 2**2 * covariance, _SAMPLES, rng)

    def drain(self, centre: Array) -> tuple[float, float]:
        """The ends of where the drain is about as likely as where it is likeliest, in seconds."""
        axis = NAMES.index("drain_s")
        grid = np.linspace(self.low[axis], self.high[axis], _DRAINS)
        losses = self._losses(self._along(centre, axis, grid)).sum(axis=1)
        likely = grid[losses <= losses.min() + _LIKELY]
        return float(likely[0]), float(likely[-1])

    def _sample(
        self, mean: Array, covariance: Array, size: int, rng: np.random.Generator
    ) -> tuple[Array, Array, Array]:
        """Draws from a normal distribution inside the bounds; see :meth:`around`."""
        axes = np.ix_(_SEARCHED, _SEARCHED)
        narrowest = np.diag(((self.high - self.low) / 5000) ** 2)
        wide = (covariance + narrowest)[axes]
        samples = np.empty((0, len(NAMES)))
        while len(samples) < size:
            drawn = np.tile(mean, (size, 1))
            drawn[:, _SEARCHED] = rng.multivariate_normal(mean[_SEARCHED], wide, size=size)
            inside = np.all((self.low <= drawn) & (drawn <= self.high), axis=1)
            samples = np.vstack([samples, drawn[inside]])
        samples = samples[:size]
        far = (samples - mean)[:, _SEARCHED]
        likely = -0.5 * np.einsum("ij,jk,ik->i", far, np.linalg.inv(wide), far)
        return samples, self._losses(samples), likely

    def _along(self, point: Array, axis: int, values: Array) -> Array:
        points = np.tile(point, (len(values), 1))
        points[:, axis] = values
        return points

    def _losses(self, points: Array) -> Array:
        """Of all steps of all recordings at each point, shape ``(points, steps)``."""
        return np.stack(
            [
                np.concatenate([one.losses(parameters_at(point)) for one in self._distances])
                for point in points
            ]
        )

    def _rescale(self, point: Array) -> None:
        for one in self._distances:
            one.rescale(parameters_at(point))


def _weights(losses: Array, likely: Array | float = 0.0) -> Array:
    """Weights of samples by their loss, tempered until at least a tenth of them counts.

    Args:
        losses: Of each sample.
        likely: The logarithm of how likely each was to be drawn, which then does not count.
    """
    temperature = 1.0
    while True:
        logs = -losses / (2 * temperature) - likely
        weights = np.exp(logs - logs.max())
        weights /= weights.sum()
        if 1 / np.sum(weights**2) >= len(losses) / 10 or temperature > _HOTTEST:
            found: Array = weights
            return found
        temperature *= 1.5


def _takes(
    samples: Array,
    losses: Array,
    likely: Array,
    lengths: Sequence[int],
    rng: np.random.Generator,
) -> Array:
    """See step 4 of the module; shape ``(takes, parameters)``."""
    blocks = [
        np.arange(start + first, start + min(first + _BLOCK, length))
        for start, length in zip(np.cumsum([0, *lengths[:-1]]), lengths, strict=True)
        for first in range(0, length, _BLOCK)
    ]
    by_block = np.column_stack([losses[:, block].sum(axis=1) for block in blocks])
    taken = []
    for _ in range(_TAKES):
        times = np.bincount(rng.integers(len(blocks), size=len(blocks)), minlength=len(blocks))
        weights = _weights(by_block @ times, likely)
        taken.append(samples[rng.choice(len(samples), p=weights)])
    return np.array(taken)


def _summary(takes: Array, lowest: Array, highest: Array) -> Fit:
    tail = (1 - LEVEL) / 2
    low, middle, high = np.quantile(takes, [tail, 0.5, 1 - tail], axis=0)
    widths = (high - low) / (highest - lowest)
    unseen = tuple(name for name, width in zip(NAMES, widths, strict=True) if width > _UNSEEN)
    kept = {name: getattr(WebAppParameters(), name) for name in unseen}
    return Fit(
        parameters=replace(parameters_at(middle), **kept),
        low=parameters_at(low),
        high=parameters_at(high),
        takes=takes,
        unseen=unseen,
    )


def parameters_at(point: Array) -> WebAppParameters:
    """The parameters at a point whose coordinates are those of :data:`NAMES`."""
    return WebAppParameters(**dict(zip(NAMES, map(float, point), strict=True)))
