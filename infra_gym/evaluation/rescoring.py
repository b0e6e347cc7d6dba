"""A live benchmark's episodes, scored again from their run logs.

What was measured is taken from the log; what it cost and what it was worth is computed anew by the
definition, and the rewards that the log has must be the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from infra_gym.cost import Meter
from infra_gym.definitions.models import Definition
from infra_gym.errors import ResultsError, UsageError
from infra_gym.evaluation.arena import Arena
from infra_gym.evaluation.benchmark import Place, Plan
from infra_gym.evaluation.entrants import file_sha256
from infra_gym.evaluation.results import Results
from infra_gym.expressions import Expression
from infra_gym.recording import Episode, Step, read_run

MEASURES = ("steps", "reward", "cost_usd", "requests", "slo_share")
"""What is compared of each episode."""

Numbers = Mapping[str, float]

_TOLERANCE = 1e-9


def same(one: Any, other: Any) -> bool:
    """Whether two numbers differ by at most a billionth of themselves, or two others not at all."""
    if isinstance(one, bool) or not isinstance(one, int | float):
        return bool(one == other)
    return isinstance(other, int | float) and math.isclose(one, other, rel_tol=_TOLERANCE)


def rescored(
    found: Results, definition: Definition, folder: Path, progress: Callable[[int, int], None]
) -> dict[Place, tuple[str, Numbers]]:
    """The schedule's hash and the numbers of every episode.

    Args:
        found: The benchmark.
        definition: The environment.
        folder: Where the benchmark's file lies.
        progress: Called with the episodes that are scored, and of how many.

    Raises:
        ResultsError: A log is missing, was changed, or does not fit.
    """
    plan = Plan(
        Arena(found.id, "sim", "", None),
        definition,
        found.agents,
        {name: load.parameters for name, load in found.workloads.items()},
        found.seeds,
    )
    logs = {log.workload: log for log in found.logs}
    fresh: dict[Place, tuple[str, Numbers]] = {}
    places = plan.places()
    for workload in found.workloads:
        if workload not in logs:
            raise ResultsError(f"workload {workload}: its run log is not named in the file")
        own = [place for place in places if place.workload == workload]
        episodes = _recorded(folder / logs[workload].path, logs[workload].sha256, definition, found)
        if len(episodes) != len(own):
            raise ResultsError(
                f"workload {workload}: the log has {len(episodes)} episodes, the file {len(own)}"
            )
        for place, episode in zip(own, episodes, strict=True):
            name = found.agents[place.agent].members[place.member].name
            played = (episode.reset.info.get("agent"), episode.reset.seed)
            if played != (name, place.seed):
                raise ResultsError(
                    f"{place}: in the log it is the episode of {played[0]}, seed {played[1]}"
                )
            fresh[place] = episode.reset.schedule_sha256, _rescored(definition, episode)
            progress(len(fresh), len(places))
    return fresh


def _recorded(path: Path, sha256: str, definition: Definition, found: Results) -> list[Episode]:
    try:
        there = file_sha256(path)
        if there != sha256:
            raise ResultsError(
                f"{path} was changed after it was written: its SHA-256 is {there}, and the file "
                f"says {sha256}"
            )
        run = read_run(path)
    except UsageError as error:
        raise ResultsError(error.message, next_command=error.next_command) from error
    for what, one, other in (
        ("environment", run.header.id, definition.id),
        ("target", run.header.target, found.target),
    ):
        if one != other:
            raise ResultsError(f"{path} is of {what} {one}, and the file of {other}")
    return run.episodes


def _rescored(definition: Definition, episode: Episode) -> Numbers:
    terms = {name: Expression(text) for name, text in definition.rewards.items()}
    meter = Meter(definition.prices)
    sums = dict.fromkeys(("reward", "cost_usd", "requests", "within_slo"), 0.0)
    for step in episode.steps:
        metrics = _metrics(definition, meter, step)
        reward = sum(term.evaluate(metrics) for term in terms.values())
        if not same(step.reward, reward):
            raise ResultsError(
                f"seed {episode.reset.seed}, step {step.step}: the log's reward is "
                f"{step.reward!r}, what it measured gives {reward!r}"
            )
        sums["reward"] += reward
        for name in ("cost_usd", "requests", "within_slo"):
            sums[name] += metrics[name]
    requests = sums["requests"]
    return {
        "steps": len(episode.steps),
        "reward": sums["reward"],
        "cost_usd": sums["cost_usd"],
        "requests": requests,
        "slo_share": sums["within_slo"] / requests if requests else math.nan,
    }


def _metrics(definition: Definition, meter: Meter, step: Step) -> dict[str, float]:
    """What was measured, and the cost of the replicas that there were.

    Raises:
        ResultsError: Something that is counted was not measured.
    """
    metrics = dict(step.metrics)
    needed = (*definition.replica_controls, "interval_s", "requests", "within_slo")
    missing = [name for name in needed if name not in metrics]
    if missing:
        raise ResultsError(f"step {step.step}: the log has no {', '.join(missing)}")
    replicas = sum(int(metrics[name]) for name in definition.replica_controls)
    return metrics | {"cost_usd": meter.cost_usd(replicas, metrics["interval_s"])}
