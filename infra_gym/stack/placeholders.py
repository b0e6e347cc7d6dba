"""Values to plan with, where a layer needs an output of one that is not up. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from infra_gym.stack.wiring import Wire

UNKNOWN = "known-after-apply"
"""What stands for a string."""


def fill_typed(value: Any, declared: str, output: Callable[[Wire, str], Any]) -> Any:
    """``value`` with every wire replaced by what ``output`` says of it and of its declared type.

    Args:
        value: A variable's value.
        declared: The variable's type as written in the module.
        output: The value for a wire whose place has a certain type.
    """
    if isinstance(value, Wire):
        return output(value, declared)
    inner = _inner(declared)
    if isinstance(value, Mapping):
        return {key: fill_typed(item, inner, output) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [fill_typed(item, inner, output) for item in value]
    return value


def placeholder(declared: str) -> Any:
    """A value of a declared type that stands for one that is not known yet."""
    kind = declared.partition("(")[0].strip()
    if kind == "number":
        return 1
    if kind == "bool":
        return False
    if kind in ("list", "set", "tuple"):
        return []
    if kind in ("map", "object"):
        return {}
    return UNKNOWN


def _inner(declared: str) -> str:
    """The type of a collection's elements."""
    kind, bracket, rest = declared.partition("(")
    return rest.rstrip().removesuffix(")") if bracket and kind in ("map", "list", "set") else "any"
