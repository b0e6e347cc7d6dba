"""What a stack refuses, and how it tells of failures: where, why, and what to type."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from infra_gym.errors import (
    ClusterError,
    InfraGymError,
    LayerFailedError,
    OwnershipLostError,
    StackError,
    StackMismatchError,
    TerraformError,
    TerraformInterruptedError,
)
from infra_gym.stack.execution import Outcome
from infra_gym.stack.ledger import LayerRecord, StackRecord
from infra_gym.stack.status import resources_in
from infra_gym.stack.storage import Storage
from infra_gym.stack.strays import IN_ACCOUNT
from infra_gym.stack.wiring import wires_in
from infra_gym.terraform.backends import environment_prefix

T = TypeVar("T")


@dataclass(frozen=True)
class Identity:
    """Which stack it is.

    Attributes:
        project: The project.
        environment: The environment's name.
        id: The environment's id; ``None`` for single layers.
        target: The target.
        cluster: Which cluster, where that is known.
        layers: The layers that were asked for.
        account: Which cloud account the token is of, where that is known.
        named: What to type for the environment in a shell, where that is not its id.
    """

    project: str
    environment: str
    id: str | None
    target: str
    cluster: str | None
    layers: tuple[str, ...]
    account: str | None = None
    named: str | None = None

    def __str__(self) -> str:
        return f"{self.project}/{self.environment}"

    def command(self, what: str, layers: Sequence[str] | None = None) -> str:
        """What to type for ``what`` (``apply``, ``destroy``, ...)."""
        if layers is None:
            name = self.named or self.id
            layers = self.layers if name is None else [name]
        words = ["infra-gym", "layers", what, *layers, "--target", self.target]
        return " ".join([*words, "-p", self.project, "-e", self.environment])


def refuse_another(identity: Identity, record: StackRecord | None) -> None:
    """Refuse to work on a stack that is not this one.

    Single layers belong to whatever stack lies under their name.

    Raises:
        StackMismatchError: It is of another id, target, cluster or account, or a local one of
            another machine.
    """
    if record is None:
        return
    if identity.account and record.account and identity.account != record.account:
        raise StackMismatchError(
            f"The stack stands in another DigitalOcean account, {record.account}; the token is of "
            f"{identity.account}, where there is nothing of it. Nothing was done.",
            environment=str(identity),
            target=record.target,
            next_command="export DIGITALOCEAN_TOKEN=... with a token of that account, and repeat "
            "the command",
        )
    for what, theirs, ours in (
        ("id", record.id, identity.id),
        ("target", record.target, identity.target),
        ("cluster", record.cluster, identity.cluster),
    ):
        any_will_do = ours is None or (what == "cluster" and theirs is None)
        if theirs != ours and not any_will_do:
            there = identity.command("destroy", ())  # its ledger knows the layers
            if what == "cluster" and record.kubeconfig:
                there = f"{_way_to(record)} {there}"
            raise StackMismatchError(
                f"A stack of another {what} lies under this name: {theirs or 'single layers'}, "
                f"not {ours}.",
                environment=str(identity),
                target=record.target,
                next_command="choose another name with -e, or destroy that one first: "
                + there.replace(f"--target {identity.target}", f"--target {record.target}"),
            )
    if record.target == "local" and not record.owner.is_here:
        raise StackMismatchError(
            f"The stack runs on the machine {record.owner.host}; its processes can be reached only "
            "there.",
            environment=str(identity),
            target=record.target,
            next_command=f"repeat the command on {record.owner.host}",
        )


def _way_to(record: StackRecord) -> str:
    """The settings that lead to a recorded stack's cluster, as a shell takes them."""
    files = record.kubeconfig or ""
    kubeconfig = "KUBECONFIG" if os.pathsep in files else "INFRA_GYM_KUBECONFIG"
    named = {kubeconfig: files, "INFRA_GYM_KUBE_CONTEXT": record.context}
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in named.items() if value)


def explain_away(
    identity: Identity, record: StackRecord | None, error: ClusterError
) -> ClusterError:
    """The error of a cluster that does not answer, with the way out where it never will again."""
    if record is not None:
        gone = f"{identity.command('destroy')} --cluster-gone"
        error.next_command = (
            f"{error.next_command or 'infra-gym doctor --target k8s'}\n"
            f"If that cluster is gone for good: {gone}"
        )
    return error


def refuse_to_spend(identity: Identity, layers: Sequence[str], *, allowed: bool) -> None:
    """Refuse to make what an account is billed for, unless somebody has said so.

    Raises:
        StackError: A layer of ``do`` is among them, and nobody has.
    """
    billed = [layer for layer in layers if layer.startswith(IN_ACCOUNT)]
    if billed and not allowed:
        name = identity.named or identity.id
        looks = (
            f"infra-gym cost {name} tells what it costs, infra-gym rehearse {name} is free; "
            if name
            else ""
        )
        raise StackError(
            f"{', '.join(billed)}: a DigitalOcean account would be billed, until all is destroyed.",
            environment=str(identity),
            target=identity.target,
            next_command=f"{looks}to spend money: gym.make(..., spend_money=True), --yes on the "
            "command line, or export INFRA_GYM_SPEND_MONEY=true",
        )


def refuse_missing(
    identity: Identity,
    wired: Mapping[str, Mapping[str, Any]],
    records: Mapping[str, LayerRecord],
) -> None:
    """Refuse, before anything is done, where an output is needed that will not be there.

    Args:
        identity: The stack.
        wired: The inputs of the layers that are to be applied.
        records: What the ledger knows.

    Raises:
        StackError: A layer that is needed is neither up nor to be applied.
    """
    for layer, values in wired.items():
        for one in wires_in(values):
            record = records.get(one.layer)
            if one.layer not in wired and (record is None or record.status != "applied"):
                raise StackError(
                    f"layer {layer} needs the output {one.output} of {one.layer}, which is not up.",
                    environment=str(identity),
                    target=identity.target,
                    layer=layer,
                    next_command=identity.command("apply", [one.layer, layer]),
                )


def refuse_to_forget(identity: Identity, storage: Storage) -> None:
    """Refuse to remove the stack's record while a state holds what no layer's record tells of.

    Args:
        identity: The stack.
        storage: Where its states lie.

    Raises:
        StackError: Names the layers, and what to type.
    """
    states = f"{environment_prefix(identity.project, identity.environment)}state/"
    held = [
        key.removeprefix(states).removesuffix(".tfstate")
        for key in storage.keys(states)
        if key.endswith(".tfstate") and resources_in(storage.read(key)) != 0
    ]
    if held:
        raise StackError(
            f"the ledger has no record of {', '.join(held)}, but the state holds resources.",
            environment=str(identity),
            target=identity.target,
            next_command=f"{identity.command('apply', held)} (which records it again), "
            "then destroy",
        )


def results(identity: Identity, what: str, outcome: Outcome[T]) -> dict[str, T]:
    """The results, if all went well.

    Args:
        identity: The stack.
        what: ``apply``, ``destroy`` or ``plan``.
        outcome: What became of the layers.

    Raises:
        LayerFailedError: Terraform failed on a layer; names the layers not run, and what to type.
        InfraGymError: What failed was not the layer: the lock was lost, the backend is gone.
    """
    failures = outcome.failures
    if not failures:
        return outcome.results
    for error in failures.values():
        if isinstance(error, OwnershipLostError) or not _is_the_layers(error):
            raise error
    texts = [f"Layer {layer}: {what} failed: {_text(error)}" for layer, error in failures.items()]
    layer, first = next(iter(failures.items()))
    own = first.next_command if isinstance(first, InfraGymError) else None
    raise LayerFailedError(
        "\n".join(texts),
        not_run=outcome.not_run,
        environment=str(identity),
        target=identity.target,
        layer=layer,
        next_command=own or identity.command(what),
    ) from first


def _is_the_layers(error: Exception) -> bool:
    if isinstance(error, TerraformInterruptedError):
        return False
    return isinstance(error, TerraformError) or type(error) is StackError


def _text(error: Exception) -> str:
    return error.message if isinstance(error, InfraGymError) else str(error)
