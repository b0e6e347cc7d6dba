"""``infra-gym run``: one episode of one agent, shown as it goes; then everything is destroyed."""

from __future__ import annotations

import contextlib
import enum
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra_gym.cli.options import Environment, Project, Target
from infra_gym.cli.output import Output, command, table
from infra_gym.cli.signals import Interrupted, Signals
from infra_gym.cli.variables import pairs, value
from infra_gym.errors import InfraGymError

if TYPE_CHECKING:
    from infra_gym.agents import Agent
    from infra_gym.cli.dashboard import View
    from infra_gym.cli.episode import Episode
    from infra_gym.environments.env import InfraEnv
    from infra_gym.stack import Stack
    from infra_gym.workloads import Workload

_SUMMARY = {
    "steps": ("steps", ""),
    "ended": ("ended", ""),
    "reward": ("reward", "$"),
    "cost_usd": ("cost", "$"),
    "requests": ("requests", ""),
    "slo_share": ("within the SLO", "%"),
    "latency_p95_mean_s": ("latency p95, mean", "s"),
    "latency_p95_max_s": ("latency p95, max", "s"),
    "moves": ("moves", ""),
    "tick_jitter_p99_s": ("tick jitter p99", "s"),
    "apply_median_s": ("apply, median", "s"),
}


class ActionMode(enum.Enum):
    """What an action is: a change of the control, or its value."""

    DELTA = "delta"
    ABSOLUTE = "absolute"


def register(app: typer.Typer) -> None:
    """Add ``run`` to the program."""
    command(app, "run")(run)


def run(
    output: Output,
    identifier: Annotated[
        str, typer.Argument(metavar="ID", help="An environment's id, or the path of a YAML file.")
    ],
    agent: Annotated[str, typer.Option(help="random, fixed, threshold or hpa.")] = "hpa",
    parameter: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="The agent's; repeatable.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="At most so many.", show_default="all of the episode")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Decides the arrivals and the agent's chances.")
    ] = 1,
    target: Target = None,
    project: Project = None,
    environment: Environment = None,
    workload: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|KEY=VALUE,...",
            help="Another load: a profile's name, or mean_rps=80, or profile=sine,mean_rps=80.",
        ),
    ] = None,
    action: Annotated[
        ActionMode | None,
        typer.Option(help="What an action is; default: the definition's.", show_default=False),
    ] = None,
    interval: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Length of a step.", show_default=False)
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option(help="Stop when so much is spent.", show_default=False)
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option(help="Stop after so much time.", show_default=False)
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack up at the end.")] = False,
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
    from infra_gym.cli.dashboard import choose
    from infra_gym.cli.episode import Episode
    from infra_gym.definitions.catalog import find_definition
    from infra_gym.environments.make import make

    definition = find_definition(identifier)
    player = make_agent(
        agent, **{name: value(text) for name, text in pairs("--parameter", parameter or ()).items()}
    )
    path = log or Path("runs") / f"{definition.id}-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted = min(steps or definition.max_episode_steps, definition.max_episode_steps)
    episode = Episode(definition)
    view = choose(output, episode, wanted)
    env = make(
        identifier,
        target=target,  # type: ignore[arg-type]  # the settings check it
        project=project,
        environment=environment,
        interval_s=interval,
        workload=None if workload is None else _workload(workload, definition.workload),
        action=action.value if action else None,
        budget_usd=budget_usd,
        max_seconds=max_seconds,
        keep=keep,
        log=path,
        on_event=view.on_event,
    )
    place = {
        "target": env.place.target,
        "project": env.place.project,
        "environment": env.place.environment,
    }
    where = f"{env.place.project}/{env.place.environment}"
    title = f"{definition.id} on {env.place.target}, {where}, agent {agent}"
    with Signals() as signals, view.open(title):
        _live(env, player, episode, wanted, seed, view, signals, keep=keep)
    document = {
        "id": definition.id,
        **place,
        "agent": agent,
        "seed": seed,
        **episode.summary(),
        "kept": keep,
        "log": path,
    }
    output.result(document, *_summary(document))
    if signals.first is not None:
        raise typer.Exit(128 + signals.first)


def _live(
    env: InfraEnv,
    agent: Agent,
    episode: Episode,
    steps: int,
    seed: int,
    view: View,
    signals: Signals,
    *,
    keep: bool,
) -> None:
    """Play, and close the environment whatever happened."""
    try:
        with contextlib.suppress(KeyboardInterrupt):
            _play(env, agent, episode, steps, seed, view)
    finally:
        if signals.first is not None:
            episode.ended = f"stopped by {signal.Signals(signals.first).name}"
        _close(env, view, signals, keep=keep)


def _play(env: InfraEnv, agent: Agent, episode: Episode, steps: int, seed: int, view: View) -> None:
    view.phase("starting the stack")
    observation, info = env.reset(seed=seed)
    agent.reset(seed, env)
    view.phase("running")
    episode.begin(info)
    ended = f"after {steps} steps"
    while episode.steps < steps:
        observation, reward, terminated, truncated, info = env.step(agent.act(observation, info))
        episode.add(float(reward), info)
        view.stepped(float(reward))
        if terminated or truncated:
            ended = info.get("truncated_because", "terminated" if terminated else "truncated")
            break
    episode.ended = ended


def _close(env: InfraEnv, view: View, signals: Signals, *, keep: bool) -> None:
    """Destroy; one signal does not stop that, the second does."""
    doing = "leaving the stack up" if keep else "destroying"
    view.phase(doing)
    stack: Stack | None = getattr(env.world, "stack", None)
    if stack is not None:
        signals.on_again = stack.interrupt
    with (
        contextlib.suppress(KeyboardInterrupt),
        signals.patience(lambda: view.phase(f"{doing}; once more stops at once")),
    ):
        if signals.times < 2:
            env.close()
    if signals.times > 1:
        text = _left(env, stack) if stack is not None else None
        raise Interrupted(signals.first or signal.SIGINT, text)
    view.phase("done")


def _left(env: InfraEnv, stack: Stack) -> str:
    """What a run that was stopped at once leaves behind, and how to get rid of it."""
    lines = ["Stopped at once; not everything is destroyed."]
    with contextlib.suppress(InfraGymError):
        stack.release()
        found = stack.status()
        left = [f"{one.layer} ({one.status})" for one in found.layers if one.status != "absent"]
        lines.append(f"Left: {', '.join(left) or 'no layer'}; {found.processes} processes.")
    lines.append(
        f"Next: infra-gym layers destroy {env.definition.id} --target {env.place.target}"
        f" -p {env.place.project} -e {env.place.environment}"
    )
    return "\n".join(lines)


def _workload(text: str, declared: Workload) -> dict[str, Any]:
    """The load as ``--workload`` says: another profile, or the declared one with other numbers."""
    written = text if "=" in text else f"profile={text}"
    changed = {
        name: value(given) for name, given in pairs("--workload", written.split(",")).items()
    }
    profile = changed.get("profile", declared.profile)
    if profile == declared.profile:
        return {**declared.model_dump(exclude_none=True), **changed}
    if profile == "trace" or declared.mean_rps is None:
        return changed
    return {"mean_rps": declared.mean_rps, **changed}


def _summary(document: Mapping[str, Any]) -> list[Any]:
    rows = [
        (label, _number(document[key], unit), unit)
        for key, (label, unit) in _SUMMARY.items()
        if document[key] is not None
    ]
    terms = [
        (f"  {term}", _number(number, "$"), "$") for term, number in document["rewards"].items()
    ]
    place = 1 + [label for label, *_ in rows].index("reward")
    lines: list[Any] = [table("SUMMARY", ">", "", rows=[*rows[:place], *terms, *rows[place:]])]
    lines.append(f"Run log: {document['log']}")
    if document["kept"]:
        lines.append(
            f"The stack is still up. Next: infra-gym layers destroy {document['id']}"
            f" --target {document['target']} -p {document['project']} -e {document['environment']}"
        )
    return lines


def _number(number: Any, unit: str) -> str:
    if isinstance(number, Mapping):
        return ", ".join(f"{name} {count}" for name, count in number.items())
    if isinstance(number, float) and not (unit == "" and number.is_integer()):
        return f"{number * 100:.2f}" if unit == "%" else f"{number:.4f}"
    return f"{number:.0f}" if isinstance(number, float) else str(number)
