"""The benchmark: every agent under every load on every seed.

All agents meet the same arrivals: the schedule of a load and a seed is the same for each, and a
difference between two agents is taken seed by seed. In simulators the episodes are spread over the
cores. On a live target they are played one after another in a random order, so that what changes on
the machine in the meantime hits all alike, and the first agent plays every seed twice: what differs
between these two is noise, and a difference between agents has to stand out from it.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from infra_gym.definitions.catalog import find_definition
from infra_gym.definitions.models import Definition
from infra_gym.errors import UsageError, WorldError
from infra_gym.evaluation.arena import Arena
from infra_gym.evaluation.entrants import contestants
from infra_gym.evaluation.evaluate import Case, Result
from infra_gym.evaluation.processes import Bout, play_bouts
from infra_gym.evaluation.results import Entrant, Episodes, Load, Log, Results
from infra_gym.evaluation.scores import score
from infra_gym.workloads.splits import Split, complete, loads_of

SPLIT: Split = "held_out"
OWN = "own"
"""The name of the environment's own load."""

_PACKAGES = ("infra-gym", "gymnasium", "numpy", "numba", "scipy", "statsmodels")


@dataclass(frozen=True)
class Plan:
    """What is to be played.

    Attributes:
        arena: The environment.
        definition: Its definition.
        agents: In their order: the first is what the others are compared with.
        workloads: The parameters of each load.
        seeds: Of the arrivals, the same for every load and agent.
    """

    arena: Arena
    definition: Definition
    agents: Mapping[str, Entrant]
    workloads: Mapping[str, Mapping[str, Any]]
    seeds: Sequence[int]

    def arenas(self) -> dict[str, Arena]:
        """One for each load."""
        return {name: self.arena.under(complete(load)) for name, load in self.workloads.items()}

    def places(self) -> list[Place]:
        """Every episode, in the order in which their numbers are kept."""
        return [
            Place(workload, agent, member, seed)
            for workload in self.workloads
            for agent, entrant in self.agents.items()
            for member in range(len(entrant.members))
            for seed in self.seeds
        ]

    def case(self, index: int, place: Place) -> Case:
        """The episode of a place."""
        contestant = contestants(self.agents[place.agent])[place.member]
        return Case(index, contestant, place.seed)


@dataclass(frozen=True)
class Place:
    """Whose episode: a load, an agent, one of its members, a seed."""

    workload: str
    agent: str
    member: int
    seed: int


def find_workloads(
    definition: Definition, names: Sequence[str] | None
) -> dict[str, Mapping[str, Any]]:
    """The held-out loads by their names, or ``own``.

    Without names: all of them for the web app that they were made for, else ``own``.

    Raises:
        UnknownNameError: There is no such load.
    """
    if not names and definition.simulator != "webapp":
        names = [OWN]
    others = [name for name in names or () if name != OWN]
    found: dict[str, Mapping[str, Any]] = {}
    chosen = loads_of(SPLIT).chosen(others) if others or not names else {}
    for name in names or chosen:
        found[name] = _own(definition) if name == OWN else chosen[name]
    return found


def _own(definition: Definition) -> dict[str, Any]:
    return definition.workload.model_dump(mode="json", exclude_none=True)


def find_definition_of(identifier: str) -> Definition:
    """The definition of an environment that can be benchmarked.

    Raises:
        UnknownNameError: There is no such environment.
        UsageError: It is no stack of layers, so it has no loads.
    """
    import gymnasium as gym

    from infra_gym.definitions.catalog import definition_ids

    if identifier in gym.registry and identifier not in definition_ids():
        raise UsageError(
            f"{identifier} is no web service under load: it has no workloads to compare under.",
            next_command=f"infra-gym evaluate {identifier} --agent NAME,NAME",
        )
    return find_definition(identifier)


def play_simulated(
    plan: Plan, *, workers: int, progress: Callable[[int, int], None]
) -> dict[Place, Result]:
    """Play all episodes in simulators.

    Args:
        plan: What is to be played.
        workers: Processes at once.
        progress: Called with the episodes that are over, and of how many.

    Raises:
        InfraGymError: An episode failed.
    """
    arenas, places = plan.arenas(), plan.places()
    bouts = [
        Bout(arenas[place.workload], plan.case(index, place)) for index, place in enumerate(places)
    ]
    found: dict[Place, Result] = {}
    for bout, result in play_bouts(bouts, workers=workers):
        found[places[bout.case.index]] = result
        progress(len(found), len(places))
    return found


def shuffled(plan: Plan, workload: str) -> Generator[tuple[Place, Case], None, None]:
    """The episodes under one load, interleaved at random; the seeds decide the order."""
    places = [place for place in plan.places() if place.workload == workload]
    rng = np.random.default_rng([len(places), *plan.seeds])
    for index in rng.permutation(len(places)).tolist():
        yield places[index], plan.case(index, places[index])


def results_of(
    plan: Plan,
    played: Mapping[Place, Result],
    *,
    began_at: datetime,
    logs: Sequence[Log] = (),
    lost: Sequence[str] = (),
) -> Results:
    """The results of a plan whose episodes were all played.

    Raises:
        WorldError: Agents met different arrivals, or something was not measured.
    """
    episodes = [
        _episodes(plan, played, workload, agent, member)
        for workload in plan.workloads
        for agent, entrant in plan.agents.items()
        for member in range(len(entrant.members))
    ]
    workloads = {
        name: Load(parameters=dict(load), schedules=_schedules(plan, played, name))
        for name, load in plan.workloads.items()
    }
    definition = plan.definition
    return Results(
        id=plan.arena.identifier,
        target=plan.arena.target,
        clock=plan.arena.clock,
        action=plan.arena.action,
        steps=plan.arena.steps or definition.max_episode_steps,
        definition_sha256=definition_sha256(definition),
        reward_unit=definition.reward_unit,
        split=SPLIT,
        seeds=tuple(plan.seeds),
        workloads=workloads,
        agents=dict(plan.agents),
        episodes=tuple(episodes),
        **dict(score(episodes, plan.agents, [*plan.workloads])),
        logs=tuple(logs),
        played_again=tuple(lost),
        versions=versions(),
        machine={"platform": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count()},
        began_at=began_at.isoformat(timespec="seconds"),
        seconds=round((datetime.now(UTC) - began_at).total_seconds(), 1),
    ).sealed()


def definition_sha256(definition: Definition) -> str:
    """Of a definition's content; a run log's header has the same."""
    return sha256(definition.model_dump_json().encode()).hexdigest()


def versions() -> dict[str, str]:
    """Of what the numbers depend on."""
    found = {"python": sys.version.split()[0]}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def log_of(path: Path, workload: str, folder: Path) -> Log:
    """A run log as the results name it."""
    relative = os.path.relpath(path, folder)
    return Log(
        workload=workload,
        path=Path(relative).as_posix(),
        sha256=sha256(path.read_bytes()).hexdigest(),
    )


def _episodes(
    plan: Plan, played: Mapping[Place, Result], workload: str, agent: str, member: int
) -> Episodes:
    results = [played[Place(workload, agent, member, seed)] for seed in plan.seeds]
    for one in results:
        if one.cost_usd is None or one.requests is None or one.slo_share is None:
            raise WorldError(
                f"{agent} under {workload}, seed {one.seed}: cost, requests or SLO share were not "
                "measured, so it cannot be compared."
            )
    return Episodes(
        workload=workload,
        agent=agent,
        member=member,
        steps=tuple(one.steps for one in results),
        reward=tuple(one.reward for one in results),
        cost_usd=tuple(one.cost_usd or 0.0 for one in results),
        requests=tuple(one.requests or 0.0 for one in results),
        slo_share=tuple(one.slo_share or 0.0 for one in results),
    )


def _schedules(plan: Plan, played: Mapping[Place, Result], workload: str) -> tuple[str, ...]:
    by_seed: dict[int, set[str]] = {}
    for place, result in played.items():
        if place.workload == workload:
            by_seed.setdefault(place.seed, set()).add(str(result.schedule_sha256))
    for seed, hashes in by_seed.items():
        if len(hashes) != 1:
            raise WorldError(f"{workload}, seed {seed}: the agents met different arrivals.")
    return tuple(by_seed[seed].pop() for seed in plan.seeds)
