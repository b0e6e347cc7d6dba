"""What an account is billed for a live stack: looked at while it changes and at the end of a step.

What stands before a reset ends, and during a teardown, is billed as well, so a thread keeps looking
then; its failures are left to the next look that a step or the end makes itself.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from infra_gym.cost import AccountMeter, Bill, Standing
from infra_gym.errors import CloudError, CloudRefusedError, InfraGymError
from infra_gym.worlds.episode import Clock

LOOK_S = 10.0
"""Seconds between two looks while the stack changes: by so much may a thing's end be told late."""
PATIENCE_S = 300.0
"""So long does what was seen last count where the account does not answer."""


class View(Protocol):
    """What an account tells of a run."""

    def look(self, names: Collection[str]) -> list[Standing]:
        """See :meth:`infra_gym.clouds.digitalocean_standing.AccountView.look`."""


class Metering:
    """Meters one stack.

    Args:
        open_view: Reaches the account, when it is first needed.
        name: What the names of the stack's things begin with now; ``None``: it has none yet.
        load: The lines that the ledger has of it.
        save: Records them there.
        clock: Wall time.
    """

    def __init__(
        self,
        open_view: Callable[[], View],
        *,
        name: Callable[[], str | None],
        load: Callable[[], Sequence[dict[str, Any]]],
        save: Callable[[Sequence[dict[str, Any]]], None],
        clock: Clock = time,
    ) -> None:
        self._open_view = open_view
        self._name = name
        self._load = load
        self._save = save
        self._clock = clock
        self._names: set[str] = set()
        self._view: View | None = None
        self._meter: AccountMeter | None = None
        self._looked_s = -math.inf
        self._looking = threading.Lock()

    def look(self) -> Bill:
        """Look at the account now; the bill up to this moment.

        Raises:
            CloudError: The account does not answer, or refuses.
        """
        with self._looking:
            if self._meter is None:
                self._meter = AccountMeter(self._load())
            if name := self._name():
                self._names.add(name)
            if self._names:
                self._view = self._view or self._open_view()
                standing = self._view.look(self._names)
                self._looked_s = self._clock.time()
                if self._meter.look(self._looked_s, standing):
                    self._save(self._meter.state())
            return self._meter.bill(self._clock.time())

    def read(self) -> Bill:
        """As :meth:`look`; where the account does not answer for a while, what stood still does.

        Raises:
            CloudError: The account refuses, or has not answered for :data:`PATIENCE_S`.
        """
        try:
            return self.look()
        except CloudRefusedError:
            raise
        except CloudError:
            if self._clock.time() > self._looked_s + PATIENCE_S:
                raise
            return self.told()

    def told(self) -> Bill:
        """The bill up to now as of the last look; asks nobody."""
        with self._looking:
            meter = self._meter or AccountMeter()
            return meter.bill(self._clock.time())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep looking while the body changes the stack, and look once more after it."""
        done = threading.Event()
        threading.Thread(target=self._watch, args=(done,), name="meter", daemon=True).start()
        try:
            yield
        finally:
            done.set()
            with suppress(InfraGymError):  # the body's own outcome is what is told
                self.look()

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(LOOK_S):
            with suppress(InfraGymError):
                self.look()
