"""Apply and destroy one layer: record it, prepare its run directory, run Terraform, record the end.

On an agent's step this is all that happens: the lock is checked, the ledger is written, Terraform
runs, the ledger is written. The module is copied and initialised once per process.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from infra_gym.errors import (
    OwnershipLostError,
    StackError,
    StateBackendError,
    TerraformInterruptedError,
)
from infra_gym.stack.inputs import LayerInputs, as_text, from_shell
from infra_gym.stack.ledger import LayerRecord, Ledger, Status, now
from infra_gym.stack.lock import StackLock
from infra_gym.stack.modules import Modules
from infra_gym.stack.run_directory import RunFolder, source_hash
from infra_gym.stack.storage import Storage
from infra_gym.stack.wiring import Wire, fill, wires_in
from infra_gym.terraform.command import Terraform
from infra_gym.terraform.documents import Applied, Event


class LayerRuns:
    """Works on the layers of one stack. Thread-safe as long as each layer has one thread at a time.

    Args:
        terraform: The program.
        modules: The layers' modules.
        inputs: Tells which values are secret.
        ledger: Where everything is recorded.
        lock: Checked before each command.
        folder: The run's folder.
        storage: Where the state lies.
        backend: The text of a layer's ``backend.tf``.
        key: The key of a layer's state.
        on_event: Called with layer and event, in the layer's thread.
    """

    def __init__(
        self,
        terraform: Terraform,
        modules: Modules,
        inputs: LayerInputs,
        *,
        ledger: Ledger,
        lock: StackLock,
        folder: RunFolder,
        storage: Storage,
        backend: Callable[[str], str],
        key: Callable[[str], str],
        on_event: Callable[[str, Event], None],
    ) -> None:
        self._terraform = terraform
        self._modules = modules
        self._inputs = inputs
        self._ledger = ledger
        self._lock = lock
        self._folder = folder
        self._storage = storage
        self._backend = backend
        self._key = key
        self._on_event = on_event
        self._prepared: set[str] = set()
        self._secret_outputs: dict[str, Mapping[str, Any]] = {}
        self.records: dict[str, LayerRecord] = {}
        """The ledger's records; only this run writes them while it holds the lock."""
        self.secrets: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        """Secret values that were given, by layer and variable; kept in memory only."""
        self.stopping = threading.Event()
        """Set: no more commands are begun."""

    def load(self) -> None:
        """Read the ledger, and trust no run directory that was prepared before."""
        self.records = self._ledger.layers()
        self._prepared.clear()
        self._secret_outputs.clear()

    def apply(self, layer: str, values: Mapping[str, Any], *, refresh: bool) -> Applied:
        """Apply one layer.

        Args:
            layer: The layer.
            values: Its variables' values, with wires.
            refresh: Compare the state with the world first.

        Raises:
            OwnershipLostError: Another run took the stack over; nothing was done.
            InfraGymError: It failed; the ledger says so.
        """
        filled = {name: fill(value, self.output) for name, value in values.items()}
        secret = self._inputs.secret_names(layer, values)
        plain = {name: value for name, value in filled.items() if name not in secret}
        uses = {wired.layer for wired in wires_in(values)}
        wires = {name: str(value) for name, value in values.items() if isinstance(value, Wire)}
        before = self.records.get(layer)
        record = self._new_record(layer, "applying").model_copy(
            update={
                "inputs": plain,
                "wires": wires,
                "uses": tuple(sorted(uses)),
                "secret_inputs": tuple(sorted({*secret, *self._inputs.secrets_from_shell(layer)})),
                "outputs": before.outputs if before else {},
                "secret_outputs": before.secret_outputs if before else (),
            }
        )
        with self._recorded(record):
            folder = self._prepare(layer)
            self._folder.write_inputs(layer, plain)
            applied = self._terraform.apply(
                folder,
                refresh=refresh,
                secrets={
                    **self._inputs.secrets_from_shell(layer),
                    **{name: as_text(filled[name]) for name in secret},
                },
                on_event=lambda event: self._on_event(layer, event),
            )
        self._secret_outputs.pop(layer, None)
        self._write(
            record,
            status="applied",
            outputs={n: out.value for n, out in applied.outputs.items() if not out.sensitive},
            secret_outputs=tuple(n for n, out in applied.outputs.items() if out.sensitive),
        )
        return applied

    def destroy(self, layer: str) -> None:
        """Destroy one layer as the ledger knows it, and forget it; does no harm when repeated.

        Raises:
            OwnershipLostError: Another run took the stack over; nothing was done.
            InfraGymError: It failed; the ledger says so.
        """
        before = self.records[layer]
        record = before.model_copy(
            update={
                "status": "destroying",
                "owner": self._lock.owner,
                "started": now(),
                "problem": None,
            }
        )
        secrets = self._secrets_again(before)
        with self._recorded(record):
            folder = self._prepare(layer)
            self._folder.write_inputs(layer, record.inputs)
            self._terraform.destroy(
                folder, secrets=secrets, on_event=lambda event: self._on_event(layer, event)
            )
            self._remove_state(layer)
            self._folder.remove(layer)
        self._forget(layer)

    def forget(self, layer: str) -> None:
        """Forget a layer whose resources went with their cluster.

        Raises:
            OwnershipLostError: Another run took the stack over; nothing was done.
        """
        self._lock.check()
        self._remove_state(layer)
        self._folder.remove(layer)
        self._forget(layer)

    def _forget(self, layer: str) -> None:
        self._prepared.discard(layer)
        self._ledger.remove(layer)
        del self.records[layer]

    def output(self, wired: Wire) -> Any:
        """An output of a layer that is up; of one that this run is changing, as it was before.

        Raises:
            StackError: The layer is not up, or has no such output.
        """
        record = self.records.get(wired.layer)
        changing = (
            record is not None
            and record.status == "applying"
            and record.owner == self._lock.owner
            and wired.output in record.outputs
        )
        if record is None or not (record.status == "applied" or changing):
            raise StackError(
                f"output {wired.output} is needed of layer {wired.layer}, which is not up.",
                layer=wired.layer,
                next_command=f"apply {wired.layer} first, or together with this layer",
            )
        if wired.output in record.outputs:
            return record.outputs[wired.output]
        if wired.output in record.secret_outputs:
            return self._secret_output(wired)
        raise StackError(
            f"layer {wired.layer} was applied without the output {wired.output}.",
            layer=wired.layer,
            next_command=f"apply {wired.layer} again",
        )

    def _secret_output(self, wired: Wire) -> Any:
        """A sensitive output: it is in the state and nowhere else, and kept in memory."""
        if wired.layer not in self._secret_outputs:
            outputs = self._terraform.outputs(self._prepare(wired.layer))
            self._secret_outputs[wired.layer] = {n: out.value for n, out in outputs.items()}
        known = self._secret_outputs[wired.layer]
        if wired.output not in known:
            raise StackError(
                f"the state of layer {wired.layer} has no output {wired.output} any more.",
                layer=wired.layer,
                next_command=f"apply {wired.layer} again",
            )
        return known[wired.output]

    def _secrets_again(self, record: LayerRecord) -> dict[str, str]:
        """The secret inputs of a recorded layer, from where they came."""
        found, shell = self._inputs.secrets_from_shell(record.layer), from_shell()
        for name in record.secret_inputs:
            if name in self.secrets[record.layer]:
                found[name] = as_text(self.secrets[record.layer][name])
            elif name in shell:
                found[name] = shell[name]
            elif name in record.wires:
                found |= self._wired_secret(name, Wire.parse(record.wires[name]))
            if name not in found and self._is_required(record.layer, name):
                raise StackError(
                    f"the secret variable {name} is needed, and secrets are not recorded.",
                    layer=record.layer,
                    next_command=f"export TF_VAR_{name}=... and repeat the command",
                )
        return found

    def _wired_secret(self, name: str, wired: Wire) -> dict[str, str]:
        """A secret for a destroy; the state of a layer that is half done may have it, too."""
        other = self.records.get(wired.layer)
        if other is None:
            return {}
        if wired.output in other.outputs:
            return {name: as_text(other.outputs[wired.output])}
        try:
            return {name: as_text(self._secret_output(wired))}
        except StackError as error:
            if type(error) is not StackError:  # the lock or the store; not for want of the output
                raise
            return {}

    def _is_required(self, layer: str, name: str) -> bool:
        variable = self._modules[layer].variables.get(name)
        return variable is not None and variable.required

    def _prepare(self, layer: str) -> Path:
        """The layer's run directory, ready to work in."""
        folder = self._folder.layer(layer)
        if layer not in self._prepared:
            self._folder.prepare(layer, self._modules[layer].folder, self._backend(layer))
            self._terraform.init(folder, on_event=lambda event: self._on_event(layer, event))
            self._prepared.add(layer)
        return folder

    @contextmanager
    def _recorded(self, record: LayerRecord) -> Iterator[None]:
        """Check the lock and write the record; when the body fails, write that as well."""
        if self.stopping.is_set():
            raise TerraformInterruptedError("stopped before it began.", layer=record.layer)
        self._lock.check()
        self._write(record)
        try:
            yield
        except OwnershipLostError:
            raise
        except BaseException as error:
            problem = getattr(error, "message", None) or type(error).__name__
            with suppress(StateBackendError):  # what failed first is what is told
                self._write(record, status="failed", problem=problem)
            raise

    def _new_record(self, layer: str, status: Status) -> LayerRecord:
        if self._lock.owner is None:
            raise StackError("the stack's lock is not held.", next_command="call acquire() first")
        moment = now()
        return LayerRecord(
            layer=layer,
            status=status,
            owner=self._lock.owner,
            started=moment,
            updated=moment,
            source_hash=self._source_hash(layer),
            terraform=f"{self._terraform.name} {self._terraform.version}",
        )

    def _source_hash(self, layer: str) -> str:
        before = self.records.get(layer)
        if before is not None and layer in self._prepared:
            return before.source_hash
        return source_hash(self._modules[layer].folder)

    def _write(self, record: LayerRecord, **changes: Any) -> None:
        record = record.model_copy(update={"updated": now(), **changes})
        self._ledger.write(record)
        self.records[record.layer] = record

    def _remove_state(self, layer: str) -> None:
        """Remove the empty state, and what a local backend leaves beside it."""
        key = self._key(layer)
        for left in self._storage.keys(key):
            self._storage.delete(left)
        folder, _, name = key.rpartition("/")
        self._storage.delete(f"{folder}/.{name}.lock.info")
