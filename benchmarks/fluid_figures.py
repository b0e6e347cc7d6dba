"""How fast the vector forms of the simulated web app are: by flows, and request by request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from measuring import Figure, Turn, rates

import infra_gym  # noqa: F401 - registers the environments
from infra_gym.definitions.catalog import find_definition
from infra_gym.worlds.fluid import FluidBatch

ID = "SimpleK8sWebApp-v0"
MANY = 4096
STEPS = 100_000
"""Of all environments, in a turn of the fluid form."""


def figures(rounds: int) -> Iterator[Figure]:
    speed = rates({"ours": stepping("fluid", MANY), "bare": bare_loop(MANY)}, rounds)
    yield Figure(
        f"fluid form, batch of {MANY}, gym.make_vec", speed["ours"], "steps/s",
        f"compiled transitions alone: {speed['bare']:,.0f}", speed["ours"] / speed["bare"],
        "must 5,000,000 steps/s",
    )  # fmt: skip
    sizes = (1, 16, 256, 65_536)
    for size, rate in rates({size: stepping("fluid", size) for size in sizes}, rounds).items():
        yield Figure(f"fluid form, batch of {size}", rate, "steps/s")
    kinds: dict[str, dict[str, Any]] = {
        "constant load": {"workload": {"profile": "constant", "mean_rps": 60}},
        "bursts": {"workload": {"profile": "bursty", "mean_rps": 60}},
        "episodes of 20 steps": {"max_episode_steps": 20},
    }
    turns = {kind: stepping("fluid", MANY, **options) for kind, options in kinds.items()}
    for kind, rate in rates(turns, rounds).items():
        yield Figure(f"fluid form, batch of {MANY}, {kind}", rate, "steps/s")
    some = 16
    rate = rates({"ours": stepping("reference", some)}, max(3, rounds // 5))["ours"]
    yield Figure(f"reference form, batch of {some}", rate, "steps/s")
    requests = requests_per_step(some)
    yield Figure("the same, at so many requests a step", requests, "requests")
    yield Figure("the same", rate * requests, "requests/s")


def stepping(fidelity: str, num_envs: int, **options: Any) -> tuple[int, Turn]:
    """Steps of a batch through ``gym.make_vec``, random actions made before."""
    steps = max(3, min(1000, STEPS // num_envs)) if fidelity == "fluid" else 20
    envs = gym.make_vec(
        ID,
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        target="sim",
        fidelity=fidelity,
        **options,
    )
    actions = np.random.default_rng(1).integers(0, 3, (steps, num_envs))
    envs.reset(seed=1)

    def turn() -> object:
        for action in actions:
            result = envs.step(action)  # kept until the next, as a learner would
        return result

    return steps * num_envs, turn


def bare_loop(num_envs: int) -> tuple[int, Turn]:
    """The compiled transitions alone, under the same random moves."""
    definition = find_definition(ID)
    steps = max(3, STEPS // num_envs)
    world = FluidBatch(
        definition,
        num_envs,
        workload=definition.workload,
        interval_s=definition.interval_s["sim"],
        time_scale=definition.scale("sim"),
    )
    rows = np.empty((len(world.names), num_envs))
    world.begin(np.arange(num_envs), [0] * num_envs, 2, rows)
    moves = np.random.default_rng(1).integers(-1, 2, (steps, num_envs))
    idle = np.zeros(num_envs, dtype=np.bool_)
    replicas = np.full(num_envs, 2)
    wanted = []
    for move in moves:
        replicas = np.clip(replicas + move, 2, 10)
        wanted.append(replicas)

    def turn() -> None:
        for replicas in wanted:
            world.step(replicas, idle, rows)

    return steps * num_envs, turn


def requests_per_step(num_envs: int) -> float:
    envs = gym.make_vec(
        ID, num_envs=num_envs, vectorization_mode="vector_entry_point", target="sim", info=True
    )
    envs.reset(seed=1)
    steps = [envs.step(np.ones(num_envs, dtype=np.int64))[4] for _ in range(200)]
    return float(np.mean([info["metrics"]["requests"].mean() for info in steps]))
