"""Write the generated traces of infra_gym/workloads/traces: minutes of a service's life.

    python benchmarks/traces.py

A day's curve, a slow wandering, quick noise, and a few surges that decay; each file draws its own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "infra_gym" / "workloads" / "traces"
MINUTES = 240
FILES = {"training": (11, 45), "tuning": (22, 70), "held_out": (33, 57)}
"""Of each file: the seed, and the minutes of a day."""


def main() -> None:
    for name, (seed, day) in FILES.items():
        rows = "".join(f"{60 * minute},{rps}\n" for minute, rps in enumerate(rates(seed, day)))
        (FOLDER / f"{name}.csv").write_text(f"seconds,rps\n{rows}", encoding="utf-8")


def rates(seed: int, day: int) -> list[float]:
    """Requests/s of each minute, around 100."""
    rng = np.random.default_rng(seed)
    minutes = np.arange(MINUTES)
    curve = 1 - 0.45 * np.cos(2 * np.pi * (minutes + rng.integers(day)) / day)
    wandering = np.zeros(MINUTES)
    for minute in range(1, MINUTES):
        wandering[minute] = 0.95 * wandering[minute - 1] + rng.normal(0, 0.06)
    surges = np.zeros(MINUTES)
    for start in rng.choice(MINUTES, 5, replace=False):
        since = minutes - start
        surges += np.where(since >= 0, rng.uniform(0.5, 1.5) * np.exp(-since / 6), 0)
    noise = rng.normal(0, 0.05, MINUTES)
    return np.round(100 * np.maximum((curve + surges) * np.exp(wandering + noise), 0.1), 1).tolist()


if __name__ == "__main__":
    main()
