"""From episodes to the tables of a benchmark. Pure: the same episodes give the same tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from infra_gym.evaluation.results import (
    Cell,
    Difference,
    Entrant,
    Episodes,
    Estimate,
    Front,
    Noise,
    Scores,
)
from infra_gym.evaluation.statistics import (
    Interval,
    holm,
    interval,
    paired_p_value,
    pareto_front,
)

Array = NDArray[np.float64]

_MEASURES = ("reward", "cost_usd", "slo_share")


class Table:
    """The numbers of all episodes.

    Args:
        episodes: Of every load, agent and member.
        agents: In their order.
        workloads: In their order.
    """

    def __init__(
        self, episodes: Sequence[Episodes], agents: Sequence[str], workloads: Sequence[str]
    ) -> None:
        self.agents = list(agents)
        self.workloads = list(workloads)
        self._rows: dict[tuple[str, str], list[Episodes]] = {}
        for row in sorted(episodes, key=lambda one: one.member):
            self._rows.setdefault((row.workload, row.agent), []).append(row)

    def of(self, measure: str, workload: str, agent: str) -> Array:
        """Shape (members, seeds)."""
        rows = self._rows[workload, agent]
        return np.array([getattr(row, measure) for row in rows], dtype=np.float64)

    def difference(self, measure: str, workload: str, agent: str, reference: str) -> Array:
        """An agent minus the mean of another's members, shape (members, seeds)."""
        other = self.of(measure, workload, reference).mean(axis=0)
        return np.asarray(self.of(measure, workload, agent) - other)


def score(
    episodes: Sequence[Episodes], agents: Mapping[str, Entrant], workloads: Sequence[str]
) -> Scores:
    """The tables.

    Args:
        episodes: Of every load, agent and member, each with as many seeds.
        agents: In their order; the first is what the others are compared with.
        workloads: In their order.
    """
    table = Table(episodes, [*agents], workloads)
    scopes: list[str | None] = [*workloads]
    if len(scopes) > 1:
        scopes.append(None)
    cells = tuple(_cell(table, scope, agent) for scope in scopes for agent in agents)
    return Scores(
        results=cells,
        differences=_differences(table, scopes),
        pareto=tuple(
            Front(
                workload=scope,
                agents=tuple(
                    pareto_front(
                        {
                            cell.agent: (cell.cost_usd, cell.slo_share)
                            for cell in cells
                            if cell.workload == scope and not agents[cell.agent].repeats
                        }
                    )
                ),
            )
            for scope in scopes
        ),
        noise=tuple(
            _noise(table, workload, agent, entrant.repeats)
            for workload in workloads
            for agent, entrant in agents.items()
            if entrant.repeats
        ),
    )


def _cell(table: Table, scope: str | None, agent: str) -> Cell:
    loads = table.workloads if scope is None else [scope]
    by_measure = {name: [table.of(name, load, agent) for load in loads] for name in _MEASURES}
    means = {
        name: float(np.mean([each.mean() for each in values]))
        for name, values in by_measure.items()
    }
    return Cell(
        workload=scope,
        agent=agent,
        episodes=sum(each.size for each in by_measure["reward"]),
        reward_mean=means["reward"],
        reward_iqm=_estimate(interval(by_measure["reward"])),
        cost_usd=means["cost_usd"],
        slo_share=means["slo_share"],
    )


def _differences(table: Table, scopes: Sequence[str | None]) -> tuple[Difference, ...]:
    reference, *others = table.agents
    found: list[Difference] = []
    for agent in others:
        p_values = [
            paired_p_value(table.difference("reward", load, agent, reference).mean(axis=0))
            for load in table.workloads
        ]
        corrected = holm(p_values)
        for place, scope in enumerate(scopes):
            loads = table.workloads if scope is None else [scope]
            estimates = {
                name: _estimate(
                    interval(
                        [table.difference(name, load, agent, reference) for load in loads],
                        robust=False,
                    )
                )
                for name in _MEASURES
            }
            found.append(
                Difference(
                    workload=scope,
                    agent=agent,
                    **estimates,
                    p_value=None if scope is None else p_values[place],
                    p_holm=None if scope is None else corrected[place],
                )
            )
    return tuple(found)


def _noise(table: Table, workload: str, agent: str, repeats: str) -> Noise:
    spread = {
        name: table.difference(name, workload, agent, repeats).mean(axis=0) for name in _MEASURES
    }
    pairs = len(spread["reward"])
    return Noise(
        workload=workload,
        agent=repeats,
        pairs=pairs,
        **{
            name: float(values.std(ddof=1)) if pairs > 1 else 0.0 for name, values in spread.items()
        },
    )


def _estimate(found: Interval) -> Estimate:
    return Estimate(value=found.value, low=found.low, high=found.high)
