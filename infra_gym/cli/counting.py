"""How many of many are done: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from infra_gym.cli.output import Output

_LINE_EVERY_S = 10.0

Told = Callable[[int, int], None]
"""Takes how many are done, and of how many."""


@contextmanager
def counting(output: Output, doing: str) -> Iterator[Told]:
    """Show what is told while inside.

    Args:
        output: Where.
        doing: What is counted, such as ``Playing episodes``.
    """
    if output.quiet or output.json or not output.aside.is_terminal:
        yield _lines(output, doing)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Left

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Left())
    with Progress(*columns, console=output.aside, transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _lines(output: Output, doing: str) -> Told:
    began = told = time.monotonic()

    def tell(done: int, of: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _LINE_EVERY_S and done < of:
            told = now
            left = (now - began) / done * (of - done)
            output.note(f"{doing}: {done} of {of}, about {left:.0f} s left")

    return tell
