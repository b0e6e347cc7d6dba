"""What a definition asks Prometheus for, as far as the web app's twin can answer it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from infra_gym.simulators.webapp_counts import BUCKETS_S, CODES

_SELECTOR = re.compile(r"^\s*([a-zA-Z_:][\w:]*)\s*(?:\{([^{}]*)\})?\s*$")
_MATCHER = re.compile(r'^\s*(\w+)\s*(=~|=)\s*"([^"]*)"\s*$')


@dataclass(frozen=True)
class Selector:
    """A bare selector: a series' name, and what its labels must be.

    Attributes:
        name: Of the series.
        matchers: By label, the operator (``=`` or ``=~``) and the text to match.
    """

    name: str
    matchers: Mapping[str, tuple[str, str]]

    @classmethod
    def parse(cls, text: str) -> Selector | None:
        """From ``name{code=~"200|timeout"}``; ``None`` for what is no such selector."""
        match = _SELECTOR.match(text)
        if match is None:
            return None
        matchers = {}
        for part in filter(None, (match[2] or "").split(",")):
            matcher = _MATCHER.match(part)
            if matcher is None:
                return None
            label, operator, wanted = matcher.groups()
            matchers[label] = (operator, wanted)
        return cls(match[1], matchers)

    def codes(self) -> tuple[str, ...]:
        """The siege engine's codes that it takes."""
        return tuple(code for code in CODES if self._takes("code", code))

    def bucket(self) -> int | None:
        """The bucket whose ``le`` it asks for; ``None`` where that is not one of them."""
        operator, wanted = self.matchers.get("le", ("", ""))
        if operator == "=":  # "1.0" is the bucket "1"
            found = [one for one, bound in enumerate(BUCKETS_S) if _number(wanted) == bound]
        else:
            found = [one for one, bound in enumerate(BUCKETS_S) if self._takes("le", _le(bound))]
        return found[0] if "le" in self.matchers and len(found) == 1 else None

    def _takes(self, label: str, value: str) -> bool:
        if label not in self.matchers:
            return True
        operator, wanted = self.matchers[label]
        if operator == "=":
            return value == wanted
        try:
            return re.fullmatch(wanted, value) is not None
        except re.error:
            return False


def _le(bound: float) -> str:
    """As the siege engine writes a bound."""
    return "+Inf" if bound == BUCKETS_S[-1] else f"{bound:g}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
