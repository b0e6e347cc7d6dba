"""Open a stack by an environment's id or by layer names."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from infra_gym.definitions.catalog import find_definition, find_layer
from infra_gym.errors import DefinitionError, UsageError
from infra_gym.settings import Settings, Target, load_settings
from infra_gym.stack.stack import Stack


def open_stack(
    what: str | Sequence[str],
    *,
    target: Target | None = None,
    project: str | None = None,
    environment: str | None = None,
    variables: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
) -> Stack:
    """The stack of an environment, or of single layers. Nothing is touched.

    ::

        with open_stack("SimpleK8sWebApp-v0", target="local", environment="mine") as stack:
            stack.apply()
            print(stack.outputs("heater"))
            stack.destroy()

    Args:
        what: An environment's id, or one or more layers as ``PROVIDER/NAME``. Single layers take
            the outputs that they need from the layers that are up under the same names.
        target: Default: for an environment the settings' one, for layers that of their provider.
        project: Default: the settings' one.
        environment: The environment's name. Default: the settings' one; else, for an environment, a
            new unique one.
        variables: More run variables.
        settings: Default: from ``infra-gym.toml`` and the environment.

    Raises:
        UsageError: Unknown id, layer or target, or a name that cannot be used or is missing.
        MissingProgramError: Neither terraform nor tofu is installed.
    """
    settings = settings or load_settings()
    project = load_settings(project=project).project if project else settings.project
    name = load_settings(environment=environment).environment if environment else None
    name = name or settings.environment
    if _is_environment(what):
        definition = find_definition(str(what))
        target = target or settings.target
        if not definition.layers.get(target):
            raise DefinitionError(
                f"{definition.id} has no layers for target {target!r}, only for "
                f"{', '.join(definition.layers)}."
            )
        return Stack(
            layers=definition.layers[target],
            target=target,
            settings=settings,
            project=project,
            environment=name or unique_name(definition.id, target),
            definition=definition,
            variables=variables,
        )
    layers = [what] if isinstance(what, str) else [*what]
    for layer in layers:
        find_layer(layer)
    if name is None:
        raise UsageError(
            f"Layers need the name of the environment that they belong to: {', '.join(layers)}.",
            next_command="add -e ENVIRONMENT (and -p PROJECT), or set INFRA_GYM_ENVIRONMENT",
        )
    return Stack(
        layers=layers,
        target=target or _target_of(layers, settings),
        settings=settings,
        project=project,
        environment=name,
        variables=variables,
    )


def unique_name(identifier: str, target: str, *, longest: int = 40) -> str:
    """A name for an environment that was given none: id, target and six random digits.

    Args:
        identifier: Its id; cut where the name would be too long.
        target: Its target.
        longest: Characters; 40 are as many as a name may have.
    """
    end = f"-{target}-{secrets.token_hex(3)}"
    return f"{identifier.lower()[: longest - len(end)]}{end}"


def _is_environment(what: str | Sequence[str]) -> bool:
    return isinstance(what, str) and ("/" not in what or what.endswith((".yaml", ".yml")))


def _target_of(layers: Sequence[str], settings: Settings) -> Target:
    """The target whose layers these are: the cloud's, where they are mixed."""
    providers = {layer.partition("/")[0] for layer in layers}
    for target in ("do", "k8s", "local"):
        if target in providers:
            return target
    return settings.target
