"""How a world reaches its Prometheus and its siege engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import requests

from infra_gym.metrics import session_for


class Way(Protocol):
    """What to ask, and with what.

    Attributes:
        url: Where the service answers.
        session: Carries certificates and credentials.
    """

    @property
    def url(self) -> str: ...  # noqa: D102

    @property
    def session(self) -> requests.Session: ...  # noqa: D102


class Reach(Protocol):
    """Finds ways."""

    def route(self, url: str, probe: str = "") -> Way:
        """The way to a service.

        Args:
            url: As the layer's output says.
            probe: A path below it that answers 200.
        """


@dataclass(frozen=True)
class _Direct:
    url: str
    session: requests.Session


class Direct:
    """Services that answer at their own URL."""

    def route(self, url: str, probe: str = "") -> Way:  # noqa: ARG002 - nothing else to try
        """See :class:`Reach`."""
        return _Direct(url, session_for(url))
