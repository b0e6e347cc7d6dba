"""How a layer's variables get their values. Pure.

For each variable the first that applies:

1. what was given explicitly: ``--var``, a control;
2. what the definition's ``inputs`` say: a literal, or ``layer.output``, also inside maps and lists;
3. for what is no secret, what the user's shell sets by ``TF_VAR_`` (Terraform reads the secrets
   itself);
4. what the ledger has recorded, so that a later apply needs nothing else: a value is the same value
   again, and what was an output of another layer is that output again;
5. for a variable without default, the output of the same name of the nearest earlier layer;
6. for a variable without default, the run variable of that name (``project``, ``port``, ...).

All others are left to their defaults. First :func:`wire` finds the sources, and leaves a
:class:`Wire` where an output belongs; the wires give the order of the layers, and when a layer's
turn has come, :func:`fill` puts the outputs in their place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from infra_gym.definitions.models import reference, short_name
from infra_gym.errors import DefinitionError, StackError, UnknownNameError, did_you_mean
from infra_gym.terraform.hcl import Variable


@dataclass(frozen=True, slots=True)
class Wire:
    """The place of another layer's output."""

    layer: str
    output: str

    def __str__(self) -> str:
        return f"{self.layer}.{self.output}"

    @classmethod
    def parse(cls, text: str) -> Wire:
        """From ``PROVIDER/LAYER.OUTPUT``."""
        layer, _, output = text.rpartition(".")
        return cls(layer, output)


@dataclass(frozen=True)
class Sources:
    """Where one layer's variables may find values.

    Attributes:
        given: Explicit values (rule 1).
        written: The definition's inputs (rule 2).
        from_shell: Texts of variables that the user's shell sets (rule 3).
        recorded: The ledger's inputs (rule 4).
        recorded_wires: The recorded inputs that were outputs, as ``PROVIDER/LAYER.OUTPUT``.
        outputs: The names of the outputs of all layers of the stack, in declared order.
        run_variables: Run variables, made when asked for (rule 6).
    """

    given: Mapping[str, Any] = field(default_factory=dict)
    written: Mapping[str, Any] = field(default_factory=dict)
    from_shell: Mapping[str, str] = field(default_factory=dict)
    recorded: Mapping[str, Any] = field(default_factory=dict)
    recorded_wires: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Set[str]] = field(default_factory=dict)
    run_variables: Mapping[str, Callable[[], Any]] = field(default_factory=dict)


def wire(
    layer: str, variables: Mapping[str, Variable], sources: Sources, *, partly: bool = False
) -> dict[str, Any]:
    """The values of a layer's variables, with a :class:`Wire` where an output belongs.

    Args:
        layer: The layer.
        variables: What it declares.
        sources: Where values may come from.
        partly: Leave out what has no source.

    Raises:
        UnknownNameError: An explicit value for a variable that the layer does not have.
        DefinitionError: The definition names a variable or an output that does not exist.
        StackError: A variable without default has no source; names it and what to type.
    """
    for name in sources.given:
        if name not in variables:
            raise UnknownNameError(f"variable of layer {layer}", name, variables)
    for name in sources.written:
        if name not in variables:
            raise DefinitionError(
                f"inputs of {layer}: there is no variable {name!r}."
                f"{did_you_mean(name, [*variables])}"
            )
    values: dict[str, Any] = {}
    for name, variable in variables.items():
        try:
            found = _source(layer, variable, sources)
        except StackError:
            if not partly:
                raise
            continue
        if found is not _NOTHING:
            values[name] = found
    return values


_NOTHING = object()


def _source(layer: str, variable: Variable, sources: Sources) -> Any:
    name = variable.name
    if name in sources.given:
        return sources.given[name]
    if name in sources.written:
        return _with_wires(sources.written[name], layer, sources.outputs)
    secret = variable.sensitive or variable.ephemeral
    if name in sources.from_shell:
        return _NOTHING if secret else _parsed(sources.from_shell[name], variable)
    wired = sources.recorded_wires.get(name)
    if wired is not None and Wire.parse(wired).layer in sources.outputs:
        return Wire.parse(wired)
    if name in sources.recorded:
        return sources.recorded[name]
    if not variable.required:
        return _NOTHING
    for other in reversed(_before(layer, [*sources.outputs])):
        if name in sources.outputs[other]:
            return Wire(other, name)
    if name in sources.run_variables:
        return sources.run_variables[name]()
    raise StackError(
        f"variable {name} ({variable.description or variable.type}) has no value: it has no "
        "default, and no earlier layer has an output of that name.",
        layer=layer,
        next_command=f"export TF_VAR_{name}=..." if secret else f"add --var {name}=...",
    )


def _parsed(text: str, variable: Variable) -> Any:
    """A value of the shell; what is no JSON but HCL is left to Terraform."""
    if variable.type == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text if variable.type == "any" else _NOTHING


def _before(layer: str, layers: Sequence[str]) -> Sequence[str]:
    return layers[: layers.index(layer)] if layer in layers else layers


def _with_wires(value: Any, layer: str, outputs: Mapping[str, Set[str]]) -> Any:
    """``value`` with every ``layer.output`` in it turned into a wire."""
    if isinstance(value, Mapping):
        return {key: _with_wires(item, layer, outputs) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_wires(item, layer, outputs) for item in value]
    named = reference(value)
    if named is None:
        return value
    # A word with a dot whose first part is no layer is a literal, such as a file's name.
    for other in outputs:
        if named[0] in (other, short_name(other)):
            if named[1] not in outputs[other]:
                raise DefinitionError(
                    f"inputs of {layer}: {value}: layer {other} has no output {named[1]!r}."
                    f"{did_you_mean(named[1], sorted(outputs[other]))}"
                )
            return Wire(other, named[1])
    return value


def wires_in(value: Any) -> list[Wire]:
    """All wires in a value, also inside maps and lists."""
    if isinstance(value, Wire):
        return [value]
    if isinstance(value, Mapping):
        return [found for item in value.values() for found in wires_in(item)]
    if isinstance(value, (list, tuple)):
        return [found for item in value for found in wires_in(item)]
    return []


def fill(value: Any, output: Callable[[Wire], Any]) -> Any:
    """``value`` with every wire replaced by what ``output`` says."""
    if isinstance(value, Wire):
        return output(value)
    if isinstance(value, Mapping):
        return {key: fill(item, output) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [fill(item, output) for item in value]
    return value
