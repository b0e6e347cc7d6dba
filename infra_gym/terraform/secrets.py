"""Keep secret values out of everything that is printed, logged or handed on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

MASK = "(secret)"

_SECRET_NAMES = re.compile(r"SECRET|(TOKEN|PASSWORD|PASSPHRASE|_KEY)$")
_SHORTEST = 6  # masking shorter values would garble every message and protect nothing


class Masker:
    """Replaces secret values in texts.

    Args:
        environ: The environment of the process; variables are secret by their names.
        secrets: More values, whatever their names.
    """

    def __init__(self, environ: Mapping[str, str], secrets: Mapping[str, str]) -> None:
        named = (value for name, value in environ.items() if _SECRET_NAMES.search(name.upper()))
        values: set[str] = set()
        for value in (*named, *secrets.values()):
            # Programs print a key or a kubeconfig line by line, and quoted.
            for part in (value, *value.splitlines()):
                values.update((part.strip(), json.dumps(part.strip())[1:-1]))
        known = sorted((v for v in values if len(v) >= _SHORTEST), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, known))) if known else None

    def text(self, text: str) -> str:
        """``text`` with every secret value replaced."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def document(self, document: Any) -> Any:
        """A JSON value with every secret in its strings and keys replaced."""
        if self._pattern is None:
            return document
        if isinstance(document, str):
            return self.text(document)
        if isinstance(document, list):
            return [self.document(item) for item in document]
        if isinstance(document, dict):
            return {self.text(key): self.document(value) for key, value in document.items()}
        return document
