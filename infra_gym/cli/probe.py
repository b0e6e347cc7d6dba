"""``infra-gym probe``: measure a live environment, so that its twin can be calibrated to it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from infra_gym.cli.options import (
    BudgetUsd,
    Environment,
    Identifier,
    Interval,
    Project,
    Target,
    Yes,
)
from infra_gym.cli.output import Output, command
from infra_gym.errors import UsageError

_STEPS = 60  # infra_gym.evaluation.probe.STEPS, not imported so that --help stays quick


def register(app: typer.Typer) -> None:
    """Add ``probe`` to the program."""
    command(app, "probe")(probe)


def probe(
    output: Output,
    identifier: Identifier,
    target: Target = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The run log.",
            show_default="./runs/ID-probe-TIME.jsonl",
            dir_okay=False,
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(min=1, help="The staircase is stretched over so many.")
    ] = _STEPS,
    interval: Interval = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides the arrivals.")] = 1,
    project: Project = None,
    environment: Environment = None,
    budget_usd: BudgetUsd = None,
    yes: Yes = False,
) -> None:
    """Climb a staircase of load and replicas on a live environment, then destroy everything.

    The run log is what `infra-gym calibrate` reads. Ctrl-C ends the probe and destroys everything;
    the log up to then can be used.
    """
    from infra_gym.cli.consent import may_spend
    from infra_gym.cli.dashboard import choose
    from infra_gym.cli.episode import Episode
    from infra_gym.cli.play import Play, make_folder, stop_at_once
    from infra_gym.cli.signals import Signals
    from infra_gym.definitions.catalog import find_definition
    from infra_gym.environments.make import make
    from infra_gym.environments.place import Place
    from infra_gym.evaluation.probe import OpenLoop, Probe, plan_probe

    definition = find_definition(identifier)

    def planned(place: Place) -> Probe:
        return plan_probe(
            definition, interval_s=place.interval_s, time_scale=place.time_scale, steps=steps
        )

    path = out or Path("runs") / f"{definition.id}-probe-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    # Making an environment touches nothing: this one tells its clock, which the load depends on.
    place = make(
        identifier, target=target, project=project, environment=environment, interval_s=interval  # type: ignore[arg-type]  # the settings check it
    ).place  # fmt: skip
    if place.target == "sim":
        raise UsageError(
            "A probe measures a live environment; the target sim is what it calibrates.",
            next_command=f"infra-gym probe {definition.named} --target local",
        )
    spend = may_spend(
        output,
        identifier,
        target=place.target,
        yes=yes,
        project=place.project,
        environment=place.environment,
        interval_s=place.interval_s,
        budget_usd=budget_usd,
    )
    staircase = planned(place)
    episode = Episode(definition)
    view = choose(output, episode, steps)
    env = make(
        identifier,
        target=place.target,
        project=place.project,
        environment=place.environment,
        interval_s=place.interval_s,
        workload=staircase.workload,
        budget_usd=budget_usd,
        spend_money=spend,
        action="absolute",
        log=path,
        on_event=view.on_event,
    )
    make_folder(path.parent)
    output.note(
        f"{steps} steps of {place.interval_s:g} s: about {_duration(staircase.seconds)}. "
        "Ctrl-C ends it earlier."
    )
    title = f"{definition.id} on {place.target}, {place.project}/{place.environment}, probe"
    with Signals() as signals:
        play = Play(
            env, OpenLoop(staircase.replicas), episode, view, signals,
            steps=steps, seed=seed, keep=False,
        )  # fmt: skip
        try:
            with view.open(title):
                play.run()
        finally:
            if signals.times > 1:
                stop_at_once(output, play)
    document = {
        "id": definition.id,
        "target": place.target,
        "steps": episode.steps,
        "ended": episode.ended,
        "seed": seed,
        "log": path,
    }
    output.result(
        document,
        f"{episode.steps} of {steps} steps were measured ({episode.ended}). Run log: {path}",
        f"Next: infra-gym calibrate {path}",
    )
    if signals.first is not None:
        raise typer.Exit(128 + signals.first)


def _duration(seconds: float) -> str:
    """``5 min 10 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
