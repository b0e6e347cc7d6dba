"""The table of routes: which handler answers which method and path.

A handler takes the account, the :class:`Asked`, and what the path names; it returns an
:class:`Answer`. Anything that is not in the table is 404, as on DigitalOcean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.routing import Map, Rule


@dataclass(frozen=True)
class Asked:
    """A request's query and body."""

    query: Mapping[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """Status and body; ``listed`` names the key of a body that is told page by page."""

    status: int
    body: Any = None
    listed: str | None = None


Handler = Callable[..., Answer]
_ROUTES: dict[str, Handler] = {}
_RULES: list[Rule] = []


def route(method: str, path: str) -> Callable[[Handler], Handler]:
    """Have the decorated handler answer; ``path`` is what follows ``/v2``."""

    def register(handler: Handler) -> Handler:
        endpoint = f"{method} {path}"
        _ROUTES[endpoint] = handler
        _RULES.append(Rule(f"/v2{path}", methods=[method], endpoint=endpoint))
        return handler

    return register


def handler(endpoint: str) -> Handler:
    """The handler of an endpoint that :func:`table` matched."""
    return _ROUTES[endpoint]


def table() -> Map:
    """All routes that were registered."""
    return Map([rule.empty() for rule in _RULES], strict_slashes=False)
