"""``infra-gym evaluate``: agents on declared seeds, here or on many machines."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra_gym.cli.options import (
    Action,
    AnyIdentifier,
    Calibration,
    Environment,
    Fidelity,
    Project,
    Randomise,
    Steps,
    Target,
    Yes,
)
from infra_gym.cli.output import Output, command, table
from infra_gym.cli.signals import Signals
from infra_gym.cli.variables import pairs, value
from infra_gym.errors import InfraGymError, UsageError, did_you_mean

if TYPE_CHECKING:
    from infra_gym.evaluation.arena import Arena
    from infra_gym.evaluation.evaluate import Case, Contestant, Played, Team
    from infra_gym.evaluation.logs import Logs
    from infra_gym.evaluation.summary import Estimate, Summary

_EPISODES = 10
_MOST_SEEDS = 1_000_000


def register(app: typer.Typer) -> None:
    """Add ``evaluate`` to the program."""
    command(app, "evaluate")(evaluate)


def evaluate(
    output: Output,
    identifier: AnyIdentifier,
    agent: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,NAME...]", help="Who plays; repeatable.", show_default="hpa"),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[AGENT.]NAME=VALUE", help="An agent's, such as hpa.target=0.6; repeatable."
        ),
    ] = None,
    episodes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of each agent.",
            show_default=f"as many as --seeds names, else {_EPISODES}",
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Such as 1-20, or 3,5,8-10.", show_default="1 and on"),
    ] = None,
    steps: Steps = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="So many environments at once, as Ray actors.",
            show_default="one, in this process",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A Ray cluster's, HOST:PORT or auto, for --workers.",
            show_default="RAY_ADDRESS, else Ray is started on this machine",
        ),
    ] = None,
    target: Target = None,
    project: Project = None,
    environment: Environment = None,
    action: Action = None,
    fidelity: Fidelity = None,
    calibration: Calibration = None,
    randomise: Randomise = False,
    log: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The run log of all episodes; each worker's lies beside it.",
            show_default="./runs/ID-TIME.jsonl",
            dir_okay=False,
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Let agents play the same episodes, and tell how they did: means, and how sure they are.

    The same seeds give the same results with any number of workers, where the target is sim. A
    lost worker is replaced, and what it had made is destroyed. Ctrl-C destroys everything and tells
    what was played; once more stops at once.
    """
    from infra_gym.cli.compiling import compiling
    from infra_gym.cli.consent import may_spend
    from infra_gym.evaluation.arena import Arena
    from infra_gym.evaluation.evaluate import cases_of
    from infra_gym.evaluation.logs import Logs

    if ray is not None and workers is None:
        raise UsageError(
            "--ray: how many workers?", next_command=f"add --workers N, such as --ray {ray} "
            "--workers 8",
        )  # fmt: skip
    chosen = seeds_of(seeds, episodes)
    cases = cases_of(_contestants(agent or ["hpa"], parameter or ()), chosen)
    arena = Arena.find(
        identifier,
        target=target,  # type: ignore[arg-type]  # the settings check it
        project=project,
        environment=environment,
        action=action.value if action else None,
        fidelity=fidelity.value if fidelity else None,
        calibration=calibration,
        randomise=randomise,
        steps=steps,
    )
    if arena.has_log and arena.target == "do":
        spend = may_spend(output, identifier, target="do", yes=yes, times=workers or 1)
        arena = replace(arena, spend_money=spend)
    name = Path(identifier.replace(":", "-")).stem
    path = log or Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    logs = Logs(path if arena.has_log else None, workers=workers is not None)
    played: list[Played] = []
    began = time.perf_counter()
    ended = "failed"
    here = arena.target == "sim" and workers is None
    with Signals() as signals, compiling(output.note, simulated=here):
        try:
            play_cases(output, team_of(output, arena, workers, ray), cases, played, logs, signals)
            ended = _ended(signals)
        finally:
            written = logs.close(ended)
    seconds = time.perf_counter() - began
    document = {
        "id": identifier,
        "target": arena.target,
        "project": arena.project,
        "environment": arena.environment,
        "workers": workers,
        "seeds": chosen,
        "seconds": seconds,
        "log": written,
        **_results(played),
    }
    output.result(document, *_shown(document))
    if signals.first is not None:
        raise typer.Exit(128 + signals.first)


def team_of(
    output: Output, arena: Arena, workers: int | None, address: str | None, *, times: int = 0
) -> Team:
    """Who plays: this process, or so many workers of a Ray cluster.

    Args:
        output: For what is to be told.
        arena: Which environment.
        workers: How many; ``None``: this process.
        address: Of the cluster.
        times: How often this process plays an episode again that could not be measured.
    """
    if workers is None:
        from infra_gym.evaluation.evaluate import Alone

        return Alone(arena, times=times)
    from infra_gym.distributed.crew import Crew

    output.note(f"Starting {workers} workers.")
    return Crew(arena, workers=workers, address=address, verbose=output.debug)


def play_cases(
    output: Output,
    team: Team,
    cases: Sequence[Case],
    played: list[Played],
    logs: Logs,
    signals: Signals,
) -> None:
    """Play until all is played or a signal comes, and destroy everything whatever happened."""
    failure: InfraGymError | None = None
    try:
        with contextlib.suppress(KeyboardInterrupt), contextlib.closing(team.play(cases)) as games:
            for one in games:
                played.append(one)
                logs.add(one)
                for text in one.lost:
                    output.note(text)
                output.note(_progress(one, len(played), len(cases)))
                if signals.times:  # an exception is lost where Python ignores exceptions
                    break
    except InfraGymError as error:
        failure = error
        raise
    finally:
        _close(output, team, signals, failure)


def _close(output: Output, team: Team, signals: Signals, failure: InfraGymError | None) -> None:
    """Destroy; one signal does not stop that, the second does."""
    signals.on_again = team.interrupt
    doing = "Destroying what was made; once more stops at once."
    if signals.first is not None:
        output.note(doing)
    try:
        with signals.patience(lambda: output.note(doing)):
            team.close()
    except InfraGymError as error:
        if failure is None:
            raise
        output.note(str(error))  # the first failure is the one to be told last
    except KeyboardInterrupt:
        left = team.left()
        if not left:
            raise
        raise KeyboardInterrupt(
            f"Stopped at once; this may be left: {', '.join(left)}\n"
            "Next: infra-gym layers destroy -e NAME for each, with -p for the project"
        ) from None


def _contestants(agents: Sequence[str], parameters: Sequence[str]) -> list[Contestant]:
    """The agents, each with the parameters that are named for it, or for the only one."""
    from infra_gym.evaluation.evaluate import Contestant

    names = [name.strip() for text in agents for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError("--agent names nobody", next_command="--agent hpa,threshold")
    given: dict[str, dict[str, Any]] = {name: {} for name in names}
    example = f"{names[0]}.target=0.6"
    for key, text in pairs("--parameter", parameters, example=example).items():
        agent, _, name = key.rpartition(".")
        whose = agent or (names[0] if len(names) == 1 else "")
        if whose not in given:
            raise UsageError(
                f"--parameter {key}: whose is it?{did_you_mean(agent, names)}",
                next_command=f"write AGENT.NAME=VALUE, such as --parameter {example}",
            )
        given[whose][name] = value(text)
    return [Contestant(name, given[name]) for name in names]


def seeds_of(text: str | None, episodes: int | None) -> list[int]:
    """The seeds that ``--seeds`` names, or 1, 2, 3 and on.

    Raises:
        UsageError: It is no list of seeds, or it names another number than ``--episodes``.
    """
    if text is None:
        return list(range(1, (episodes or _EPISODES) + 1))
    seeds = [seed for part in text.split(",") for seed in _range(part.strip(), text)]
    if episodes is not None and episodes != len(seeds):
        raise UsageError(
            f"--seeds {text} names {len(seeds)} seeds, and --episodes wants {episodes}: each "
            "episode of an agent has a seed of its own",
            next_command="leave --episodes out",
        )
    return seeds


def _range(part: str, text: str) -> range:
    first, dash, last = part.partition("-")
    if first.isdecimal() and (last.isdecimal() or not dash):
        low, high = int(first), int(last or first)
        if low <= high < low + _MOST_SEEDS:
            return range(low, high + 1)
    raise UsageError(
        f"--seeds {text!r}: {part!r} is neither a seed nor a range of seeds",
        next_command="write whole numbers from 0, and ranges upwards: --seeds 1-20 or 3,5,8-10",
    )


def _ended(signals: Signals) -> str:
    return "closed" if signals.first is None else f"stopped by {_signal(signals.first)}"


def _signal(number: int) -> str:
    return signal.Signals(number).name


def _progress(one: Played, number: int, of: int) -> str:
    result = one.result
    return (
        f"{number}/{of}  {result.agent}, seed {result.seed}: reward {result.reward:.6g} in "
        f"{result.steps} steps, {result.ended} (worker {result.worker})"
    )


def _results(played: Sequence[Played]) -> dict[str, Any]:
    """The results in the evaluation's order, and their summary."""
    from infra_gym.evaluation.summary import summarise

    results = [one.result for one in sorted(played, key=lambda one: one.case.index)]
    return {
        "agents": summarise(results),
        "episodes": results,
        "lost": [text for one in played for text in one.lost],
    }


def _shown(document: dict[str, Any]) -> Iterator[Any]:
    summaries: list[Summary] = document["agents"]
    if not summaries:
        yield "No episode was played to its end."
        return
    columns = {"REWARD": "reward", "COST $": "cost_usd", "WITHIN SLO %": "slo_share"}
    there = {
        title: field
        for title, field in columns.items()
        if any(getattr(one, field) for one in summaries)
    }
    headings = [heading for title in there for heading in (f">{title}", ">95 % INTERVAL")]
    rows = [
        (
            one.agent,
            one.episodes,
            one.steps,
            *(
                cell
                for field in there.values()
                for cell in _cells(getattr(one, field), 100.0 if field == "slo_share" else 1.0)
            ),
        )
        for one in summaries
    ]
    yield table("AGENT", ">EPISODES", ">STEPS", *headings, rows=rows)
    if document["log"] is not None:
        yield f"Run log: {document['log']}"


def _cells(estimate: Estimate | None, scale: float) -> tuple[str, str]:
    if estimate is None:
        return "", ""
    mean, low, high = (
        "" if number is None else f"{number * scale:.5g}"
        for number in (estimate.mean, estimate.low, estimate.high)
    )
    return mean, f"{low} to {high}" if low else ""
