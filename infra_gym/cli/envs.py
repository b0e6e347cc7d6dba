"""``infra-gym envs``: the environments' definitions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra_gym.cli.options import Identifier
from infra_gym.cli.output import Output, command, mark, plain, styled, table
from infra_gym.cli.own import own_folder, reminder
from infra_gym.errors import DefinitionError, UsageError

if TYPE_CHECKING:
    from infra_gym.definitions.models import Definition

app = typer.Typer(help="List, show, check and make environments.", no_args_is_help=True)

_Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        help="Where to write it; default: envs beside infra-gym.toml.",
        show_default=False,
    ),
]


@command(app, "list")
def list_(output: Output) -> None:
    """List the environments: the package's own, and those of ./envs beside infra-gym.toml."""
    from infra_gym.definitions.catalog import definition_ids
    from infra_gym.environments.registration import SIMULATED

    listed = [_listed(identifier) for identifier in definition_ids()]
    listed += [_simulated(identifier) for identifier in SIMULATED]
    output.result(
        listed,
        table(
            "ID",
            "TARGETS",
            "SUMMARY",
            rows=[
                (
                    one["id"],
                    ", ".join(one["targets"]),
                    one["summary"] or f"Broken. Next: infra-gym envs validate {one['id']}",
                )
                for one in listed
            ],
        ),
    )


def _listed(identifier: str) -> dict[str, Any]:
    """A line of the list; a broken file must not hide the others."""
    from infra_gym.definitions.catalog import find_definition

    try:
        one = find_definition(identifier)
    except DefinitionError as error:
        return {"id": identifier, "summary": None, "targets": [], "problem": error.message}
    return {
        "id": one.id,
        "summary": one.summary,
        "targets": sorted(one.interval_s),
        "problem": None,
    }


def _simulated(identifier: str) -> dict[str, Any]:
    """A line for an environment that is a simulator and has no definition."""
    import gymnasium as gym
    from gymnasium.envs.registration import load_env_creator

    text = load_env_creator(str(gym.spec(identifier).entry_point)).__doc__ or ""
    summary = text.strip().partition("\n")[0]
    return {"id": identifier, "summary": summary, "targets": ["sim"], "problem": None}


@command(app, "show")
def show(output: Output, identifier: Identifier) -> None:
    """Show one environment: layers, controls, observations, rewards."""
    from infra_gym.definitions.catalog import find_definition
    from infra_gym.environments.registration import SIMULATED

    if identifier in SIMULATED:
        raise UsageError(
            f"{identifier} is a simulator without a definition.",
            next_command=f'read its page, docs/reference/{identifier}.md, or help(gym.make("'
            f'{identifier}").unwrapped)',
        )
    definition = find_definition(identifier)
    output.result(
        definition,
        styled("bold", definition.id, f"  {definition.summary}"),
        f"At most {definition.max_episode_steps} steps. "
        f"SLO: {definition.slo.share:.0%} of requests within {definition.slo.latency_s:g} s.",
        *_tables(definition),
    )


def _tables(definition: Definition) -> list[Any]:
    targets = [
        (
            target,
            f"{seconds:g} s",
            f"x{definition.scale(target):g}",
            " > ".join(definition.layers.get(target, ())) or "simulated",
        )
        for target, seconds in definition.interval_s.items()
    ]
    controls = [
        (name, f"{one.layer}.{one.input}", one.low, one.high, one.initial, _action(one.action))
        for name, one in definition.controls.items()
    ]
    observations = [
        (index, one.name, _unit(definition, one.metric), one.low, one.high)
        for index, one in enumerate(definition.observations)
    ]
    return [
        table("TARGET", ">STEP", ">TIME SCALE", "LAYERS", rows=targets),
        table("CONTROL", "SETS", ">LOW", ">HIGH", ">INITIAL", "ACTION", rows=controls),
        table(">#", "OBSERVATION", "UNIT", ">LOW", ">HIGH", rows=observations),
        table("REWARD TERM", definition.reward_unit.upper(), rows=definition.rewards.items()),
    ]


def _action(action: Any) -> str:
    steps = (f"{step:+d}" if step else "0" for step in getattr(action, "delta", ()))
    return ", ".join(steps) or "absolute"


def _unit(definition: Definition, name: str) -> str:
    metric = definition.metrics.get(name)
    return metric.unit if metric else ""


@command(app, "validate")
def validate(
    output: Output,
    identifiers: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Ids or YAML files; default: all."),
    ] = None,
) -> None:
    """Check definitions: form, names, expressions, and that layers and simulator fit them."""
    from infra_gym.cli.wiring import check_wiring
    from infra_gym.definitions.catalog import definition_ids

    checked, problems = [], []
    for identifier in identifiers or definition_ids():
        try:
            checked.append(check_wiring(identifier).id)
        except DefinitionError as error:
            problems.append(error.message)
    if problems:
        raise DefinitionError("\n".join(problems))
    output.result({"valid": checked}, *(mark(True).append(f" {one}", "default") for one in checked))


@command(app, "new")
def new(
    output: Output,
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Such as MyApp-v0.")],
    folder: _Folder = None,
) -> None:
    """Write a commented definition to start from."""
    from infra_gym.definitions.scaffold import new_definition

    place = folder or own_folder("envs")
    path = new_definition(identifier, place)
    output.result(
        {"id": identifier, "path": path},
        f"Wrote {path}. Next: edit it, then infra-gym envs validate {path}",
        *reminder(place),
    )


@command(app, "dashboard")
def dashboard(output: Output, identifier: Identifier) -> None:
    """Print a Grafana dashboard of an environment's metrics, to import it."""
    import json

    from infra_gym.definitions.catalog import find_definition
    from infra_gym.metrics import grafana

    document = grafana.dashboard(find_definition(identifier))
    output.result(document, json.dumps(document, indent=1))


@command(app, "schema")
def schema(output: Output) -> None:
    """Print the JSON Schema of a definition, for editors."""
    import json

    from infra_gym.definitions.schema import json_schema

    document = json_schema()
    output.result(document, json.dumps(plain(document), indent=2))
