"""What a definition asks of its layers and its simulator, and whether they have it.

A definition's own file cannot tell: these are the questions for which the layers' files are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from infra_gym.definitions.catalog import definition_file, find_definition, find_layer
from infra_gym.definitions.loading import located
from infra_gym.definitions.models import Definition, reference, short_name
from infra_gym.errors import DefinitionError, UnknownNameError, did_you_mean
from infra_gym.settings import Target
from infra_gym.settings.strict import KeyPath, Problem
from infra_gym.terraform.hcl import Module, read_module

Modules = Mapping[str, Module]


def check_wiring(identifier: str) -> Definition:
    """The definition, whose layers have all that it asks of them.

    Raises:
        UnknownNameError: There is no such environment.
        DefinitionError: Its file is broken, or a layer, variable, output or simulator is missing.
    """
    definition = find_definition(identifier)
    problems = list(dict.fromkeys(_problems(definition)))
    if problems:
        raise DefinitionError(located(definition_file(identifier), problems))
    _check_simulator(definition)
    return definition


def _problems(definition: Definition) -> Iterator[Problem]:
    for target, layers in definition.layers.items():
        modules: dict[str, Module] = {}
        for index, layer in enumerate(layers):
            try:
                modules[layer] = read_module(find_layer(layer))
            except UnknownNameError as error:
                yield Problem(("layers", target, index), error.message)
        for layer, module in modules.items():
            yield from _of_layer(definition, layer, module, modules)


def _of_layer(
    definition: Definition, layer: str, module: Module, modules: Modules
) -> Iterator[Problem]:
    variables = sorted(module.variables)
    for key in (short_name(layer), layer):
        for name, value in definition.inputs.get(key, {}).items():
            path = ("inputs", key, name)
            if name not in variables:
                yield _missing(path, layer, "variable", name, variables)
            yield from _outputs(path, value, modules)
    for control_name, control in definition.controls.items():
        if control.layer == short_name(layer) and control.input not in variables:
            path = ("controls", control_name, "input")
            yield _missing(path, layer, "variable", control.input, variables)


def _outputs(path: KeyPath, value: object, modules: Modules) -> Iterator[Problem]:
    """Outputs that ``value`` takes, also inside maps and lists, and that do not exist."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _outputs(path, inner, modules)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _outputs(path, inner, modules)
    elif (named := reference(value)) is not None:
        for layer, module in modules.items():
            if named[0] in (layer, short_name(layer)) and named[1] not in module.outputs:
                yield _missing(path, layer, "output", named[1], sorted(module.outputs))


def _missing(path: KeyPath, layer: str, kind: str, name: str, known: Sequence[str]) -> Problem:
    return Problem(path, f"layer {layer} has no {kind} {name!r}.{did_you_mean(name, known)}")


def _check_simulator(definition: Definition) -> None:
    """Makes the twin, which refuses what it cannot simulate."""
    if definition.simulator is None:
        return
    from infra_gym.worlds.twins import make_twin

    sim: Target = "sim"
    make_twin(
        definition,
        workload=definition.workload,
        interval_s=definition.interval_s[sim],
        time_scale=definition.scale(sim),
    )
