"""A stack of layers: plan, apply, change, destroy.

What is done to a layer is recorded first (:mod:`~infra_gym.stack.ledger`), by the one run that
holds the lock (:mod:`~infra_gym.stack.lock`), in the order that the wiring gives
(:mod:`~infra_gym.stack.order`).
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from infra_gym.definitions.catalog import find_layer
from infra_gym.definitions.models import Definition
from infra_gym.definitions.parts import full_name
from infra_gym.errors import (
    CloudMissingError,
    ClusterError,
    StackError,
    StackLockedError,
    StateBackendError,
)
from infra_gym.settings import Settings
from infra_gym.stack.access import (
    CLUSTER_ID,
    ClusterAccess,
    Connect,
    makes_cluster,
    on_cluster,
)
from infra_gym.stack.drawing import drawing
from infra_gym.stack.execution import Outcome, run_layers
from infra_gym.stack.inputs import LayerInputs, by_layer
from infra_gym.stack.layer_runs import LayerRuns
from infra_gym.stack.ledger import Ledger, StackRecord, now
from infra_gym.stack.leftovers import end_processes
from infra_gym.stack.lock import Owner, StackLock
from infra_gym.stack.modules import Modules
from infra_gym.stack.order import Order
from infra_gym.stack.planning import Planner
from infra_gym.stack.refusals import (
    Identity,
    explain_away,
    refuse_another,
    refuse_missing,
    refuse_to_forget,
    refuse_to_spend,
    results,
)
from infra_gym.stack.run_directory import RunFolder
from infra_gym.stack.run_variables import RunVariables
from infra_gym.stack.status import StackStatus, read_status
from infra_gym.stack.storage import Storage, open_storage
from infra_gym.stack.strays import CORE, IN_ACCOUNT, Strays, title_of
from infra_gym.stack.takeover import end_dead_run, refuse_parallel_use
from infra_gym.stack.wiring import Wire, wires_in
from infra_gym.terraform.backends import (
    backend_environment,
    environment_prefix,
    render_backend,
    state_key,
)
from infra_gym.terraform.command import Terraform
from infra_gym.terraform.documents import Applied, Event, Plan

if TYPE_CHECKING:
    from infra_gym.clouds.kubernetes import Cluster


class Stack:
    """The layers of one project and environment. Making one touches nothing.

    Whatever changes the stack needs its lock. :meth:`acquire` and :meth:`release`, or ``with
    stack:``, hold it over several calls, as :meth:`apply_layer` needs; the other methods take it
    for themselves where it is not held.

    Args:
        layers: The layers, in declared order.
        target: ``local``, ``k8s`` or ``do``.
        settings: State backend, data folder, programs.
        project: The project.
        environment: The environment's name.
        definition: The environment's definition; without one the layers are known by name only, and
            take what they need from others of the same project and environment.
        variables: More run variables.
        terraform: The program; default: as the settings say.
        on_event: Called with layer and event, from the layers' threads.
        connect: Reaches the cluster of layers that need one; default: by the settings' kubeconfig.
        account: Tells which cloud account the token is of; default: DigitalOcean is asked.
        storage: Where ledger and lock lie; default: beside the state.
        layer_folder: Where a layer's module lies; default: as the catalog says.

    Raises:
        MissingProgramError: Neither terraform nor tofu is installed.
    """

    def __init__(
        self,
        *,
        layers: Sequence[str],
        target: str,
        settings: Settings,
        project: str,
        environment: str,
        definition: Definition | None = None,
        variables: Mapping[str, Any] | None = None,
        terraform: Terraform | None = None,
        on_event: Callable[[str, Event], None] | None = None,
        connect: Connect | None = None,
        account: Callable[[], str] | None = None,
        storage: Storage | None = None,
        layer_folder: Callable[[str], Path] = find_layer,
    ) -> None:
        self.layers = tuple(layers)
        self.target = target
        self.settings = settings
        self.project = project
        self.environment = environment
        self.definition = definition
        self._identity = Identity(
            project,
            environment,
            definition.id if definition else None,
            target,
            None,
            self.layers,
            named=definition.named if definition else None,
        )
        self._on_event = on_event or _ignore
        self._storage = storage or open_storage(settings)
        self._terraform = terraform or Terraform(
            settings.binary, environ={**os.environ, **backend_environment(settings.state)}
        )
        self._folder = RunFolder(settings.data_folder, project, environment)
        self._access = ClusterAccess(
            settings, self._terraform, folder=self._folder.root, connect=connect
        )
        self._account = account or _account
        self._ledger = Ledger(self._storage, project, environment)
        self._lock = StackLock(self._storage, project, environment)
        self._modules = Modules(layer_folder, self._folder)
        self._run_variables = RunVariables(
            settings,
            project=project,
            environment=environment,
            target=target,
            root=self._folder.root,
            definition=definition,
            extra=variables or {},
        )
        self._inputs = LayerInputs(self._modules, definition, self._run_variables)
        self._record: StackRecord | None = None
        self._runs = LayerRuns(
            self._terraform,
            self._modules,
            self._inputs,
            ledger=self._ledger,
            lock=self._lock,
            folder=self._folder,
            storage=self._storage,
            backend=self._backend,
            key=self._key,
            on_event=self._on_event,
        )
        self._strays = Strays(project, environment, self._storage, self._runs.stopping)
        self._reaching = threading.Lock()
        self._forgetting = threading.Lock()
        self._cluster_is_gone = False
        self._layer_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    # ---------------------------------------------------------------- the cluster

    @property
    def on_cluster(self) -> bool:
        """Whether its layers need a cluster that is there already."""
        return on_cluster(self.layers)

    @property
    def cluster(self) -> Cluster | None:
        """That cluster, once the lock is held; ``None`` where none is needed."""
        return self._access.cluster

    def cluster_named(self) -> str | None:
        """Which cluster it is to be, in words; ``None`` where none is needed, or it makes its own.

        Nobody is asked.

        Raises:
            ClusterError: There is no kubeconfig, or it cannot be used.
        """
        needed = self.on_cluster and self._cluster_maker() is None
        return self._access.named() if needed else None

    def mark_destroyed(self) -> tuple[str, ...]:
        """Forget the layers on a cluster that is gone for good, and nothing else; which they were.

        Nothing is asked of the cluster. Where it is not gone, what they made stays there.

        Raises:
            InfraGymError: As :meth:`acquire`, but for the cluster.
        """
        with self._released_on_error():
            self._lock.acquire()
            self._end_dead_run()
            self._load()
            refuse_another(self._identity, self._record)
            layers = tuple(layer for layer in self._runs.records if on_cluster([layer]))
            for layer in layers:
                self._runs.forget(layer)
            if layers and not self._runs.records:
                self._clean_up()
        self.release()
        return layers

    # ---------------------------------------------------------------- the lock

    @property
    def acquired(self) -> bool:
        """Whether this object holds the stack's lock."""
        return self._lock.owner is not None

    def acquire(self) -> None:
        """Take the lock, end what a dead run left running, and read the ledger.

        Does nothing when the lock is held already.

        Raises:
            StackLockedError: A live run holds it.
            StackMismatchError: A stack of another id, target, cluster or account lies under this
                name, or a local one of another machine.
            SettingsError: An account is needed, and there is no token.
            CloudError: The account does not answer, or refuses.
            ClusterError: The cluster cannot be reached.
            StateBackendError: The state backend cannot be used.
        """
        if self.acquired:
            return
        with self._released_on_error():
            self._lock.acquire()
            # Not before: of two that begin at once, each must see the other's lock.
            refuse_parallel_use(self.settings, self._storage, self.project, self.environment)
            self._end_dead_run()
            self._load()
            self._identify_account()
            refuse_another(self._identity, self._record)
            self._reach_cluster()

    def release(self) -> None:
        """Give the lock back, and the cluster's connections; the stack stays as it is."""
        self._access.close()
        self._lock.release()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.release()
            return
        with suppress(StateBackendError):  # the body's error is what is told
            self.release()

    def unlock(self) -> Owner | None:
        """Free the stack from a run that somebody knows to be dead; returns who held it.

        That run's Terraform is ended first if it runs on this machine, and locks on the state are
        removed. Should the run wake up, it stops before its next apply.
        """
        holder = None
        with suppress(StackLockedError):  # it cannot be understood
            holder = self._lock.holder()
        with self._released_on_error():
            self._lock.seize()
            self._end_dead_run(any_host=True)
        self.release()
        return holder

    def interrupt(self) -> None:
        """Stop gently what runs, and begin nothing more; called again, stop it at once.

        Safe from any thread. The next :meth:`apply` or :meth:`destroy` works again.
        """
        self._runs.stopping.set()
        self._terraform.interrupt()

    # ---------------------------------------------------------------- changing it

    def apply(
        self,
        layers: Sequence[str] | None = None,
        *,
        inputs: Mapping[str, Mapping[str, Any]] | None = None,
        refresh: bool = True,
    ) -> dict[str, Applied]:
        """Apply layers, independent ones at once; repeated after a failure, it goes on.

        Args:
            layers: Which; default: all.
            inputs: Explicit values, by layer and variable.
            refresh: Compare the states with the world first.

        Raises:
            LayerFailedError: A layer failed; names it, those not run because of it, and what to
                type.
            InfraGymError: As :meth:`acquire`; or an input is wrong or missing, and nothing was
                done.
        """
        with self._held():
            self._runs.stopping.clear()
            chosen = self._choose(layers, self.layers)
            given = by_layer(inputs, chosen)
            wired = {layer: self._wired(layer, given.get(layer, {})) for layer in chosen}
            order = self._order(wired).only({*chosen})
            refuse_missing(self._identity, wired, self._runs.records)
            refuse_to_spend(self._identity, chosen, allowed=self.settings.spend_money)
            self._claim()
            self._strays.remove_before_apply(self._runs.records)
            outcome = run_layers(
                order,
                lambda layer: self._apply_one(layer, wired[layer], refresh=refresh),
                interrupt=self.interrupt,
            )
            return results(self._identity, "apply", outcome)

    def apply_layer(self, layer: str, inputs: Mapping[str, Any], *, refresh: bool) -> Applied:
        """Apply one layer with some inputs changed: an agent's step.

        Needs the lock. Different layers may be applied at once, from different threads. Beside
        Terraform it costs one check of the lock, and one write of the ledger before and one after.

        Args:
            layer: The layer.
            inputs: What changes; the rest stays as recorded.
            refresh: Compare the state with the world first.

        Raises:
            LayerFailedError: It failed.
            StackError: An account would be billed, and nobody has said yes.
            OwnershipLostError: Another run took the stack over; nothing was done.
        """
        (layer,) = self._choose([layer], self.layers)
        refuse_to_spend(self._identity, [layer], allowed=self.settings.spend_money)
        outcome: Outcome[Applied] = Outcome()
        try:
            return self._apply_one(layer, self._wired(layer, inputs), refresh=refresh)
        except Exception as error:  # noqa: BLE001  told below, whatever it is
            outcome.failures[layer] = error
        return results(self._identity, "apply", outcome)[layer]

    def destroy(self, layers: Sequence[str] | None = None) -> tuple[str, ...]:
        """Destroy layers in reverse order, with their inputs from the ledger; may be repeated.

        After the last layer, processes that are left in the run's folder are ended, and the folder,
        the ledger and the lock are removed.

        Args:
            layers: Which; default: all.

        Returns:
            The processes that were left, in words; none when all went well.

        Raises:
            LayerFailedError: A layer failed; names it, those not run because of it, and what to
                type.
            InfraGymError: As :meth:`acquire`.
        """
        with self._held():
            self._runs.stopping.clear()
            everything = self._all_layers() if self.definition else self.layers
            chosen = self._choose(layers, everything)
            records = self._runs.records
            order = self._order({}).only({*records}).reversed().only({*chosen})
            self._strays.look(records)
            outcome = run_layers(order, self._destroy_one, interrupt=self.interrupt)
            results(self._identity, "destroy", outcome)
            return () if records else self._clean_up()

    # ---------------------------------------------------------------- what it costs

    @property
    def name_in_account(self) -> str | None:
        """What the names of its things in a cloud account begin with, once there are any."""
        core = self._runs.records.get(CORE)
        return None if core is None else title_of(core, self.project, self.environment)

    def meter_lines(self) -> tuple[dict[str, Any], ...]:
        """What an account was billed for it, as the run before kept it."""
        return self._ledger.meter()

    def keep_meter_lines(self, lines: Sequence[dict[str, Any]]) -> None:
        """Keep what an account is billed for it, as long as there is anything of it."""
        with self._forgetting:
            if self.acquired and self._record is not None:
                self._lock.check()
                self._ledger.write_meter(lines)

    # ---------------------------------------------------------------- looking at it

    def plan(
        self,
        layers: Sequence[str] | None = None,
        inputs: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> dict[str, Plan]:
        """What :meth:`apply` would do; takes no lock and touches nothing.

        Raises:
            LayerFailedError: A layer's plan failed.
        """
        self._runs.stopping.clear()
        self._records()
        self._reach_cluster()
        chosen = self._choose(layers, self.layers)
        given = by_layer(inputs, chosen)
        wired = {layer: self._wired(layer, given.get(layer, {}), touch=False) for layer in chosen}
        planner = Planner(
            self._terraform,
            self._modules,
            self._inputs,
            backend=self._backend,
            applied=self._recorded_output,
            on_event=self._on_event,
        )
        outcome = run_layers(
            self._order(wired).only({*chosen}),
            lambda layer: planner.plan(layer, wired[layer]),
            interrupt=self.interrupt,
        )
        return results(self._identity, "plan", outcome)

    def status(self) -> StackStatus:
        """What is up and who works on it; takes no lock and touches nothing."""
        return read_status(
            self._storage,
            self.project,
            self.environment,
            self._folder,
            self.layers,
            program=self._terraform.path.name,
        )

    def outputs(self, layer: str) -> dict[str, Any]:
        """The outputs of a layer that is up, without the sensitive ones.

        Raises:
            StackError: It is not up.
        """
        records = self._records()
        (layer,) = self._choose([layer], self._all_layers())
        record = records.get(layer)
        if record is None or record.status != "applied":
            raise StackError(
                f"layer {layer} is not up.",
                environment=str(self._identity),
                target=self.target,
                layer=layer,
                next_command=self._identity.command("apply"),
            )
        return dict(record.outputs)

    @property
    def terraform_version(self) -> str:
        """The program and its version, such as ``terraform 1.11.4``."""
        return f"{self._terraform.name} {self._terraform.version}"

    def values(
        self,
        layers: Sequence[str],
        inputs: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> dict[str, dict[str, Any]]:
        """What an apply would give the variables of layers, by layer; touches nothing.

        Defaults are in it; what comes from another layer's output, or has no value yet, is not.

        Args:
            layers: Which.
            inputs: Explicit values, by layer and variable.

        Raises:
            InfraGymError: An input is wrong.
        """
        self._records()
        given = by_layer(inputs, self.layers)
        found = {}
        for layer in self._choose(layers, self.layers):
            variables = self._modules[layer].variables
            defaults = {name: one.default for name, one in variables.items() if not one.required}
            wired = self._wired(layer, given.get(layer, {}), touch=False, partly=True)
            values = {name: one for name, one in wired.items() if not wires_in(one)}
            found[layer] = {**defaults, **values}
        return found

    def module_folder(self, layer: str) -> Path:
        """Where the files of a layer lie."""
        return self._modules[layer].folder

    def graph(self) -> str:
        """Which layer waits for which, in the DOT language; the labels are the outputs wired."""
        self._records()
        wired = {layer: self._wired(layer, {}, touch=False) for layer in self.layers}
        return drawing(self._order(wired).only({*self.layers}), wired)

    # ---------------------------------------------------------------- inside

    def _key(self, layer: str) -> str:
        return state_key(self.project, self.environment, layer)

    def _backend(self, layer: str) -> str:
        return render_backend(self.settings.state, self._key(layer), self.settings.data_folder)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the lock, for this call only where nobody held it."""
        if self.acquired:
            yield
        else:
            with self:
                yield

    @contextmanager
    def _released_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with suppress(StateBackendError):
                self.release()
            raise

    def _end_dead_run(self, *, any_host: bool = False) -> None:
        end_dead_run(
            self._storage,
            self._folder,
            environment_prefix(self.project, self.environment),
            grace_s=self._terraform.deadlines.grace_s,
            program=self._terraform.path.name,
            any_host=any_host,
        )

    def _identify_account(self) -> None:
        """Know whose token it is: with another account's, a destroy would find nothing to destroy.

        What is not found counts as gone, so that everything would be forgotten, and stand.
        """
        if any(layer.startswith(IN_ACCOUNT) for layer in self._all_layers()):
            self._identity = replace(self._identity, account=self._account())

    def _reach_cluster(self) -> None:
        """Have Terraform reach the cluster, if it needs one, and refuse another than before."""
        if not on_cluster(self._all_layers()):
            return
        maker = self._cluster_maker()
        made = None
        if maker is not None:
            record = self._runs.records.get(maker)
            if record is None or CLUSTER_ID not in record.outputs:
                return  # it is made on the way
            made = record.outputs[CLUSTER_ID]
        try:
            self._access.open(made)
        except ClusterError as error:
            raise explain_away(self._identity, self._record, error) from error
        except CloudMissingError:
            self._cluster_is_gone = True  # for good: its own account says so
            return
        self._cluster_is_gone = False
        if made is None:  # else the ledger's own cluster, even where it was made anew
            self._identity = replace(self._identity, cluster=self._access.identity)
            refuse_another(self._identity, self._record)

    def _reach_cluster_for(self, layer: str) -> None:
        """Reach a cluster that this very run has made, when the first layer needs it."""
        if on_cluster([layer]) and (self.cluster is None or self._cluster_maker() is not None):
            with self._reaching:
                before = self.cluster
                self._reach_cluster()
                if self.cluster is not before:
                    self._claim()

    def _cluster_maker(self) -> str | None:
        """The layer that makes the cluster which others of the stack need, if one does."""
        for layer in self._all_layers():
            if makes_cluster(self._modules[layer].outputs):
                return layer
        return None

    def _load(self) -> None:
        self._modules.forget()
        self._record = self._ledger.stack()
        self._runs.load()

    def _records(self) -> Mapping[str, Any]:
        """The ledger's records: in memory while the lock is held, else read again."""
        if not self.acquired:
            self._load()
        return self._runs.records

    def _all_layers(self) -> tuple[str, ...]:
        """This object's layers and those of the ledger, in declared order."""
        recorded = self._record.layers if self._record else ()
        parts = (self.layers, recorded) if self.definition else (recorded, self.layers)
        return tuple(dict.fromkeys([*parts[0], *parts[1], *self._runs.records]))

    def _choose(self, layers: Sequence[str] | None, known: Sequence[str]) -> list[str]:
        """Full names, from full or short ones."""
        return [*known] if layers is None else [full_name(name, known) for name in layers]

    def _wired(
        self, layer: str, given: Mapping[str, Any], *, touch: bool = True, partly: bool = False
    ) -> dict[str, Any]:
        secrets = self._runs.secrets[layer]
        secrets |= {n: v for n, v in given.items() if self._modules.is_secret(layer, n)}
        return self._inputs.wired(
            layer,
            {**secrets, **given},
            layers=self._all_layers(),
            record=self._runs.records.get(layer),
            touch=touch,
            partly=partly,
        )

    def _order(self, wired: Mapping[str, Mapping[str, Any]]) -> Order:
        layers = self._all_layers()
        uses: dict[str, Iterable[str]] = {
            layer: [other for other in record.uses if other in layers]
            for layer, record in self._runs.records.items()
        }
        for layer, values in wired.items():
            uses[layer] = [one.layer for one in wires_in(values)]
        maker = self._cluster_maker()
        if maker is not None:
            for layer in filter(lambda one: on_cluster([one]), layers):
                uses[layer] = [*uses.get(layer, ()), maker]
        return Order(layers, uses)

    def _claim(self) -> None:
        """Record the stack under its name; every apply puts its expiry off."""
        if self._lock.owner is None:
            raise StackError("The stack's lock is not held.", next_command="call acquire() first")
        _ = self._terraform.version  # refuses one that is too old, before there is anything to keep
        self._lock.check()
        moment, before = now(), self._record
        record = StackRecord(
            id=self._identity.id or (before.id if before else None),
            target=self.target,
            cluster=self._access.identity or (before.cluster if before else None),
            kubeconfig=self._access.kubeconfig or (before.kubeconfig if before else None),
            context=self._access.context or (before.context if before else None),
            account=self._identity.account or (before.account if before else None),
            layers=self._all_layers(),
            created=before.created if before else moment,
            expires=moment + timedelta(hours=self.settings.expiry_hours),
            owner=before.owner if before else self._lock.owner,
        )
        self._ledger.write_stack(record)
        self._record = record

    def _apply_one(self, layer: str, values: Mapping[str, Any], *, refresh: bool) -> Applied:
        with self._layer_locks[layer], self._strays.explained(layer):
            self._reach_cluster_for(layer)
            return self._runs.apply(layer, values, refresh=refresh)

    def _destroy_one(self, layer: str) -> None:
        with self._layer_locks[layer], self._strays.explained(layer):
            self._reach_cluster_for(layer)
            if layer == CORE:
                self._strays.remove_before_destroy(self._runs.records)
            if self._cluster_is_gone and on_cluster([layer]):
                self._runs.forget(layer)
            else:
                self._runs.destroy(layer)
            self._run_variables.release_ports(layer)

    def _recorded_output(self, wired: Wire) -> Any:
        record = self._runs.records.get(wired.layer)
        if record is None or record.status != "applied":
            raise KeyError(str(wired))
        return record.outputs[wired.output]

    def _clean_up(self) -> tuple[str, ...]:
        """Remove what no layer needs any more; the lock goes with its release."""
        refuse_to_forget(self._identity, self._storage)
        left = end_processes(self._folder.root)
        self._folder.remove_all()
        self._run_variables.release_ports()
        with self._forgetting:
            self._ledger.remove_stack()
            self._record = None
        return tuple(left)


def _account() -> str:
    from infra_gym.clouds.digitalocean import DigitalOcean  # slow to import

    return DigitalOcean.from_environment().identity()


def _ignore(layer: str, event: Event) -> None:
    """Nobody listens."""
