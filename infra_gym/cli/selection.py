"""What the names on the command line mean: which stack, and which of its layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from infra_gym.cli.variables import pairs, value
from infra_gym.definitions.catalog import definition_ids, find_definition, find_layer, layer_names
from infra_gym.definitions.models import Definition, short_name
from infra_gym.definitions.parts import full_name
from infra_gym.errors import InfraGymError, SettingsError, UnknownNameError, UsageError
from infra_gym.settings import Settings, load_settings
from infra_gym.stack.ledger import Ledger, StackRecord
from infra_gym.stack.storage import open_storage
from infra_gym.terraform.backends import environment_prefix
from infra_gym.terraform.hcl import Variable, read_module

if TYPE_CHECKING:
    from infra_gym.cli.progress import OnEvent
    from infra_gym.stack import Stack

_PROVIDERS_AS_TARGETS = ("local", "k8s", "do")


@dataclass(frozen=True)
class Selection:
    """A stack, and some or all of its layers.

    Attributes:
        settings: As the options and the environment say.
        environment: The name of the stack within the project.
        target: Where it is.
        layers: All of the stack's layers, in order.
        chosen: Those that the command is for; all when ``None``.
        definition: The environment's, if it is one.
        record: What the ledger says of the stack, if there is one.
    """

    settings: Settings
    environment: str
    target: str
    layers: tuple[str, ...]
    chosen: tuple[str, ...] | None = None
    definition: Definition | None = None
    record: StackRecord | None = None

    @property
    def name(self) -> str:
        """``PROJECT/ENVIRONMENT``."""
        return f"{self.settings.project}/{self.environment}"

    @property
    def options(self) -> str:
        """The options that name this stack again."""
        return f"-p {self.settings.project} -e {self.environment}"

    @property
    def command_layers(self) -> tuple[str, ...]:
        """The layers that the command is for."""
        return self.layers if self.chosen is None else self.chosen

    def allowed_to_spend(self) -> Selection:
        """The same, where somebody has agreed that an account is billed."""
        return replace(self, settings=self.settings.model_copy(update={"spend_money": True}))

    def stack(self, on_event: OnEvent | None = None) -> Stack:
        """The stack; nothing is touched yet."""
        from infra_gym.stack import Stack

        return Stack(
            layers=self.layers,
            target=self.target,
            settings=self.settings,
            project=self.settings.project,
            environment=self.environment,
            definition=self.definition,
            on_event=on_event,
        )

    def inputs(self, texts: Sequence[str]) -> dict[str, dict[str, Any]]:
        """``--var``: ``heater.replicas=3``, or ``replicas=3`` where only one layer has it.

        Raises:
            UsageError: No such layer or variable, several that it could be, or a secret.
        """
        found: dict[str, dict[str, Any]] = {}
        for name, text in pairs("--var", texts).items():
            layer, variable = self._variable(name)
            if variable.sensitive or variable.ephemeral:
                raise UsageError(
                    f"--var {name}: the value is a secret, and command lines can be read by others",
                    layer=layer,
                    next_command=f"export TF_VAR_{variable.name}=... and leave --var {name} out",
                )
            found.setdefault(layer, {})[variable.name] = (
                text if _is_text(variable, text) else value(text)
            )
        return found

    def _variable(self, name: str) -> tuple[str, Variable]:
        prefix, _, variable = name.rpartition(".")
        layers = [full_name(prefix, self.layers)] if prefix else self.command_layers
        declared = {layer: read_module(find_layer(layer)).variables for layer in layers}
        having = [layer for layer in layers if variable in declared[layer]]
        if len(having) == 1:
            return having[0], declared[having[0]][variable]
        if not having:
            known = {one for variables in declared.values() for one in variables}
            where = f"of layer {layers[0]}" if len(layers) == 1 else "of these layers"
            raise UnknownNameError(f"variable {where}", variable, known)
        choices = " or ".join(f"--var {short_name(layer)}.{variable}=..." for layer in having)
        raise UsageError(f"--var {name}: several layers have that variable", next_command=choices)


def _is_text(variable: Variable, text: str) -> bool:
    """Whether a value stays as it was typed: ``1.10`` for a string is no number."""
    return variable.type == "string" and not text.startswith('"')


def select(
    names: Sequence[str],
    *,
    project: str | None,
    environment: str | None,
    target: str | None,
    new: bool = False,
    blank: bool = False,
) -> Selection:
    """The stack that is meant.

    Args:
        names: An environment's id and maybe some of its layers, or layers; or nothing, where ``-e``
            names a stack that is up.
        project: ``--project``.
        environment: ``--environment``.
        target: ``--target``.
        new: Whether it may get a new name.
        blank: Whether ``-e`` may name what the ledger has no record of, without any layer.

    Raises:
        UsageError: The names mean nothing, or too much; says what to type.
    """
    settings = load_settings(project=project, environment=environment, target=target)
    if names and "/" not in names[0]:
        return _environment(names[0], names[1:], settings, new=new)
    return _layers(names, settings, target, blank=blank)


def stacks(settings: Settings) -> dict[str, StackRecord]:
    """All stacks of the project that the ledger knows, by environment name."""
    storage = open_storage(settings)
    prefix, end = f"infrastructure/{settings.project}/", "/ledger/stack.json"
    names = [key[len(prefix) : -len(end)] for key in storage.keys(prefix) if key.endswith(end)]
    records = {name: Ledger(storage, settings.project, name).stack() for name in names}
    return {name: record for name, record in records.items() if record is not None}


def _environment(
    identifier: str, names: Sequence[str], settings: Settings, *, new: bool
) -> Selection:
    definition = _definition(identifier)
    layers = definition.layers.get(settings.target, ())
    if not layers:
        targets = [one for one, its in definition.layers.items() if its]
        raise SettingsError(
            f"{definition.id} has no layers for target {settings.target!r}",
            next_command=f"--target {' or '.join(targets)}" if targets else None,
        )
    name = settings.environment or _name(definition, settings, new=new)
    return Selection(
        settings=settings,
        environment=name,
        target=settings.target,
        layers=layers,
        chosen=tuple(full_name(one, layers) for one in names) or None,
        definition=definition,
        record=_record(settings, name),
    )


def _definition(identifier: str) -> Definition:
    if identifier in definition_ids() or identifier.endswith((".yaml", ".yml")):
        return find_definition(identifier)
    raise UnknownNameError("environment or layer", identifier, [*definition_ids(), *layer_names()])


def _name(definition: Definition, settings: Settings, *, new: bool) -> str:
    """The only stack of this id and target, or a new name."""
    from infra_gym.stack import unique_name

    found = [
        name
        for name, record in stacks(settings).items()
        if (record.id, record.target) == (definition.id, settings.target)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"There are {len(found)} stacks of {definition.id} on target {settings.target}",
            next_command=" or ".join(f"-e {name}" for name in found),
        )
    if not new:
        raise _nothing_there(f"of {definition.id} on target {settings.target}", settings)
    return unique_name(definition.id, settings.target)


def _layers(
    names: Sequence[str], settings: Settings, target: str | None, *, blank: bool
) -> Selection:
    for name in names:
        find_layer(name)
    if settings.environment is None:
        known = stacks(settings)
        raise UsageError(
            "Which stack? Layers need the name of an environment, or an id comes first",
            next_command=" or ".join(f"-e {name}" for name in known) or "add -e NAME",
        )
    record = _record(settings, settings.environment)
    if record is None and not names and not blank and not _anything(settings):
        raise _nothing_there(f"named {settings.environment}", settings)
    recorded = record.layers if record else ()
    provider = names[-1].partition("/")[0] if names else ""
    if record is not None:
        place = record.target
    else:
        place = target or (provider if provider in _PROVIDERS_AS_TARGETS else settings.target)
    return Selection(
        settings=settings,
        environment=settings.environment,
        target=place,
        layers=(*recorded, *(name for name in names if name not in recorded)),
        chosen=tuple(names) or None,
        definition=_recorded_definition(record),
        record=record,
    )


def _record(settings: Settings, name: str) -> StackRecord | None:
    return Ledger(open_storage(settings), settings.project, name).stack()


def _anything(settings: Settings) -> bool:
    """Whether a run that died before its first record left something, such as its lock."""
    prefix = environment_prefix(settings.project, str(settings.environment))
    return bool(open_storage(settings).keys(prefix))


def _recorded_definition(record: StackRecord | None) -> Definition | None:
    if record is None or record.id is None or record.id not in definition_ids():
        return None
    return find_definition(record.id)


def _nothing_there(what: str, settings: Settings) -> InfraGymError:
    others = ", ".join(stacks(settings)) or "none"
    return UsageError(
        f"There is no stack {what} in project {settings.project}; those that are there: {others}",
        next_command="infra-gym layers status",
    )
