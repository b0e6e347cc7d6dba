"""``infra-gym envs``: the environments' definitions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra_gym.cli.output import Output, command, mark, plain, styled, table
from infra_gym.cli.own import own_folder, reminder

if TYPE_CHECKING:
    from infra_gym.definitions.models import Definition

app = typer.Typer(help="List, show, check and make environments.", no_args_is_help=True)

_Id = Annotated[
    str, typer.Argument(metavar="ID", help="An environment's id, or the path of a YAML file.")
]
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
    from infra_gym.definitions.catalog import definition_ids, find_definition

    definitions = [find_definition(identifier) for identifier in definition_ids()]
    output.result(
        [
            {"id": one.id, "summary": one.summary, "targets": sorted(one.interval_s)}
            for one in definitions
        ],
        table(
            "ID",
            "TARGETS",
            "SUMMARY",
            rows=[(one.id, ", ".join(one.interval_s), one.summary) for one in definitions],
        ),
    )


@command(app, "show")
def show(output: Output, identifier: _Id) -> None:
    """Show one environment: layers, controls, observations, rewards."""
    from infra_gym.definitions.catalog import find_definition

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
        table("REWARD TERM", "DOLLARS", rows=definition.rewards.items()),
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
    """Check definitions: form, names, wiring, expressions, and that their layers exist."""
    from infra_gym.definitions.catalog import definition_ids, find_definition, find_layer

    checked = []
    for identifier in identifiers or definition_ids():
        definition = find_definition(identifier)
        for layers in definition.layers.values():
            for layer in layers:
                find_layer(layer)
        checked.append(definition.id)
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


@command(app, "schema")
def schema(output: Output) -> None:
    """Print the JSON Schema of a definition, for editors."""
    import json

    from infra_gym.definitions.schema import json_schema

    document = json_schema()
    output.result(document, json.dumps(plain(document), indent=2))
