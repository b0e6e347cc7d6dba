"""Searching a rule's parameters in the twin, on the loads for tuning.

Candidates are spread over the ranges by a Sobol sequence and thinned out in rounds (successive
halving, by thirds): all play every load on one seed; a third goes on to two more seeds, a third of
those to six more. Who has the highest mean reward over loads and seeds at the end is it. The budget
counts environment steps, as a learner's does, and the same budget gives the same parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import qmc

from infra_gym import __version__
from infra_gym.agents.tuned import Tuned
from infra_gym.definitions.catalog import find_definition
from infra_gym.errors import UnknownNameError, UsageError
from infra_gym.evaluation.arena import Arena
from infra_gym.evaluation.evaluate import Case, Contestant
from infra_gym.evaluation.processes import Bout, play_bouts
from infra_gym.workloads.splits import Split, complete, loads_of

BUDGET = 200_000
"""Environment steps, unless told otherwise."""
SPLIT: Split = "tuning"

_THINNED = 3
_ROUNDS = ((0, 1), (1, 3), (3, 9))
"""Of each round: the first of its seeds, and the one after its last."""

Parameters = dict[str, Any]


@dataclass(frozen=True)
class _Range:
    """Where a parameter is searched."""

    low: float
    high: float
    whole: bool = False

    def at(self, share: float) -> float | int:
        """The value at a share, 0 to 1, of the way."""
        if self.whole:
            return min(int(self.low + share * (self.high - self.low + 1)), int(self.high))
        return round(self.low + share * (self.high - self.low), 3)


_RANGES: Mapping[str, Mapping[str, _Range]] = {
    "hpa": {
        "target": _Range(0.05, 0.9),
        "tolerance": _Range(0, 0.2),
        "down_window_s": _Range(0, 900),
    },
    "threshold": {
        "high": _Range(0.05, 0.9),
        "low_share": _Range(0.2, 0.95),
        "patience": _Range(1, 15, whole=True),
    },
    "predictive": {
        "target": _Range(0.05, 0.9),
        "horizon": _Range(1, 6, whole=True),
        "level": _Range(0.2, 0.95),
    },
}


def tunable() -> list[str]:
    """The rules that can be searched."""
    return sorted([*_RANGES, "fixed"])


def tune(
    agent: str,
    identifier: str,
    *,
    budget: int = BUDGET,
    workers: int = 1,
    steps: int | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Tuned:
    """The best parameters of a rule that a budget finds.

    Args:
        agent: One of :func:`tunable`.
        identifier: An environment that can be simulated.
        budget: Environment steps.
        workers: Processes at once.
        steps: At most so many in an episode.
        progress: Called with the episodes that are over, and of how many.

    Raises:
        UnknownNameError: There is no such rule, or no such environment.
        UsageError: The budget is too small to try two candidates.
    """
    if agent not in tunable():
        raise UnknownNameError("rule to search", agent, tunable())
    arena = Arena.find(identifier, target="sim", steps=steps)
    loads = loads_of(SPLIT)
    arenas = [arena.under(complete(load)) for load in loads.workloads.values()]
    candidates = candidates_of(agent, identifier, _room(budget, len(arenas), arena.steps or 1))
    most = sum(_plan(len(candidates), len(arenas)))
    search = _Search(agent, arenas, [*loads.seeds(_ROUNDS[-1][1])], workers, most, progress)
    left = [*range(len(candidates))]
    for first, last in _ROUNDS:
        search.play(candidates, left, first, last)
        ranked = sorted(left, key=lambda number: (-search.mean(number), number))
        best, left = ranked[0], ranked[: max(1, len(ranked) // _THINNED)]
    return Tuned(
        agent=agent,
        parameters=candidates[best],
        id=arena.identifier,
        split=SPLIT,
        steps=search.steps,
        candidates=len(candidates),
        reward_mean=search.mean(best),
        package_version=__version__,
    )


def _plan(number: int, loads: int) -> list[int]:
    """Episodes of each round."""
    played = []
    for first, last in _ROUNDS:
        played.append(number * loads * (last - first))
        number = max(1, number // _THINNED)
    return played


def _room(budget: int, loads: int, steps: int) -> int:
    """Candidates that the budget has room for."""
    number = 0
    while sum(_plan(number + 1, loads)) * steps <= budget:
        number += 1
    if number < 2:
        raise UsageError(
            f"A budget of {budget} steps is too small to compare anything.",
            next_command=f"--budget {sum(_plan(2, loads)) * steps} or more",
        )
    return number


def candidates_of(agent: str, identifier: str, number: int) -> list[Parameters]:
    """So many parameter sets, or all there are, spread over the ranges; always the same."""
    if agent == "fixed":
        return [{"replicas": count} for count in _counts(identifier, number)]
    ranges = _RANGES[agent]
    points = qmc.Sobol(len(ranges), scramble=True, rng=np.random.default_rng(0))
    shares = points.random_base2(int(np.ceil(np.log2(number))))[:number]
    return [
        _finished({name: one.at(at) for (name, one), at in zip(ranges.items(), row, strict=True)})
        for row in shares.tolist()
    ]


def _counts(identifier: str, number: int) -> list[int]:
    """So many numbers of replicas, from the least to the most; all where there is room for all."""
    controls = find_definition(identifier).controls
    if len(controls) != 1:
        raise UsageError(
            f"{identifier} has the controls {', '.join(controls)}, and 'fixed' keeps one.",
            next_command="name an environment with one control",
        )
    ((_, control),) = controls.items()
    apart = np.linspace(control.low, control.high, min(number, control.high - control.low + 1))
    return [int(count) for count in apart.round()]


def _finished(parameters: Parameters) -> Parameters:
    share = parameters.pop("low_share", None)
    return parameters if share is None else {**parameters, "low": parameters["high"] * share}


class _Search:
    """Plays candidates, and remembers what they came to."""

    def __init__(
        self,
        agent: str,
        arenas: Sequence[Arena],
        seeds: Sequence[int],
        workers: int,
        of: int,
        progress: Callable[[int, int], None],
    ) -> None:
        self.steps = 0
        """Environment steps so far."""
        self._agent = agent
        self._arenas = arenas
        self._seeds = seeds
        self._workers = workers
        self._of = of
        self._progress = progress
        self._over = 0
        self._rewards: dict[int, dict[tuple[int, int], float]] = {}

    def play(
        self, candidates: Sequence[Parameters], chosen: Sequence[int], first: int, last: int
    ) -> None:
        """Let the chosen candidates play every load on the seeds from ``first`` to ``last``."""
        keys = [
            (number, place, seed)
            for number in chosen
            for place in range(len(self._arenas))
            for seed in self._seeds[first:last]
        ]
        bouts = [
            Bout(
                self._arenas[place],
                Case(index, Contestant(self._agent, candidates[number]), seed),
            )
            for index, (number, place, seed) in enumerate(keys)
        ]
        for bout, result in play_bouts(bouts, workers=self._workers):
            number, place, seed = keys[bout.case.index]
            self._rewards.setdefault(number, {})[place, seed] = result.reward
            self.steps += result.steps
            self._over += 1
            self._progress(self._over, self._of)

    def mean(self, number: int) -> float:
        """The mean reward of a candidate."""
        rewards = self._rewards[number]
        return float(np.mean([rewards[key] for key in sorted(rewards)]))
