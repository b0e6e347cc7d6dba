"""``infra-gym layers``: stacks of Terraform layers, without an agent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra_gym.cli.options import Environment, Project, Target, Yes
from infra_gym.cli.output import Output, command, mark, shown, styled, table
from infra_gym.cli.own import own_folder, reminder
from infra_gym.definitions.parts import short_name
from infra_gym.errors import (
    LayerFailedError,
    StackError,
    TerraformError,
    TerraformInterruptedError,
)

if TYPE_CHECKING:
    from datetime import datetime

    from rich.text import Text

    from infra_gym.cli.selection import Selection
    from infra_gym.settings import Settings
    from infra_gym.stack import Stack, StackStatus
    from infra_gym.terraform.documents import Applied, Plan
    from infra_gym.terraform.hcl import Variable

app = typer.Typer(
    help="Plan, apply, destroy and inspect stacks of Terraform layers.", no_args_is_help=True
)

_Names = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME...",
        help="An environment's id, maybe with some of its layers; or layers (PROVIDER/NAME).",
        show_default=False,
    ),
]
_SomeNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...",
        help="As for apply; not needed where -e names a stack.",
        show_default=False,
    ),
]
_Vars = Annotated[
    list[str] | None,
    typer.Option(
        "--var",
        metavar="NAME=VALUE",
        help="A layer's variable, JSON or text: replicas=3, or heater.replicas=3; repeatable.",
        show_default=False,
    ),
]
_SHOWN_CHANGES = 4
_Layer = Annotated[
    str, typer.Argument(metavar="LAYER", help="PROVIDER/NAME, such as local/heater.")
]


@command(app, "list")
def list_(output: Output) -> None:
    """List the layers: the package's own, and those of ./layers beside infra-gym.toml."""
    from infra_gym.definitions.catalog import find_layer, layer_names

    layers = [
        {"layer": name, "summary": _summary(find_layer(name)), "folder": find_layer(name)}
        for name in layer_names()
    ]
    output.result(
        layers, table("LAYER", "SUMMARY", rows=[(one["layer"], one["summary"]) for one in layers])
    )


def _summary(folder: Path) -> str:
    """The first sentence of the layer's README."""
    readme = folder / "README.md"
    if not readme.is_file():
        return ""
    lines = (line.strip() for line in readme.read_text(encoding="utf-8").splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")


@command(app, "show")
def show(output: Output, layer: _Layer) -> None:
    """Show a layer's variables and outputs."""
    from infra_gym.definitions.catalog import find_layer
    from infra_gym.terraform.hcl import read_module

    folder = find_layer(layer)
    module = read_module(folder)
    variables = module.variables.values()
    document = {
        "layer": layer,
        "summary": _summary(folder),
        "folder": folder,
        "variables": {one.name: _declaration(one) for one in variables},
        "outputs": {
            one.name: {"description": one.description, "sensitive": one.sensitive}
            for one in module.outputs.values()
        },
    }
    output.result(
        document,
        styled("bold", layer, f"  {_summary(folder)}"),
        table(
            "VARIABLE",
            "TYPE",
            "DEFAULT",
            "DESCRIPTION",
            rows=[
                (one.name, one.type, _default(one), one.description)
                for one in sorted(variables, key=lambda one: not one.required)
            ],
        ),
        table(
            "OUTPUT",
            "DESCRIPTION",
            rows=[(one.name, one.description) for one in module.outputs.values()],
        ),
    )


def _declaration(variable: Variable) -> dict[str, Any]:
    return {
        "type": variable.type,
        "description": variable.description,
        "required": variable.required,
        "default": None if variable.required else variable.default,
        "sensitive": variable.sensitive or variable.ephemeral,
    }


def _default(variable: Variable) -> str:
    return "required" if variable.required else shown(variable.default)


@command(app, "plan")
def plan(
    output: Output,
    names: _Names,
    var: _Vars = None,
    target: Target = None,
    project: Project = None,
    environment: Environment = None,
) -> None:
    """Show what an apply would do; touches nothing, needs no lock."""
    from infra_gym.cli.progress import shown as progress
    from infra_gym.cli.selection import select

    selection = select(names, project=project, environment=environment, target=target, new=True)
    inputs = selection.inputs(var or ())
    with progress(output, selection.command_layers) as on_event:
        plans = selection.stack(on_event).plan(selection.chosen, inputs)
    output.result(_document(selection, layers=plans), *_plans(plans))


@command(app, "apply")
def apply(
    output: Output,
    names: _Names,
    var: _Vars = None,
    target: Target = None,
    project: Project = None,
    environment: Environment = None,
    yes: Yes = False,
) -> None:
    """Apply a stack's layers, or some of them; after a failure, the same again resumes."""
    from infra_gym.cli.consent import agreed
    from infra_gym.cli.selection import select

    selection = select(names, project=project, environment=environment, target=target, new=True)
    inputs = selection.inputs(var or ())
    if agreed(output, selection.stack(), yes=yes, layers=selection.chosen, inputs=inputs):
        selection = selection.allowed_to_spend()
    output.note(f"Stack {selection.name} on target {selection.target}")
    with _working(output, selection, selection.command_layers) as stack:
        try:
            applied = stack.apply(selection.chosen, inputs=inputs)
        except LayerFailedError as error:
            _ask_again(error, inputs)
            raise
    output.result(
        _document(selection, layers={layer: _done(one) for layer, one in applied.items()}),
        *_applied(applied),
        f"To see it:     infra-gym layers status {selection.options}",
        f"To destroy it: infra-gym layers destroy {selection.options}",
    )


def _ask_again(error: LayerFailedError, inputs: Mapping[str, Mapping[str, Any]]) -> None:
    """Adds ``--var`` to what to type: the ledger keeps a value that was given, be it wrong."""
    layer = error.layer or ""
    given = "".join(f" --var {short_name(layer)}.{name}=..." for name in inputs.get(layer, ()))
    if given and error.next_command:
        error.next_command += given


@command(app, "destroy")
def destroy(
    output: Output,
    names: _SomeNames = None,
    target: Target = None,
    project: Project = None,
    environment: Environment = None,
    cluster_gone: Annotated[
        bool,
        typer.Option(
            "--cluster-gone",
            help="The Kubernetes cluster is gone for good: mark its layers destroyed, ask nothing.",
        ),
    ] = False,
) -> None:
    """Destroy a stack's layers, or some of them, in reverse order; the same again goes on."""
    from infra_gym.cli.selection import select

    selection = select(names or (), project=project, environment=environment, target=target)
    if cluster_gone:
        marked = selection.stack().mark_destroyed()
        output.result(
            _document(selection, destroyed=marked, ended_processes=()),
            f"Marked as destroyed: {', '.join(marked) or 'nothing'} of {selection.name}.",
        )
        return
    layers = tuple(reversed(selection.command_layers))
    with _working(output, selection, layers) as stack:
        status = stack.status()
        there = {one.layer for one in status.layers if one.status != "absent"}
        _refuse_to_undermine(status, layers, selection.options)
        ended = stack.destroy(selection.chosen)
    destroyed = [layer for layer in layers if layer in there]
    for process in ended:
        output.note(f"Ended a process that was left: {process}")
    output.result(
        _document(selection, destroyed=destroyed, ended_processes=ended),
        f"Destroyed {', '.join(destroyed)} of {selection.name}."
        if destroyed
        else f"There is nothing of {selection.name} to destroy.",
    )


def _refuse_to_undermine(status: StackStatus, layers: Sequence[str], options: str) -> None:
    """Refuse to destroy what layers that would stay were built on."""
    for one in status.layers:
        below = [layer for layer in one.uses if layer in layers]
        if below and one.layer not in layers:
            raise StackError(
                f"{one.layer} is up and uses {', '.join(below)}; nothing was destroyed.",
                next_command=f"infra-gym layers destroy {one.layer} {' '.join(layers)} {options}",
            )


@contextmanager
def _working(output: Output, selection: Selection, layers: Sequence[str]) -> Iterator[Stack]:
    """The stack, locked, with its progress shown; an interrupt says how to go on."""
    from infra_gym.cli.progress import shown as progress

    try:
        with progress(output, layers) as on_event:
            stack = selection.stack(on_event)
            if cluster := stack.cluster_named():
                output.note(f"Cluster: {cluster}")
            with stack:
                yield stack
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "Stopped; the stack is half done.\n"
            f"Next: the same command again, or: infra-gym layers destroy {selection.options}"
        ) from None


@command(app, "unlock")
def unlock(
    output: Output,
    names: _SomeNames = None,
    target: Target = None,
    project: Project = None,
    environment: Environment = None,
) -> None:
    """Free a stack from a run that you know to be dead, its Terraform state locks included."""
    from infra_gym.cli.selection import select

    selection = select(
        names or (), project=project, environment=environment, target=target, blank=True
    )
    holder = selection.stack().unlock()
    output.result(
        _document(selection, held_by=holder),
        f"Unlocked {selection.name}; it was held by {holder}."
        if holder
        else f"{selection.name} was not locked by a run.",
    )


@command(app, "output")
def output_(
    output: Output,
    names: _SomeNames = None,
    target: Target = None,
    project: Project = None,
    environment: Environment = None,
) -> None:
    """Print the outputs of a stack's layers; sensitive values are left out."""
    from infra_gym.cli.selection import select

    selection = select(names or (), project=project, environment=environment, target=target)
    stack = selection.stack()
    outputs = {layer: stack.outputs(layer) for layer in selection.command_layers}
    output.result(
        _document(selection, layers=outputs),
        *(
            f"{layer}.{name} = {shown(value)}"
            for layer, values in outputs.items()
            for name, value in values.items()
        ),
    )


@command(app, "status")
def status(
    output: Output,
    names: _SomeNames = None,
    target: Target = None,
    project: Project = None,
    environment: Environment = None,
) -> None:
    """Tell what is up, who works on it, and what a crash left; without names: all stacks."""
    from infra_gym.cli.selection import select
    from infra_gym.settings import load_settings

    settings = load_settings(project=project, environment=environment, target=target)
    if not names and settings.environment is None:
        _all_stacks(output, settings)
        return
    selection = select(names or (), project=project, environment=environment, target=target)
    found = selection.stack().status()
    output.result(
        found,
        styled(
            "bold",
            selection.name,
            _story(found),
        ),
        _holder(found),
        table(
            "LAYER",
            "STATUS",
            "SINCE",
            ">RESOURCES",
            "PROBLEM",
            rows=[
                (
                    one.layer,
                    f"{one.status}, terraform is running" if one.terraform_running else one.status,
                    _time(one.since),
                    one.resources,
                    one.problem,
                )
                for one in found.layers
            ],
        ),
    )


def _all_stacks(output: Output, settings: Settings) -> None:
    from infra_gym.cli.selection import stacks

    found = stacks(settings)
    rows = [
        (name, one.id or ", ".join(one.layers), one.target, _time(one.created), one.owner.user)
        for name, one in found.items()
    ]
    output.result(
        {"project": settings.project, "stacks": found},
        table("ENVIRONMENT", "ID", "TARGET", "MADE", "BY", rows=rows)
        if rows
        else f"No stack in project {settings.project}.",
    )


def _story(found: StackStatus) -> str:
    """What it is, and since and until when."""
    if found.created is None:
        return "  nothing is recorded of it"
    return (
        f"  {found.id or 'layers'} on {found.target}, made {_time(found.created)}, "
        f"{'expired' if found.expired else 'expires'} {_time(found.expires)}"
    )


def _holder(found: StackStatus) -> str | Text:
    if found.owner is None:
        return "No run holds it."
    if found.owner_alive:
        return f"Held by {found.owner}."
    return styled(
        "yellow", "Its run is gone:", f" {found.owner}. Next: apply or destroy takes it over."
    )


def _time(moment: datetime | None) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else ""


@command(app, "graph")
def graph(
    output: Output,
    names: _Names,
    target: Target = None,
    project: Project = None,
    environment: Environment = None,
) -> None:
    """Print the layers' dependencies in the DOT language: infra-gym layers graph ID | dot -Tsvg."""
    from infra_gym.cli.selection import select

    selection = select(names, project=project, environment=environment, target=target, new=True)
    dot = selection.stack().graph()
    output.result(_document(selection, dot=dot), dot.rstrip())


@command(app, "validate")
def validate(
    output: Output,
    layers: Annotated[
        list[str] | None, typer.Argument(metavar="[LAYER]...", help="Default: all.")
    ] = None,
) -> None:
    """Check layers' files with terraform validate and fmt.

    Exit code 1: something is wrong.
    """
    from infra_gym.definitions.catalog import layer_names

    problems = {layer: _problems(layer) for layer in layers or layer_names()}
    output.result(
        {"layers": problems},
        *(line for layer, found in problems.items() for line in _verdict(layer, found)),
    )
    if any(problems.values()):
        raise typer.Exit(1)


def _verdict(layer: str, problems: Sequence[str]) -> list[str | Text]:
    head = mark(not problems).append(f" {layer}", "default")
    return [head, *(f"  {line}" for one in problems for line in one.splitlines())]


def _problems(layer: str) -> list[str]:
    """What Terraform finds wrong with a copy of the layer; the layer itself stays as it is."""
    import shutil
    import tempfile

    from infra_gym.definitions.catalog import find_layer
    from infra_gym.settings import load_settings
    from infra_gym.terraform.command import Terraform

    source = find_layer(layer)
    terraform = Terraform(load_settings().binary)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / source.name
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
        try:
            unformatted = terraform.format_check(copy)
            terraform.init(copy)
            found = terraform.validate(copy)
        except TerraformInterruptedError:
            raise
        except TerraformError as error:
            return [error.message.replace(str(copy), str(source))]
        return [
            *(f"{name}: not formatted; next: terraform fmt {source}" for name in unformatted),
            *(one.text() for one in found),
        ]


@command(app, "new")
def new(
    output: Output,
    layer: _Layer,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            help="Where to write it; default: layers beside infra-gym.toml.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a commented layer to start from."""
    from infra_gym.definitions.scaffold import new_layer

    place = folder or own_folder("layers")
    path = new_layer(layer, place)
    output.result(
        {"layer": layer, "path": path},
        f"Wrote {path}. Next: edit it, then infra-gym layers validate {layer}",
        *reminder(place),
    )


def _document(selection: Selection, **parts: Any) -> dict[str, Any]:
    return {
        "project": selection.settings.project,
        "environment": selection.environment,
        "id": selection.definition.id if selection.definition else None,
        "target": selection.target,
        **parts,
    }


def _plans(plans: Mapping[str, Plan]) -> list[Any]:
    rows = [
        (layer, ", ".join(change.actions), change.address)
        for layer, one in plans.items()
        for change in one.changes
    ]
    adds = sum(one.adds for one in plans.values())
    modifies = sum(one.modifies for one in plans.values())
    removes = sum(one.removes for one in plans.values())
    lines: list[Any] = [table("LAYER", "ACTION", "RESOURCE", rows=rows)] if rows else []
    return [*lines, f"Plan: {adds} to add, {modifies} to change, {removes} to destroy."]


def _applied(applied: Mapping[str, Applied]) -> list[Any]:
    rows = [
        (layer, f"{one.seconds:.1f}", len(one.changes), _addresses(one))
        for layer, one in applied.items()
    ]
    return [table("LAYER", ">SECONDS", ">CHANGES", "RESOURCES", rows=rows)]


def _done(applied: Applied) -> dict[str, Any]:
    return {
        "seconds": applied.seconds,
        "changes": applied.changes,
        "outputs": {name: one.value for name, one in applied.outputs.items() if one.known},
    }


def _addresses(applied: Applied) -> str:
    shown = [change.address for change in applied.changes[:_SHOWN_CHANGES]]
    more = len(applied.changes) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
