"""The one control that simulators have."""

from __future__ import annotations

from infra_gym.definitions.models import Definition
from infra_gym.errors import DefinitionError


def replica_control(definition: Definition) -> str:
    """The name of the control that sets the number of replicas.

    Raises:
        DefinitionError: There is another control, on which the simulator cannot act.
    """
    names = [name for name in definition.controls if name not in definition.replica_controls[:1]]
    if names:
        raise DefinitionError(
            f"{definition.id}: the {definition.simulator} simulator has one control, the input "
            f"`replicas`, and cannot act on {', '.join(names)}"
        )
    return definition.replica_controls[0]
