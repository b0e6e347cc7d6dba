"""How many steps a second Ray's workers play on simulators, with more and more of them.

    python benchmarks/ray_workers.py [--workers 1,2,4,8,16] [--episodes 96] [--json FILE]

Every worker is a process of its own with one simulated environment and a random agent. Beside each
number of workers stands the limit of this machine: the same episodes played by as many plain
processes (multiprocessing), without Ray, in the same turn. Starting is not counted.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from infra_gym.distributed.cluster import library, start_here
from infra_gym.distributed.crew import Crew
from infra_gym.evaluation.arena import Arena
from infra_gym.evaluation.evaluate import Case, Contestant, Player

RANDOM = Contestant("random")


def with_ray(arena: Arena, workers: int, episodes: int) -> float:
    """Steps a second of a crew, after each has played once."""
    crew = Crew(arena, workers=workers)
    try:
        list(crew.play([Case(index, RANDOM, index) for index in range(2 * workers)]))
        began = time.perf_counter()
        steps = sum(
            one.result.steps
            for one in crew.play([Case(index, RANDOM, index) for index in range(episodes)])
        )
        return steps / (time.perf_counter() - began)
    finally:
        crew.close()


_players: list[Player] = []


def _begin(arena: Arena) -> None:
    _players.append(Player(arena))


def _play(index: int) -> int:
    return _players[0].play(Case(index, RANDOM, index)).result.steps


def without(arena: Arena, workers: int, episodes: int) -> float:
    """Steps a second of a plain pool of processes."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, _begin, (arena,)) as pool:
        pool.map(_play, range(2 * workers), chunksize=1)
        began = time.perf_counter()
        steps = sum(pool.imap_unordered(_play, range(episodes)))
        return steps / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--id", default="SimpleK8sWebApp-v0")
    parser.add_argument("--workers", default="1,2,4,8,16", help="numbers of workers")
    parser.add_argument("--episodes", type=int, default=96, help="in each turn")
    parser.add_argument("--rounds", type=int, default=3, help="medians are told")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    arena = Arena.find(arguments.id, target="sim")
    numbers = [int(number) for number in arguments.workers.split(",")]
    start_here(max(numbers))
    turns: dict[int, list[tuple[float, float]]] = {number: [] for number in numbers}
    for _ in range(arguments.rounds):
        for number in numbers:
            pair = (
                with_ray(arena, number, arguments.episodes),
                without(arena, number, arguments.episodes),
            )
            turns[number].append(pair)
            print(
                f"{number:3} workers: {pair[0]:9,.0f} steps/s, processes {pair[1]:9,.0f}",
                flush=True,
            )
    library().shutdown()
    figures = []
    table = Table(title=f"{arguments.id}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for heading in ("workers", "steps/s, Ray", "steps/s, processes", "ratio"):
        table.add_column(heading, justify="right")
    for number, pairs in turns.items():
        ray, plain = (sorted(values)[len(values) // 2] for values in zip(*pairs, strict=True))
        ratio = sorted(a / b for a, b in pairs)[len(pairs) // 2]
        figures.append({"workers": number, "ray": ray, "processes": plain, "ratio": ratio})
        table.add_row(str(number), f"{ray:,.0f}", f"{plain:,.0f}", f"{ratio:.2f}")
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
