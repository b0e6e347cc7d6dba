"""``infra-gym run``: one episode of one agent, shown as it goes; then everything is destroyed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from infra_gym.cli.options import (
    Action,
    BudgetUsd,
    Calibration,
    Environment,
    Fidelity,
    Identifier,
    Interval,
    Project,
    Randomise,
    Steps,
    Target,
    Yes,
)
from infra_gym.cli.output import Output, command, table
from infra_gym.cli.signals import Signals
from infra_gym.cli.variables import pairs, value
from infra_gym.cli.workload import workload_of

_SUMMARY = {
    "steps": ("steps", ""),
    "ended": ("ended", ""),
    "reward": ("reward", ""),  # its unit is the definition's
    "cost_usd": ("cost", "$"),
    "billed_usd": ("billed, with start and teardown", "$"),
    "requests": ("requests", ""),
    "slo_share": ("within the SLO", "%"),
    "latency_p95_mean_s": ("latency p95, mean", "s"),
    "latency_p95_max_s": ("latency p95, max", "s"),
    "moves": ("moves", ""),
    "tick_jitter_p99_s": ("tick jitter p99", "s"),
    "apply_median_s": ("apply, median", "s"),
}


def register(app: typer.Typer) -> None:
    """Add ``run`` to the program."""
    command(app, "run")(run)


def run(
    output: Output,
    identifier: Identifier,
    agent: Annotated[
        str,
        typer.Option(
            help="random, fixed, threshold, hpa, predictive, oracle or knative, or the path of a "
            "trained model.zip."
        ),
    ] = "hpa",
    parameter: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="The agent's; repeatable.")
    ] = None,
    steps: Steps = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Decides the arrivals and the agent's chances.")
    ] = 1,
    target: Target = None,
    project: Project = None,
    environment: Environment = None,
    workload: Annotated[
        str | None,
        typer.Option(
            metavar="PROFILE|KEY=VALUE,...",
            help="Another load: sine, or mean_rps=80, or sine,mean_rps=80,amplitude=0.3.",
        ),
    ] = None,
    action: Action = None,
    interval: Interval = None,
    budget_usd: BudgetUsd = None,
    max_seconds: Annotated[
        float | None, typer.Option(help="Stop after so much time.", show_default=False)
    ] = None,
    fidelity: Fidelity = None,
    calibration: Calibration = None,
    randomise: Randomise = False,
    recording: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The run log that --target replay plays again.",
            show_default=False,
            dir_okay=False,
        ),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Leave the stack up at the end, unless a budget ended it."),
    ] = False,
    yes: Yes = False,
    log: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="The run log.", show_default="./runs/ID-TIME.jsonl", dir_okay=False
        ),
    ] = None,
) -> None:
    """Let an agent run an environment for one episode, then destroy everything.

    Ctrl-C ends the episode and destroys everything; once more stops at once and tells what is left.
    """
    from infra_gym.agents import make_agent
    from infra_gym.cli.compiling import compiling
    from infra_gym.cli.consent import may_spend
    from infra_gym.cli.dashboard import choose
    from infra_gym.cli.episode import Episode
    from infra_gym.cli.play import Play, make_folder, stop_at_once
    from infra_gym.cli.watch import watch
    from infra_gym.definitions.catalog import find_definition
    from infra_gym.environments.make import make
    from infra_gym.environments.registration import SIMULATED

    given = pairs("--parameter", parameter or (), example="target=0.6")
    player = make_agent(agent, **{name: value(text) for name, text in given.items()})
    if identifier in SIMULATED:
        watch(output, identifier, agent, player, steps=steps, seed=seed)
        return
    definition = find_definition(identifier)
    spend = may_spend(
        output,
        identifier,
        target=target,
        yes=yes,
        project=project,
        environment=environment,
        interval_s=interval,
        steps=steps,
        budget_usd=budget_usd,
    )
    path = log or Path("runs") / f"{definition.id}-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    wanted = min(steps or definition.max_episode_steps, definition.max_episode_steps)
    episode = Episode(definition)
    view = choose(output, episode, wanted)
    env = make(
        identifier,
        target=target,  # type: ignore[arg-type]  # the settings check it
        project=project,
        environment=environment,
        interval_s=interval,
        workload=None if workload is None else workload_of(workload, definition.workload),
        action=action.value if action else None,
        fidelity=fidelity.value if fidelity else None,
        calibration=calibration,
        randomise=randomise,
        recording=recording,
        budget_usd=budget_usd,
        max_seconds=max_seconds,
        spend_money=spend,
        keep=keep,
        log=path,
        log_info={"agent": agent},
        on_event=view.on_event,
    )
    make_folder(path.parent)
    stack = getattr(env.world, "stack", None)
    if stack is not None and (cluster := stack.cluster_named()):
        output.note(f"Cluster: {cluster}")
    where = f"{env.place.project}/{env.place.environment}"
    title = f"{definition.id} on {env.place.target}, {where}, agent {agent}"
    with Signals() as signals:
        play = Play(env, player, episode, view, signals, steps=wanted, seed=seed, keep=keep)
        try:
            is_simulated = env.place.target == "sim"
            with view.open(title), compiling(view.phase, simulated=is_simulated):
                play.run()
        finally:
            if signals.times > 1:
                stop_at_once(output, play)
    is_kept = keep and play.left() is not None
    document = {
        "id": definition.id,
        "target": env.place.target,
        "project": env.place.project,
        "environment": env.place.environment,
        "agent": agent,
        "seed": seed,
        **episode.summary(),
        "billed_usd": None if env.bill is None else env.bill.usd,
        "kept": is_kept,
        "log": path,
    }
    output.result(document, *_summary(document, "$" if definition.reward_unit == "USD" else ""))
    if is_kept:
        output.note(f"The stack is still up. Next: {play.destroy_command}")
    if signals.first is not None:
        raise typer.Exit(128 + signals.first)


def _summary(document: Mapping[str, Any], reward_unit: str) -> list[Any]:
    rows = [
        (label, _number(document[key], unit), unit)
        for key, (label, unit) in (_SUMMARY | {"reward": ("reward", reward_unit)}).items()
        if document[key] is not None
    ]
    terms = [
        (f"  {term}", _number(number, reward_unit), reward_unit)
        for term, number in document["rewards"].items()
    ]
    place = 1 + [label for label, *_ in rows].index("reward")
    return [
        table("SUMMARY", ">", "", rows=[*rows[:place], *terms, *rows[place:]]),
        f"Run log: {document['log']}",
    ]


def _number(number: Any, unit: str) -> str:
    if isinstance(number, Mapping):
        return ", ".join(f"{name} {count}" for name, count in number.items())
    if isinstance(number, float) and not (unit == "" and number.is_integer()):
        return f"{number * 100:.2f}" if unit == "%" else f"{number:.{6 if unit == '$' else 4}f}"
    return f"{number:.0f}" if isinstance(number, float) else str(number)
