"""``infra-gym benchmark``: agents under the same loads, with statistics, in one file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra_gym.cli.counting import counting
from infra_gym.cli.options import (
    Action,
    Environment,
    Identifier,
    Project,
    SearchBudget,
    Steps,
    Yes,
)
from infra_gym.cli.output import Output, command, table
from infra_gym.cli.signals import Signals
from infra_gym.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from infra_gym.agents.tuned import Tuned
    from infra_gym.evaluation.benchmark import Place, Plan
    from infra_gym.evaluation.evaluate import Result
    from infra_gym.evaluation.results import Difference, Estimate, Log, Results

_ENVIRONMENT = "SimpleK8sWebApp-v0"
_SEEDS, _LIVE_SEEDS = 100, 5
_MODELS = 10
"""Trainings of one agent that an interval should have seen."""
_TIMES = 3
"""How often a live episode that could not be measured is played again: one of many must not cost
all others."""


def register(app: typer.Typer) -> None:
    """Add ``benchmark`` to the program."""
    command(app, "benchmark")(benchmark)


def benchmark(
    output: Output,
    identifier: Identifier = _ENVIRONMENT,
    agents: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Names, NAME:FILE, NAME:tuned (searched first), models, folders of models of one "
            "agent; the others are compared with the first.",
            show_default="tuned and untuned rules",
        ),
    ] = None,
    workloads: Annotated[
        str | None,
        typer.Option(
            metavar="W,...",
            help="constant, daily, bursty, flash_crowd, ramp, trace: the held-out ones; own: the "
            "environment's.",
            show_default="all held-out ones; own, if it is no web app",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Of each agent under each load.",
            show_default=f"{_SEEDS}, or {_LIVE_SEEDS} on a live target",
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Where the results go, as JSON.", dir_okay=False),
    ] = Path("benchmark.json"),
    steps: Steps = None,
    target: Annotated[
        str,
        typer.Option(metavar="sim|local|k8s|do", help="Where they play; it must be said if live."),
    ] = "sim",
    clock: Annotated[
        str | None,
        typer.Option(
            metavar="local|k8s|do",
            help="In the simulator, steps as on this target, to compare with it cell by cell.",
            show_default=False,
        ),
    ] = None,
    project: Project = None,
    environment: Environment = None,
    action: Action = None,
    budget: SearchBudget = 200_000,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes at once in the simulator; stacks at once, by Ray, on a live target.",
            show_default="as many as cores; one stack",
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Compare agents under the same arrivals: means, intervals, differences, what cannot be beaten.

    On a live target the episodes come in a random order, the first agent plays all seeds twice, and
    the run logs are kept. `infra-gym validate FILE` checks the results.
    """
    from infra_gym.cli.consent import may_spend
    from infra_gym.evaluation.arena import Arena
    from infra_gym.evaluation.benchmark import Plan, find_definition_of, find_workloads, results_of
    from infra_gym.evaluation.entrants import again, default_agents, entrants
    from infra_gym.evaluation.processes import cores
    from infra_gym.evaluation.tuning import tune
    from infra_gym.workloads.splits import loads_of

    began_at = datetime.now(UTC)
    definition = find_definition_of(identifier)
    loads = find_workloads(definition, _names("--workloads", workloads))
    arena = Arena.find(
        identifier,
        target=target,  # type: ignore[arg-type]  # the settings check it
        project=project,
        environment=environment,
        action=action.value if action else None,
        steps=steps,
        clock=clock,  # type: ignore[arg-type]  # the environment checks it
    )
    if arena.target == "do":
        spend = may_spend(output, identifier, target="do", yes=yes, times=workers or 1)
        arena = replace(arena, spend_money=spend)
    if out.is_dir():
        raise UsageError(f"--out {out}: a folder", next_command=f"--out {out}/benchmark.json")
    wanted = seeds or (_LIVE_SEEDS if arena.is_live else _SEEDS)

    def tuned(rule: str) -> Tuned:
        with counting(output, f"Searching {rule}") as told:
            return tune(
                rule, identifier, budget=budget, workers=_processes(arena.is_live), progress=told
            )

    def _processes(is_live: bool) -> int:
        return cores() if is_live or workers is None else workers

    named = _names("--agents", agents) or default_agents(definition, arena.target)
    found = entrants(named, tuned)
    for name, each in found.items():
        if 1 < len(each.members) < _MODELS:
            output.note(
                f"{name} was trained {len(each.members)} times: below {_MODELS}, its interval says "
                "little of what another training comes to."
            )
    if arena.is_live:
        label, entrant = again(*next(iter(found.items())))
        found[label] = entrant
    plan = Plan(arena, definition, found, loads, loads_of("held_out").seeds(wanted))
    played: dict[Place, Result]
    logs: list[Log] = []
    lost: list[str] = []
    if arena.is_live:
        played, logs, lost = _live(output, plan, out, workers)
    else:
        from infra_gym.evaluation.benchmark import play_simulated

        with counting(output, "Playing episodes") as told:
            played = play_simulated(plan, workers=_processes(is_live=False), progress=told)
    results = results_of(plan, played, began_at=began_at, logs=logs, lost=lost)
    results.write(out)
    output.result(
        {
            **results.model_dump(mode="json", exclude={"episodes", "workloads", "sha256"}),
            "file": out,
        },
        *_shown(results),
        f"Results: {out}",
        f"Next: infra-gym validate {out}",
    )


def _names(option: str, text: str | None) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"{option} names nothing", next_command=f"{option} hpa,threshold")
    return names


def _live(
    output: Output, plan: Plan, out: Path, workers: int | None
) -> tuple[dict[Place, Result], list[Log], list[str]]:
    """Play on a live target, one load after another; whatever happens, all is destroyed.

    Returns:
        The results, the run logs, and in words what was played again.
    """
    from infra_gym.cli.evaluate import play_cases, team_of
    from infra_gym.evaluation.benchmark import log_of, shuffled
    from infra_gym.evaluation.logs import Logs

    found: dict[Place, Result] = {}
    logs: list[Log] = []
    lost: list[str] = []
    for workload, arena in plan.arenas().items():
        path = out.with_name(f"{out.stem}-{workload}.jsonl")
        writer = Logs(path, workers=False)
        order = list(shuffled(plan, workload))
        by_index = {case.index: place for place, case in order}
        played: list[Any] = []
        ended = "failed"
        with Signals() as signals:
            try:
                cases = [case for _, case in order]
                team = team_of(output, arena, workers, None, times=_TIMES)
                play_cases(output, team, cases, played, writer, signals)
                ended = "closed" if signals.first is None else "stopped by a signal"
            finally:
                writer.close(ended)
        if signals.first is not None:
            raise typer.Exit(128 + signals.first)
        found |= {by_index[one.case.index]: one.result for one in played}
        lost += [text for one in played for text in one.lost]
        logs.append(log_of(path, workload, out.parent))
    return found, logs, lost


def _shown(results: Results) -> Iterator[Table | str]:
    first = next(iter(results.agents))
    fronts = {front.workload: front.agents for front in results.pareto}
    differences = {(one.workload, one.agent): one for one in results.differences}
    for workload in fronts:
        rows = []
        for cell in results.results:
            if cell.workload != workload:
                continue
            rows.append(
                (
                    cell.agent,
                    f"{cell.reward_mean:.4f}",
                    _interval(cell.reward_iqm),
                    f"{cell.cost_usd:.4f}",
                    f"{100 * cell.slo_share:.3f}",
                    *_compared(differences.get((workload, cell.agent))),
                    "yes" if cell.agent in fronts[workload] else "",
                )
            )
        columns = (
            *("AGENT", ">REWARD", ">MIDDLE HALF, 95 % INTERVAL", ">COST $", ">WITHIN SLO %"),
            *(f">REWARD AGAINST {first}", ">p (HOLM)", "FRONT"),
        )
        title = workload or "all loads"
        yield table(*columns, rows=rows, title=f"{title}, {len(results.seeds)} seeds")
    for noise in results.noise:
        yield (
            f"{noise.workload}: {noise.agent} against itself, standard deviation over "
            f"{noise.pairs} pairs: reward {noise.reward:.4g}, cost {noise.cost_usd:.4g} $, share "
            f"{100 * noise.slo_share:.3g} %"
        )


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"


def _compared(difference: Difference | None) -> Sequence[str]:
    if difference is None:
        return "", ""
    p_value = "" if difference.p_holm is None else f"{difference.p_holm:.2g}"
    return _interval(difference.reward), p_value
