"""From an action to the controls' values."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from infra_gym.definitions.models import Control, DeltaAction
from infra_gym.errors import ActionError

ActionMode = Literal["delta", "absolute"]

_WHOLE = (int, np.integer)


@dataclass(frozen=True)
class Move:
    """What an action asks for.

    Attributes:
        controls: The new value of every control, inside its bounds.
        last_action: What was asked of the first control, as a change of its value.
        clipped: Controls whose wish lay outside the bounds.
    """

    controls: Mapping[str, int]
    last_action: float
    clipped: tuple[str, ...] = ()


class Controls:
    """The controls of a definition, and the action space over them.

    One control gives ``Discrete(n)``, several ``MultiDiscrete``, in the definition's order.

    Args:
        controls: The definition's controls.
        mode: ``delta``: an action is an index into the control's list of changes; ``absolute``: an
            action is the value itself, counted from ``low``. Default: what the definition says.
    """

    def __init__(self, controls: Mapping[str, Control], mode: ActionMode | None = None) -> None:
        self._controls = dict(controls)
        self.changes = {name: _changes(control, mode) for name, control in controls.items()}
        """For each control what its actions add to it; ``None``: they are its values."""
        self.sizes = tuple(
            len(changes) if changes else control.high - control.low + 1
            for control, changes in zip(controls.values(), self.changes.values(), strict=True)
        )
        self.space: spaces.Space[Any] = (
            spaces.Discrete(self.sizes[0])
            if len(self.sizes) == 1
            else spaces.MultiDiscrete(list(self.sizes))
        )

    @property
    def initial(self) -> dict[str, int]:
        """Every control's value at the start of an episode."""
        return {name: control.initial for name, control in self._controls.items()}

    def move(self, action: Any, current: Mapping[str, int]) -> Move:
        """The controls after ``action``.

        Raises:
            ActionError: Not an integer of the action space (NaN, wrong shape, out of range).
        """
        controls: dict[str, int] = {}
        asked: list[int] = []
        clipped = []
        for (name, changes), index in zip(self.changes.items(), self._indices(action), strict=True):
            control, value = self._controls[name], current[name]
            wished = value + changes[index] if changes else control.low + index
            controls[name] = bounded = _bounded(control, wished, value)
            asked.append(wished - value)
            if bounded != wished:
                clipped.append(name)
        return Move(controls, float(asked[0]), tuple(clipped))

    def _indices(self, action: Any) -> list[int]:
        if len(self.sizes) == 1 and isinstance(action, _WHOLE):
            return [self._index(action, self.sizes[0])]
        parts = np.asarray(action, dtype=object).reshape(-1)
        if len(parts) != len(self.sizes):
            raise ActionError(
                f"An action of {len(self.sizes)} number(s) is needed, not {action!r}."
                f"\nNext: use env.action_space.sample() to see one ({self.space})"
            )
        return [self._index(part, size) for part, size in zip(parts, self.sizes, strict=True)]

    def _index(self, part: Any, size: int) -> int:
        try:
            index = operator.index(part)
        except TypeError:
            raise ActionError(
                f"An action is a whole number from 0 to {size - 1}, not {part!r}."
            ) from None
        if not 0 <= index < size:
            raise ActionError(f"An action is a whole number from 0 to {size - 1}, not {index}.")
        return index


def _bounded(control: Control, wished: int, current: int) -> int:
    if control.low <= wished <= control.high:
        return wished
    return current if control.beyond == "keep" else min(max(wished, control.low), control.high)


def _changes(control: Control, mode: ActionMode | None) -> Sequence[int] | None:
    declared = control.action.delta if isinstance(control.action, DeltaAction) else None
    if mode is None:
        return declared
    if mode == "absolute":
        return None
    return declared or (-1, 0, 1)
