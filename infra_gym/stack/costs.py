"""What a stack will cost an account, told before anything of it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infra_gym.cost.estimate import Estimate, part
from infra_gym.cost.price_table import PriceTable
from infra_gym.definitions.billed import billed_things
from infra_gym.definitions.models import short_name
from infra_gym.settings import Target
from infra_gym.stack.stack import Stack
from infra_gym.stack.strays import IN_ACCOUNT


def billed_layers(layers: Sequence[str]) -> list[str]:
    """Those of some layers that an account is billed for."""
    return [layer for layer in layers if layer.startswith(IN_ACCOUNT)]


def estimate(
    stack: Stack,
    prices: PriceTable,
    *,
    layers: Sequence[str] | None = None,
    inputs: Mapping[str, Mapping[str, Any]] | None = None,
    interval_s: float | None = None,
    steps: int | None = None,
) -> Estimate:
    """What an apply of a stack's layers will cost; touches nothing.

    Args:
        stack: The stack.
        prices: In US dollars.
        layers: Which layers; default: all.
        inputs: Explicit values, by layer and variable.
        interval_s: Another length of a step than the definition's, in seconds.
        steps: Those of an episode that ends earlier than the definition says.

    Raises:
        DefinitionError: A layer's ``cost.yaml`` cannot be understood.
        SettingsError: A size has no price.
    """
    definition = stack.definition
    parts, untold = [], []
    for layer, values in stack.values(billed_layers(layers or stack.layers), inputs).items():
        things = billed_things(stack.module_folder(layer))
        if things is None:
            untold.append(layer)
        controls = definition.controls.values() if definition else ()
        bounds = {
            control.input: (control.low, control.high)
            for control in controls
            if control.layer == short_name(layer)
        }
        found = [part(layer, thing, values, bounds, prices) for thing in things or ()]
        parts += [one for one in found if one.high]
    seconds = None
    if definition is not None:
        target: Target = stack.target  # type: ignore[assignment]  # one that the definition has
        most = definition.max_episode_steps
        seconds = min(steps or most, most) * (interval_s or definition.interval_s[target])
    has_space = stack.settings.state.backend == "spaces"
    return Estimate(
        parts=tuple(parts),
        source=prices.source,
        untold=tuple(untold),
        episode_s=seconds,
        spaces_usd_per_month=prices.spaces_usd_per_month if has_space else 0.0,
    )
