"""How the simulators are measured: figures, turns of which the fastest counts, first calls."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    unit: str
    reference: str = ""
    """What it is compared with, and how fast that is."""
    ratio: float | None = None
    """Of the value to the reference."""
    limit: str = ""


Turn = Callable[[], object]


def rates(turns: Mapping[str, tuple[int, Turn]], rounds: int) -> dict[str, float]:
    """Steps a second of each: how many steps a turn makes, and the turn."""
    best = dict.fromkeys(turns, math.inf)
    for _, turn in turns.values():
        turn()  # compiles, fills caches
    for _ in range(rounds):
        for name, (_, turn) in turns.items():
            begin = time.process_time()
            turn()
            best[name] = min(best[name], time.process_time() - begin)
    return {name: steps / best[name] for name, (steps, _) in turns.items()}


def first_call(program: str) -> tuple[float, float]:
    """Seconds that ``program`` prints in a new process: with an empty cache, then a full one."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "NUMBA_CACHE_DIR": folder}
        command = [sys.executable, "-c", program]
        times = [
            float(subprocess.run(command, env=environ, check=True, capture_output=True).stdout)
            for _ in range(2)
        ]
    return times[0], times[1]
