"""``infra-gym calibrate``: fit the twin to run logs, or search a rule's parameters in the twin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra_gym.cli.counting import counting
from infra_gym.cli.options import Processes, SearchBudget
from infra_gym.cli.output import Output, command, table
from infra_gym.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from infra_gym.environments.calibration import Calibration, Held


_ENVIRONMENT = "SimpleK8sWebApp-v0"


def register(app: typer.Typer) -> None:
    """Add ``calibrate`` to the program."""
    command(app, "calibrate")(calibrate)


def calibrate(
    output: Output,
    logs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="LOG...",
            help="Run logs of a probe, or of any live run; with --agent, an environment's id.",
            show_default=f"with --agent, {_ENVIRONMENT}",
        ),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Search the parameters of this rule instead: fixed, hpa, predictive, threshold.",
            show_default=False,
        ),
    ] = None,
    holdout: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="LOG",
            help="A run to predict and not to fit to, of another policy or load; repeatable.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Where the calibration, or the rule's parameters, go.",
            show_default="calibration.json, or AGENT.json",
            dir_okay=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides the chances of the fit.")] = 0,
    budget: SearchBudget = 200_000,
    workers: Processes = None,
) -> None:
    """Fit the simulator's parameters to run logs, and say how well it predicts other runs.

    Use it with `infra-gym run ID --target sim --calibration calibration.json`, or
    `gym.make(ID, target="sim", calibration="calibration.json")`.

    With --agent, search the parameters of a rule in the simulator, on the loads for tuning; use
    them with `--agent threshold:threshold.json` wherever an agent is named.
    """
    if agent is not None:
        if holdout or len(logs or ()) > 1:
            raise UsageError(
                "--agent takes an environment's id, and neither logs nor --holdout",
                next_command=f"infra-gym calibrate --agent {agent} {_ENVIRONMENT}",
            )
        identifier = str(logs[0]) if logs else _ENVIRONMENT
        _search(output, agent, identifier, out or Path(f"{agent}.json"), budget, workers)
        return
    if not logs:
        raise UsageError(
            "calibrate needs a run log, or --agent",
            next_command=f"infra-gym probe {_ENVIRONMENT} --target local, then "
            "infra-gym calibrate LOG",
        )
    out = out or Path("calibration.json")
    from infra_gym.cli.compiling import compiling
    from infra_gym.evaluation.calibrate import calibrate as fitted

    with compiling(output.note):
        found = fitted(logs, holdout=holdout or (), seed=seed, progress=output.note)
    found.write(out)
    output.result(
        {**found.model_dump(mode="json"), "calibration": out},
        _parameters(found),
        *(_predicted(path, one) for path, one in zip(_names(found), found.holdout, strict=True)),
        *_advice(found, out),
    )


def _search(
    output: Output, agent: str, identifier: str, out: Path, budget: int, workers: int | None
) -> None:
    from infra_gym.evaluation.processes import cores
    from infra_gym.evaluation.tuning import tune

    with counting(output, f"Searching {agent}") as told:
        found = tune(agent, identifier, budget=budget, workers=workers or cores(), progress=told)
    found.write(out)
    title = (
        f"{agent} for {found.id}: the best of {found.candidates} in {found.steps} steps, "
        f"mean reward {found.reward_mean:.4g}"
    )
    output.result(
        {**found.model_dump(mode="json"), "file": out},
        table("parameter", ">value", rows=found.parameters.items(), title=title),
        f"Use it with --agent {agent}:{out}",
    )


def _names(found: Calibration) -> list[str]:
    return [f"HELD OUT: seed {one.seed}, {one.workload['profile']} load" for one in found.holdout]


def _parameters(found: Calibration) -> Table:
    from infra_gym.simulators.webapp_parameters import WebAppParameters

    default = WebAppParameters()
    rows = [
        (
            name,
            getattr(found.parameters, name),
            f"{getattr(found.low, name):.4g} to {getattr(found.high, name):.4g}",
            getattr(default, name),
            "not seen in these logs: the default" if name in found.unseen else "",
        )
        for name in found.names
    ]
    title = f"{found.id} on {found.target}: {sum(one.steps for one in found.fitted_to)} steps"
    columns = ("parameter", ">estimate", f">{found.level:.0%} interval", ">default", "")
    return table(*columns, rows=rows, title=title)


def _predicted(title: str, held: Held) -> Table:
    rows = [
        (
            name,
            one.unit,
            one.measured,
            one.predicted,
            f"{one.low:.4g} to {one.high:.4g}",
            "yes" if one.low <= one.measured <= one.high else "no",
            one.mean_absolute_error,
            f"{one.coverage:.0%}",
        )
        for name, one in held.metrics.items()
    ]
    columns = (
        *("metric", "unit", ">measured", ">predicted", ">interval", "inside"),
        *(">error of a step", ">steps inside theirs"),
    )
    any_metric = next(iter(held.metrics.values()))
    steps = f"{any_metric.steps} steps"
    if any_metric.disturbed:
        steps += f"; {any_metric.disturbed} that were disturbed do not count"
    return table(*columns, rows=rows, title=f"{title}, {steps}")


def _advice(found: Calibration, out: Path) -> list[str]:
    lines = [f"Calibration: {out}"]
    if not found.holdout:
        lines.append(
            "Not checked on another run. Next: infra-gym calibrate LOG --holdout OTHER_LOG"
        )
    return lines
