"""A simulator is compiled where it has not been: who waits is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TEXT = "Compiling the simulator, this once: up to a minute."


@contextmanager
def compiling(tell: Callable[[str], None], *, simulated: bool = True) -> Iterator[None]:
    """Call ``tell`` when the first function is compiled while inside.

    Args:
        tell: Shows a text.
        simulated: Whether there is a simulator; else nothing is imported.
    """
    if not simulated:
        yield
        return
    from infra_gym.simulators.compilation import watched

    waiting = [_TEXT]
    with watched(lambda _: tell(waiting.pop()) if waiting else None):
        yield
