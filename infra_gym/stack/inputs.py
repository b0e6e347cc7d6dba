"""The inputs of a stack's layers, from the definition, the ledger and the run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from infra_gym.definitions.models import Definition, short_name
from infra_gym.definitions.parts import full_name
from infra_gym.stack.ledger import LayerRecord
from infra_gym.stack.modules import Modules
from infra_gym.stack.run_variables import RunVariables
from infra_gym.stack.wiring import Sources, wire, wires_in

_FROM_SHELL = "TF_VAR_"


class LayerInputs:
    """Finds the inputs of layers.

    Args:
        modules: The layers' modules.
        definition: The environment's definition, if there is one.
        run_variables: What the run itself knows.
    """

    def __init__(
        self, modules: Modules, definition: Definition | None, run_variables: RunVariables
    ) -> None:
        self._modules = modules
        self._definition = definition
        self._run_variables = run_variables

    def wired(
        self,
        layer: str,
        given: Mapping[str, Any],
        *,
        layers: Sequence[str],
        record: LayerRecord | None,
        touch: bool,
        partly: bool = False,
    ) -> dict[str, Any]:
        """The values of a layer's variables, with wires where outputs belong.

        Args:
            layer: The layer.
            given: Explicit values.
            layers: All layers of the stack, in declared order.
            record: What the ledger has of the layer.
            touch: Reserve ports and write files that are needed.
            partly: Leave out what has no value yet.

        Raises:
            InfraGymError: As :func:`~infra_gym.stack.wiring.wire`.
        """
        sources = Sources(
            given=given,
            written=self._written(layer, fresh=record is None),
            recorded=record.inputs if record else {},
            recorded_wires=record.wires if record else {},
            outputs={name: frozenset(self._modules[name].outputs) for name in layers},
            run_variables=self._run_variables.of(layer, touch=touch),
            from_shell=from_shell(),
        )
        return wire(layer, self._modules[layer].variables, sources, partly=partly)

    def secrets_from_shell(self, layer: str) -> dict[str, str]:
        """Secret variables of the layer that the user's shell sets."""
        return {n: text for n, text in from_shell().items() if self._modules.is_secret(layer, n)}

    def secret_names(self, layer: str, values: Mapping[str, Any]) -> frozenset[str]:
        """Which of the values are secret: by the variable, or by the output that they take."""
        return frozenset(
            name
            for name, value in values.items()
            if self._modules.is_secret(layer, name)
            or any(
                wired.output in self._modules.secret_outputs(wired.layer)
                for wired in wires_in(value)
            )
        )

    def _written(self, layer: str, *, fresh: bool) -> dict[str, Any]:
        """What the definition says; the controls' initial values only for a layer that is new."""
        if self._definition is None:
            return {}
        initial = {
            control.input: control.initial
            for control in self._definition.controls.values()
            if fresh and control.layer == short_name(layer)
        }
        return {**initial, **self._definition.inputs_of(layer)}


def by_layer(
    inputs: Mapping[str, Mapping[str, Any]] | None, layers: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    """Inputs by full layer name, from full or short names.

    Raises:
        UnknownNameError: A name that is no layer of the stack.
    """
    return {full_name(name, layers): values for name, values in (inputs or {}).items()}


def from_shell() -> dict[str, str]:
    """Variables that the user's shell sets for Terraform, with their texts."""
    return {
        name.removeprefix(_FROM_SHELL): text
        for name, text in os.environ.items()
        if name.startswith(_FROM_SHELL)
    }


def as_text(value: Any) -> str:
    """A value as an environment variable of Terraform holds it."""
    return value if isinstance(value, str) else json.dumps(value)
