"""Whether a simulator ranks agents as a live target does: two benchmarks of the same cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra_gym.errors import UnknownNameError, UsageError
from infra_gym.evaluation.results import Results
from infra_gym.evaluation.scores import Table
from infra_gym.evaluation.statistics import Interval, rank_correlation

MEASURES = ("reward", "cost_usd", "slo_share")


@dataclass(frozen=True)
class Transfer:
    """How two benchmarks agree.

    Attributes:
        agents: Those that both have, repeats left out.
        cells: How many pairs of an agent and a seed were compared.
        correlations: Spearman's rank correlation over these cells, of each measure.
        means: Of each agent, the mean reward in the one and in the other.
    """

    agents: tuple[str, ...]
    cells: int
    correlations: dict[str, Interval | None]
    means: dict[str, tuple[float, float]]


def transfer(one: Results, other: Results, workload: str) -> Transfer:
    """Compare two benchmarks under one load, cell by cell.

    Raises:
        UsageError: They are of different environments, loads, arrivals or lengths, or have fewer
            than two agents in common.
    """
    for each in (one, other):
        if workload not in each.workloads:
            raise UnknownNameError("workload", workload, each.workloads)
    for what, left, right in (
        ("environment", one.id, other.id),
        ("steps", one.steps, other.steps),
        ("seeds", one.seeds, other.seeds),
        ("action", one.action, other.action),
        ("arrivals", one.workloads[workload], other.workloads[workload]),
    ):
        if left != right:
            raise UsageError(f"The two benchmarks have different {what}: {left} and {right}.")
    agents = [
        label
        for label, entrant in one.agents.items()
        if entrant.repeats is None
        and label in other.agents
        and other.agents[label].members == entrant.members
    ]
    if len(agents) < 2:
        raise UsageError("The two benchmarks have fewer than two agents in common.")
    tables = [Table(each.episodes, agents, [workload]) for each in (one, other)]

    def cells(table: Table, measure: str) -> list[float]:
        rows = [table.of(measure, workload, agent).mean(axis=0) for agent in agents]
        return [float(each) for each in np.concatenate(rows)]

    rewards = {agent: [t.of("reward", workload, agent).mean() for t in tables] for agent in agents}
    return Transfer(
        agents=tuple(agents),
        cells=len(agents) * len(one.seeds),
        correlations={
            measure: rank_correlation(*(cells(table, measure) for table in tables))
            for measure in MEASURES
        },
        means={agent: (float(left), float(right)) for agent, (left, right) in rewards.items()},
    )
