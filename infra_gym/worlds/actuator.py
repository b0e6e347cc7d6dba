"""From controls to Terraform applies, and back from what exists to the repairs that are needed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from infra_gym.definitions.catalog import find_layer
from infra_gym.definitions.models import Definition, short_name
from infra_gym.errors import LayerFailedError, TerraformError
from infra_gym.settings import Target
from infra_gym.stack import Stack
from infra_gym.stack.order import on_top
from infra_gym.terraform.failures import was_away
from infra_gym.terraform.hcl import read_module
from infra_gym.worlds.applies import BackgroundApplies, Job
from infra_gym.worlds.base import ResetMode
from infra_gym.worlds.services import SENDER

_ASK_AGAIN_S = 0.5

Inputs = Mapping[str, Mapping[str, Any]]


class Actuator:
    """Changes the stack.

    A layer may declare a variable ``repair``: raising it has the layer compare what runs with what
    should run, where Terraform's own refresh cannot see a difference.

    Args:
        definition: The environment.
        target: Which of its stacks.
        stack: The stack.
        repair_after: Ticks in a row that a difference must last. What is counted by its metrics may
            have only just begun, where what a cluster says that it wants is exact.
        patience_s: Seconds for which an apply is repeated where a server did not answer.
    """

    def __init__(
        self,
        definition: Definition,
        target: Target,
        stack: Stack,
        *,
        repair_after: int = 2,
        patience_s: float = 0.0,
    ) -> None:
        self.layers = {short_name(layer): layer for layer in definition.layers[target]}
        # A cluster whose size is a control is changed back: all that runs on it would go with it.
        self._on_top = on_top(definition.layers[target])
        self._controls = definition.controls
        self._stack = stack
        self._repair_after = repair_after
        self._patience_s = patience_s
        self._applies = BackgroundApplies(self._apply)
        self._applied: dict[str, dict[str, Any]] = {}  # per layer, the inputs that came from here
        self._variables = {
            layer: read_module(find_layer(layer)).variables for layer in self.layers.values()
        }
        self._up = False  # there is, or may be, something to destroy
        self._intact = False  # every apply since the last one of the whole stack went well
        self._mismatched: dict[str, int] = {}
        self._repairs: dict[str, int] = {}

    @property
    def pending(self) -> tuple[str, ...]:
        """Layers with an apply that is not done."""
        return self._applies.pending

    def clear(self, mode: ResetMode) -> None:
        """Take the lock, await what runs, and destroy what a reset of this mode makes anew."""
        self._stack.acquire()
        self._applies.drop_queued()
        self._applies.wait()
        if self._applies.forget_failures():
            self._intact = False
        self._mismatched = {}
        if mode == "soft" or not self._up:
            return
        self._intact = False
        self._repairs = {}
        if mode == "full":
            self._stack.destroy()
        else:
            replaced = {SENDER, *(control.layer for control in self._controls.values())}
            self._stack.destroy([layer for layer in self._on_top if short_name(layer) in replaced])

    def reset(self, controls: Mapping[str, int], offered: Mapping[str, Any]) -> None:
        """Bring the stack to its start: change it where it stands, else apply all of it.

        Args:
            controls: The initial values.
            offered: Inputs for every layer that declares a variable of that name.
        """
        inputs = self._inputs(controls, offered)
        if self._intact:
            self._modify(inputs)
            return
        self._up = True
        self._stack.apply(inputs=inputs)
        self._applied = {layer: dict(values) for layer, values in inputs.items()}
        self._intact = True

    def submit(self, controls: Mapping[str, int]) -> list[str]:
        """Start the applies that are needed; the layers that are repaired by them."""
        repaired = [layer for layer in self._by_layer(controls) if self._needs_repair(layer)]
        for layer in repaired:
            if "repair" in self._variables[layer]:
                self._repairs[layer] = self._repairs.get(layer, 0) + 1
        for layer, values in self._by_layer(controls).items():
            repair = layer in repaired
            if repair or layer in self.pending or self._changed(layer, values):
                self._applies.submit(Job(layer, values, refresh=repair))
        return repaired

    def wait(self, seconds: float) -> float:
        """Wait for the applies, at most ``seconds``; the seconds of the longest that ended.

        Raises:
            InfraGymError: One failed; the next reset puts the stack right.
        """
        self._applies.wait(seconds)
        try:
            self._applies.raise_failure()
        except BaseException:
            self._intact = False
            raise
        return self._applies.take_seconds()

    def mismatches(
        self, controls: Mapping[str, int], counts: Mapping[str, float]
    ) -> dict[str, dict[str, float]]:
        """Controls whose count in the world differs, as ``{"wanted": ..., "existing": ...}``.

        Args:
            controls: The values that were applied.
            counts: By control, what there is; those that nobody counted are left out.
        """
        found = {}
        for name, existing in counts.items():
            layer = self.layers[self._controls[name].layer]
            if existing != controls[name] and layer not in self.pending:
                found[name] = {"wanted": float(controls[name]), "existing": existing}
        self._mismatched = {name: self._mismatched.get(name, 0) + 1 for name in found}
        return found

    def takes(self, layer: str, variable: str) -> bool:
        """Whether the layer declares the variable."""
        return variable in self._variables[layer]

    def distrust(self) -> None:
        """Something is not as it was applied: the next reset applies all of it, with a refresh."""
        self._intact = False

    def close(self, *, keep: bool) -> None:
        """Await what runs; destroy the stack, or leave it if ``keep``."""
        self._applies.drop_queued()
        self._applies.wait()
        try:
            if self._up and not keep:
                self._stack.destroy()
        except Exception:
            self._stack.release()
            raise
        # After a Ctrl-C the lock stays ours: a second close goes on, or the farewell at exit.
        self._stack.release()
        self._up = self._intact = False

    def interrupt(self) -> None:
        """Have running Terraform commands stop gently; again: at once."""
        self._applies.drop_queued()
        self._stack.interrupt()

    def _inputs(self, controls: Mapping[str, int], offered: Mapping[str, Any]) -> Inputs:
        inputs = {
            layer: {name: value for name, value in offered.items() if name in variables}
            for layer, variables in self._variables.items()
        }
        for layer, values in self._by_layer(controls).items():
            inputs[layer] |= values
        return {layer: values for layer, values in inputs.items() if values}

    def _by_layer(self, controls: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        inputs: dict[str, dict[str, Any]] = {}
        for name, control in self._controls.items():
            inputs.setdefault(self.layers[control.layer], {})[control.input] = controls[name]
        for layer, times in self._repairs.items():
            inputs[layer]["repair"] = times
        return inputs

    def _modify(self, inputs: Inputs) -> None:
        changed = {
            layer: values for layer, values in inputs.items() if self._changed(layer, values)
        }
        if changed:
            self._intact = False
            self._stack.apply(list(changed), inputs=changed, refresh=False)
            for layer, values in changed.items():
                self._applied[layer] = {**self._applied.get(layer, {}), **values}
            self._intact = True

    def _apply(self, job: Job) -> None:
        ends = time.monotonic() + self._patience_s
        refresh = job.refresh
        while True:
            try:
                self._stack.apply_layer(job.layer, job.inputs, refresh=refresh)
                break
            except LayerFailedError as error:
                cause = error.__cause__
                away = isinstance(cause, TerraformError) and was_away(cause.diagnostics)
                if not away or time.monotonic() >= ends:
                    raise
            # What was cut off may have arrived.
            refresh = True
            time.sleep(_ASK_AGAIN_S)
        self._applied[job.layer] = {**self._applied.get(job.layer, {}), **job.inputs}

    def _changed(self, layer: str, values: Mapping[str, Any]) -> bool:
        applied = self._applied.get(layer, {})
        return any(applied.get(name) != value for name, value in values.items())

    def _needs_repair(self, layer: str) -> bool:
        return any(
            times >= self._repair_after and self.layers[self._controls[name].layer] == layer
            for name, times in self._mismatched.items()
        )
