"""What a simulator's parameters were measured for: the inputs of the layers that it stands for."""

from __future__ import annotations

from typing import Any

from infra_gym.definitions.models import Definition

_NAMES = {
    "heater": ("slots", "service_time_s", "service", "queue_limit"),
    "siege-engine": ("timeout_s", "max_in_flight"),
}


def twin_inputs(definition: Definition, provider: str = "local") -> dict[str, dict[str, Any]]:
    """The inputs that the web app's twin takes, by the layer's short name; those written only.

    Args:
        definition: The environment.
        provider: Whose layers; the twin itself takes those of ``local``.
    """
    return {
        layer: {
            name: value
            for name, value in definition.inputs_of(f"{provider}/{layer}").items()
            if name in names
        }
        for layer, names in _NAMES.items()
    }
