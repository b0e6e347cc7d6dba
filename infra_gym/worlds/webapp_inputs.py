"""What a definition says of the web app and its load, for the simulators."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from infra_gym.definitions.models import Definition
from infra_gym.errors import DefinitionError
from infra_gym.worlds.replica_control import replica_control

_LAYERS = {
    "heater": ("slots", "service_time_s", "service", "queue_limit"),
    "siege-engine": ("timeout_s", "max_in_flight"),
}


def twin_inputs(definition: Definition, provider: str = "local") -> dict[str, dict[str, Any]]:
    """The inputs that the web app's twin takes, by the layer's short name; those written only.

    The twin's parameters were measured for them.

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
        for layer, names in _LAYERS.items()
    }


@dataclass(frozen=True)
class WebAppInputs:
    """The inputs of heater and siege engine that matter, and the control that sets the replicas."""

    control: str
    slots: int = 4
    service_time_s: float = 0.1
    service: Literal["constant", "exponential"] = "constant"
    queue_limit: int = 64
    timeout_s: float = 5.0
    max_in_flight: int = 512

    @classmethod
    def of(cls, definition: Definition) -> WebAppInputs:
        """Those that are written, else the layers' defaults.

        Raises:
            DefinitionError: Another simulator, or a control that the web app does not have.
        """
        if definition.simulator is None:
            raise DefinitionError(
                f"{definition.id} has no simulator, which the target sim and a dry run need"
            )
        if definition.simulator != "webapp":
            raise DefinitionError(
                f"{definition.id}: there is no simulator {definition.simulator!r}; "
                "known: faas, webapp"
            )
        written = twin_inputs(definition)
        return cls(
            control=replica_control(definition), **written["heater"], **written["siege-engine"]
        )

    @property
    def of_app(self) -> dict[str, Any]:
        """All but the control, as :class:`~infra_gym.simulators.webapp.WebApp` takes them."""
        return {name: value for name, value in asdict(self).items() if name != "control"}
