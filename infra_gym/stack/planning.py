"""Plan a stack without touching it.

Each layer is planned in a copy of its module in a temporary folder, without a lock. Where a layer
needs an output of one that is not up, the value of that layer's own plan serves if it is known
before the apply, else a placeholder of the declared type.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from infra_gym.errors import TerraformError
from infra_gym.stack.inputs import LayerInputs, as_text
from infra_gym.stack.modules import Modules
from infra_gym.stack.placeholders import fill_typed, placeholder
from infra_gym.stack.run_directory import BACKEND_FILE, copy_module, write_inputs
from infra_gym.stack.wiring import Wire
from infra_gym.terraform.command import Terraform
from infra_gym.terraform.documents import Event, Plan


class Planner:
    """Plans layers, one after another or several at once; later ones see the earlier ones' plans.

    Args:
        terraform: The program.
        modules: The layers' modules.
        inputs: Tells which values are secret.
        backend: The text of a layer's ``backend.tf``.
        applied: An output of a layer that is up; raises ``KeyError`` where it is not.
        on_event: Called with layer and event.
    """

    def __init__(
        self,
        terraform: Terraform,
        modules: Modules,
        inputs: LayerInputs,
        *,
        backend: Callable[[str], str],
        applied: Callable[[Wire], Any],
        on_event: Callable[[str, Event], None],
    ) -> None:
        self._terraform = terraform
        self._modules = modules
        self._inputs = inputs
        self._backend = backend
        self._applied = applied
        self._on_event = on_event
        self._plans: dict[str, Plan] = {}

    def plan(self, layer: str, values: Mapping[str, Any]) -> Plan:
        """What an apply of the layer would do.

        Args:
            layer: The layer.
            values: Its variables' values, with wires.

        Raises:
            TerraformError: The plan failed; says which values were placeholders.
        """
        guessed: list[str] = []

        def output(wired: Wire, declared: str) -> Any:
            value = self._known(wired)
            if value is not None:
                return value
            guessed.append(str(wired))
            return placeholder(declared)

        module = self._modules[layer]
        filled = {
            name: fill_typed(value, module.variables[name].type, output)
            for name, value in values.items()
        }
        secret = self._inputs.secret_names(layer, values)
        try:
            plan = self._run(
                layer,
                {name: value for name, value in filled.items() if name not in secret},
                {name: as_text(value) for name, value in filled.items() if name in secret},
            )
        except TerraformError as error:
            if guessed:
                error.message += f" Values not known before the apply: {', '.join(guessed)}."
            raise
        self._plans[layer] = plan
        return plan

    def _known(self, wired: Wire) -> Any:
        plan = self._plans.get(wired.layer)
        planned = plan.outputs.get(wired.output) if plan else None
        if planned is not None:
            return planned.value if planned.known else None
        try:
            return self._applied(wired)
        except KeyError:
            return None

    def _run(self, layer: str, plain: Mapping[str, Any], secrets: Mapping[str, str]) -> Plan:
        with tempfile.TemporaryDirectory(prefix="infra-gym-plan-") as name:
            folder = Path(name)
            copy_module(self._modules[layer].folder, folder)
            (folder / BACKEND_FILE).write_text(self._backend(layer), encoding="utf-8")
            write_inputs(folder, plain)
            self._terraform.init(folder)
            return self._terraform.plan(
                folder, secrets=secrets, on_event=lambda event: self._on_event(layer, event)
            )
