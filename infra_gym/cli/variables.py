"""``name=value`` on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from infra_gym.errors import UsageError


def pairs(option: str, texts: Iterable[str], *, example: str = "replicas=3") -> dict[str, str]:
    """``{"replicas": "3"}`` of ``["replicas=3"]``.

    Args:
        option: What the user wrote them after.
        texts: What the user wrote.
        example: What one may look like.

    Raises:
        UsageError: One has no ``=`` or no name.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{option} {text!r}: write name=value, such as {option} {example}")
        found[name.strip()] = value
    return found


def value(text: str) -> Any:
    """``text`` read as JSON where it is JSON (``3``, ``[1, 2]``, ``true``), else as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text
