"""What a definition asks Prometheus for, as far as a simulator can answer it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SELECTOR = re.compile(r"\s*([a-zA-Z_:][\w:]*)\s*(?:\{(.*)\}\s*)?", re.DOTALL)
_MATCHER = re.compile(r'\s*(\w+)\s*(=~|=)\s*"([^"]*)"\s*(?:,|$)')


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
        match = _SELECTOR.fullmatch(text)
        if match is None:
            return None
        matchers, rest = {}, match[2] or ""
        while rest.strip():
            matcher = _MATCHER.match(rest)
            if matcher is None:
                return None
            label, operator, wanted = matcher.groups()
            matchers[label] = (operator, wanted)
            rest = rest[matcher.end() :]
        return cls(match[1], matchers)

    def takes(self, label: str, value: str) -> bool:
        """Whether it asks for series with this value."""
        if label not in self.matchers:
            return True
        operator, wanted = self.matchers[label]
        if operator == "=":
            return value == wanted
        try:
            return re.fullmatch(wanted, value) is not None
        except re.error:
            return False

    def asks_only(self, **known: str | None) -> bool:
        """Whether it asks by these labels only, and of each that has a value, for that one."""
        return self.matchers.keys() <= known.keys() and all(
            value is None or self.takes(label, value) for label, value in known.items()
        )

    def codes(self, known: Sequence[str]) -> tuple[str, ...]:
        """Those of the codes that it takes."""
        return tuple(code for code in known if self.takes("code", code))

    def bucket(self, bounds_s: Sequence[float]) -> int | None:
        """The bucket whose ``le`` it asks for; ``None`` where that is not one of them."""
        operator, wanted = self.matchers.get("le", ("", ""))
        if operator == "=":  # "1.0" is the bucket "1"
            found = [one for one, bound in enumerate(bounds_s) if _number(wanted) == bound]
        else:
            found = [one for one, bound in enumerate(bounds_s) if self.takes("le", _le(bound))]
        return found[0] if "le" in self.matchers and len(found) == 1 else None


def _le(bound: float) -> str:
    """As programs write a bound."""
    return "+Inf" if bound == float("inf") else f"{bound:g}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
