"""SIGINT, SIGTERM and SIGHUP as one exception.

They arrive as :class:`Interrupted`, a KeyboardInterrupt, so that whatever waits (Terraform, a
tick) stops in its own gentle way. Work that the first signal must not cut short, such as destroying
what a run made, is done inside :meth:`Signals.patience`; the second cuts that short as well.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Self


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to stop.

    Args:
        number: Of the signal.
        text: What to say of it.
    """

    def __init__(self, number: int, text: str | None = None) -> None:
        super().__init__(text or f"Stopped by {signal.Signals(number).name}.")
        self.number = number


class Signals:
    """Raises :class:`Interrupted` in the main thread at each signal while it is open."""

    def __init__(self) -> None:
        self.first: int | None = None
        """The number of the first signal, once one came."""
        self.times = 0
        """How many came."""
        self.on_again: Callable[[], None] | None = None
        """Called in a thread at every signal but the first: an end to what is too gentle."""
        self._on_patience: Callable[[], None] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            numbers = [signal.SIGINT, signal.SIGTERM]
            if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it on purpose
                numbers.append(signal.SIGHUP)
            self._before = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def patience(self, on_first: Callable[[], None]) -> Iterator[None]:
        """The first signal of all, if it comes in here, only calls ``on_first``."""
        self._on_patience = on_first
        try:
            yield
        finally:
            self._on_patience = None

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.times += 1
        is_first = self.first is None
        if is_first:
            self.first = number
        elif self.on_again is not None:
            # In a thread, for this one may hold the locks that are needed.
            threading.Thread(target=self.on_again, daemon=True).start()
        if is_first and self._on_patience is not None:
            with contextlib.suppress(OSError):  # the terminal may be gone
                self._on_patience()
            return
        raise Interrupted(number)
