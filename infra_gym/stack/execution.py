"""Work through layers in their order, several at once, and stop well."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from infra_gym.stack.order import Order, Progress

T = TypeVar("T")


@dataclass
class Outcome(Generic[T]):
    """What became of the layers."""

    results: dict[str, T] = field(default_factory=dict)
    failures: dict[str, Exception] = field(default_factory=dict)
    not_run: tuple[str, ...] = ()
    """Layers that wait for one that failed."""


def run_layers(
    order: Order, work: Callable[[str], T], *, interrupt: Callable[[], None]
) -> Outcome[T]:
    """Do ``work`` for every layer as soon as those that it waits for are done.

    A failure blocks the layers that wait for it; the others go on.

    Args:
        order: The layers.
        work: Called in threads of their own, for several layers at once.
        interrupt: Called on Ctrl-C, or when Python is to end, and again on each further one; work
            that runs is then awaited, and no more is begun.

    Raises:
        KeyboardInterrupt: After an interrupt, once nothing runs any more.
        SystemExit: As well, once nothing runs any more.
    """
    outcome: Outcome[T] = Outcome()
    progress = Progress(order)
    running: dict[Future[T], str] = {}
    interrupted: BaseException | None = None
    with ThreadPoolExecutor(max(1, len(order.layers)), thread_name_prefix="layer") as pool:
        while True:
            try:
                if interrupted is None:
                    for layer in progress.start_ready():
                        running[pool.submit(work, layer)] = layer
                if not running:
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    _collect(running.pop(future), future, outcome, progress)
            except (KeyboardInterrupt, SystemExit) as error:
                interrupted = error
                interrupt()
    if interrupted is not None:
        raise interrupted
    outcome.not_run = progress.waiting
    return outcome


def _collect(layer: str, future: Future[T], outcome: Outcome[T], progress: Progress) -> None:
    error = future.exception()
    if error is None:
        outcome.results[layer] = future.result()
        progress.done(layer)
    elif isinstance(error, Exception):
        outcome.failures[layer] = error
    else:
        raise error
