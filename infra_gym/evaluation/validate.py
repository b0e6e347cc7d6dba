"""Whether the file of a benchmark says what was.

Nothing in it is believed: its hash, its form (every agent under every load on every seed, held-out
loads and seeds as the package has them), its tables, which are computed anew from its episodes, and
its episodes. Those of a simulator are *played again*. Those of a live target cannot be; they are
*scored again* from the run logs: costs and rewards are computed anew from what was measured.

A number may differ by a billionth of itself, for another machine's last bit. What nothing depends
on cannot be checked: when and where it was played, how the parameters of a tuned rule were found,
and, of a live one, with which parameters a rule played.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra_gym.agents.model_file import read as read_model
from infra_gym.definitions.models import Definition
from infra_gym.errors import ResultsError
from infra_gym.evaluation.arena import Arena
from infra_gym.evaluation.benchmark import (
    OWN,
    SPLIT,
    Place,
    Plan,
    definition_sha256,
    find_definition_of,
    find_workloads,
    play_simulated,
    versions,
)
from infra_gym.evaluation.entrants import file_sha256
from infra_gym.evaluation.evaluate import Result
from infra_gym.evaluation.rescoring import MEASURES, Numbers, rescored, same
from infra_gym.evaluation.results import Entrant, Episodes, Results, Scores
from infra_gym.evaluation.scores import score
from infra_gym.workloads.splits import loads_of


@dataclass(frozen=True)
class Verdict:
    """A file that holds.

    Attributes:
        how: ``played again`` or ``scored again from the recordings``.
        episodes: How many.
        notes: What differs here from where it was made, and could not matter.
    """

    how: str
    episodes: int
    notes: tuple[str, ...]


def validate(
    found: Results,
    folder: Path,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Verdict:
    """Check a benchmark's file as :func:`infra_gym.evaluation.results.read_results` read it.

    Args:
        found: The file's content.
        folder: Where it lies; run logs and models are looked for from there.
        workers: Processes at once.
        progress: Called with the episodes that are checked, and of how many.

    Raises:
        ResultsError: It does not hold; names the cell and both numbers.
    """
    definition = find_definition_of(found.id)
    notes = [*_differences(found, definition)]
    try:
        _check_words(found, definition)
        _check_form(found, definition)
        _check_tables(found)
        if found.target == "sim":
            fresh = _played(found, definition, folder, workers, progress)
            how = "played again"
        else:
            fresh = rescored(found, definition, folder, progress)
            how = "scored again from the recordings"
        _check_episodes(found, fresh)
    except ResultsError as error:
        if notes:
            raise ResultsError(
                f"{error.message}\nPerhaps because {'; '.join(notes)}.",
                next_command=error.next_command,
            ) from error
        raise
    return Verdict(how, len(fresh), tuple(notes))


def _differences(found: Results, definition: Definition) -> Iterable[str]:
    here = versions()
    for name in sorted({*found.versions, *here}):
        there, now = found.versions.get(name), here.get(name)
        if there != now:
            yield f"it was made with {name} {there or '(none)'}, and here is {now or 'none'}"
    if found.definition_sha256 != definition_sha256(definition):
        yield f"{found.id} was another definition then"


def _check_words(found: Results, definition: Definition) -> None:
    for name, there, now in (
        ("split", found.split, SPLIT),
        ("reward_unit", found.reward_unit, definition.reward_unit),
    ):
        if there != now:
            raise ResultsError(f"{name}: the file has {there}, and it is {now}")
    if found.target == "sim" and (found.logs or found.played_again):
        raise ResultsError("logs, played_again: a simulator has none")


def _check_form(found: Results, definition: Definition) -> None:
    loads = find_workloads(definition, [*found.workloads])
    for name, load in found.workloads.items():
        if load.parameters != dict(loads[name]):
            whose = "the environment's" if name == OWN else f"the package's for {found.split}"
            raise ResultsError(
                f"workload {name}: the file has {load.parameters}, {whose} is {dict(loads[name])}"
            )
        if len(load.schedules) != len(found.seeds):
            raise ResultsError(f"workload {name}: as many schedules as seeds are needed")
    expected = [*loads_of("held_out").seeds(len(found.seeds))]
    if [*found.seeds] != expected:
        raise ResultsError(
            f"seeds: the file has {found.seeds[0]} to {found.seeds[-1]} ({len(found.seeds)}), the "
            f"held-out ones are {expected[0]} to {expected[-1]}"
        )
    keys = [(row.workload, row.agent, row.member) for row in found.episodes]
    wanted = [
        (workload, agent, member)
        for workload in found.workloads
        for agent, entrant in found.agents.items()
        for member in range(len(entrant.members))
    ]
    if sorted(keys) != sorted(wanted):
        odd = sorted({*keys} ^ {*wanted}) or sorted({key for key in keys if keys.count(key) > 1})
        raise ResultsError(f"episodes: {odd[0]} is missing, too many, or unknown")
    for row in found.episodes:
        for name in MEASURES:
            if len(getattr(row, name)) != len(found.seeds):
                raise ResultsError(f"{_cell(row)}: as many {name} as seeds are needed")
    for label, entrant in found.agents.items():
        _check_entrant(label, entrant, found)


def _check_entrant(label: str, entrant: Entrant, found: Results) -> None:
    first = entrant.members[0]
    if entrant.tuned and (entrant.tuned.agent, entrant.tuned.parameters) != (
        first.name,
        first.parameters,
    ):
        raise ResultsError(
            f"agent {label}: it was tuned to {entrant.tuned.parameters}, and played with "
            f"{first.parameters}"
        )
    if entrant.repeats is not None:
        repeated = found.agents.get(entrant.repeats)
        if repeated is None or repeated.members != entrant.members:
            raise ResultsError(f"agent {label}: it is not {entrant.repeats} again")


def _check_tables(found: Results) -> None:
    fresh = score(found.episodes, found.agents, [*found.workloads])
    there, now = found.model_dump(mode="json"), fresh.model_dump(mode="json")
    for name in Scores.model_fields:
        for place, written, given in _leaves(there[name], now[name], name):
            if not same(written, given):
                raise ResultsError(
                    f"{place}: the file says {written!r}, its episodes give {given!r}"
                )


def _leaves(one: Any, other: Any, place: str) -> Generator[tuple[str, Any, Any], None, None]:
    if isinstance(one, dict) and isinstance(other, dict):
        here = [str(one[key]) for key in ("workload", "agent") if one.get(key) is not None]
        where = f"{place} ({', '.join(here)})" if here else place
        for name in one:
            yield from _leaves(one[name], other.get(name), f"{where}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for left, right in zip(one, other, strict=True):
            yield from _leaves(left, right, place)
    else:
        yield place, one, other


def _check_episodes(found: Results, fresh: Mapping[Place, tuple[str, Numbers]]) -> None:
    for row in found.episodes:
        for index, seed in enumerate(found.seeds):
            sha256, numbers = fresh[Place(row.workload, row.agent, row.member, seed)]
            schedule = found.workloads[row.workload].schedules[index]
            if sha256 != schedule:
                raise ResultsError(
                    f"workload {row.workload}, seed {seed}: the file's arrivals have the hash "
                    f"{schedule}, those here {sha256}"
                )
            for name in MEASURES:
                there, now = getattr(row, name)[index], numbers[name]
                if not same(there, now):
                    raise ResultsError(
                        f"{_cell(row)}, seed {seed}, {name}: the file says {there!r}, and it is "
                        f"{now!r}"
                    )


def _cell(row: Episodes) -> str:
    member = f" (member {row.member})" if row.member else ""
    return f"agent {row.agent}{member}, workload {row.workload}"


def _played(
    found: Results,
    definition: Definition,
    folder: Path,
    workers: int,
    progress: Callable[[int, int], None],
) -> dict[Place, tuple[str, Numbers]]:
    arena = Arena.find(
        found.id,
        target="sim",
        action=found.action,
        steps=found.steps,
        clock=found.clock,  # type: ignore[arg-type]  # the environment refuses what is none
    )
    agents = {label: _at_hand(label, each, folder) for label, each in found.agents.items()}
    workloads = {name: load.parameters for name, load in found.workloads.items()}
    plan = Plan(arena, definition, agents, workloads, found.seeds)
    played = play_simulated(plan, workers=workers, progress=progress)
    return {place: (str(each.schedule_sha256), _numbers(each)) for place, each in played.items()}


def _numbers(result: Result) -> Numbers:
    return {name: getattr(result, name) for name in MEASURES}


def _at_hand(label: str, entrant: Entrant, folder: Path) -> Entrant:
    """The same with its models where they lie here.

    Raises:
        ResultsError: A model is missing, or is another one.
    """
    members = []
    for member in entrant.members:
        if member.sha256 is None:
            members.append(member)
            continue
        near = [path for path in (folder / member.name, Path(member.name)) if path.is_file()]
        if not near:
            raise ResultsError(
                f"agent {label}: its model {member.name} is not here, so it cannot play again.",
                next_command=f"put it into {folder}, or run this where it lies",
            )
        if file_sha256(near[0]) != member.sha256:
            raise ResultsError(
                f"agent {label}: {near[0]} is another model: its SHA-256 is "
                f"{file_sha256(near[0])}, and the file says {member.sha256}"
            )
        steps = read_model(near[0]).document.steps
        if member.steps not in (None, steps):
            raise ResultsError(
                f"agent {label}: {near[0]} was trained with {steps} steps, and the file says "
                f"{member.steps}"
            )
        members.append(member.model_copy(update={"name": str(near[0])}))
    return entrant.model_copy(update={"members": tuple(members)})
