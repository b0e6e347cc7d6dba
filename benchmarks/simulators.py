"""How fast the simulators are, each with a reference loop beside it.

    python benchmarks/simulators.py [--only scaling|twin|fluid] [--rounds 30] [--json FILE]

All on one core. Times are those of the process itself, and what is compared runs in turns of a few
milliseconds, of which the fastest counts: so a machine that does other things as well disturbs
little.

One section for each simulator; a section is a function that yields figures, listed in SECTIONS.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fluid_figures
import gymnasium as gym
import numpy as np
import twin_figures
from measuring import Figure, Turn, first_call, rates
from rich.console import Console
from rich.table import Table

import infra_gym  # noqa: F401 - registers the environments
from infra_gym.simulators import scaling
from infra_gym.simulators.compilation import compiled

ORIGINAL_SCALING = 35_000
"""Steps a second of gym-scaling itself in one process, without a picture, on a core like ours."""


# ---------------------------------------------------------------- Scaling-v0


@compiled
def bare_call(state: np.ndarray, action: int) -> float:
    state[0] += action
    return state[0]


class Bare(gym.Env):
    """The least that an environment of this kind can do: a compiled call and one info key."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (5,), np.float64)
    action_space = gym.spaces.Discrete(3)

    def reset(
        self,
        *,
        seed: int | None = None,
        options: Any = None,  # noqa: ARG002
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._state = np.zeros(5)
        return self._state.copy(), {"cost_usd": 0.0}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = bare_call(self._state, action)
        return self._state.copy(), reward, False, False, {"cost_usd": reward}


def plain_python(steps: int) -> float:
    """The same dynamics as a loop of plain Python, without an environment around it."""
    instances, queue, pending, total_reward = 50, 0.0, 0, 0.0
    for step in range(1, steps + 1):
        influx = math.ceil((math.sin(step * 0.01) + 1) * 4350 / 2)
        total, capacity = influx + queue, instances * 87
        processed = min(total, capacity)
        load, queue = math.ceil(processed / capacity * 100), total - processed
        penalty = 0.0
        if 2 <= instances + pending <= 100:
            instances += pending
        else:
            penalty = -0.1
        pending = (-1, 0, 1)[step % 3]
        total_reward += -(1 - load / 100) * (instances / 100) + penalty - queue / (1 + queue)
    return total_reward


def numpy_loop(num_envs: int, steps: int) -> Turn:
    """The same dynamics for a batch in NumPy, the influx given; arrays are made once."""
    actions = np.random.default_rng(1).integers(-1, 2, (steps, num_envs)).astype(np.float64)
    influx = np.random.default_rng(2).integers(500, 4351, num_envs).astype(np.float64)

    def turn() -> None:
        instances, queue = np.full(num_envs, 50.0), np.zeros(num_envs)
        pending = np.zeros(num_envs)
        for change in actions:
            total, capacity = influx + queue, instances * 87
            processed = np.minimum(total, capacity)
            load, queue = np.ceil(processed / capacity * 100) / 100, total - processed
            wanted = instances + pending
            fits = (wanted >= 2) & (wanted <= 100)
            instances = np.where(fits, wanted, instances)
            share = instances / 100
            reward = -(1 - load) * share - np.where(fits, 0.0, 0.1) - queue / (1 + queue)
            np.stack([share, load, capacity, influx, queue], axis=1)
            pending = change
            _ = reward, queue > 43_500

    return turn


def stepping(env: gym.Env, steps: int) -> tuple[int, Turn]:
    env.reset(seed=1)

    def turn() -> None:
        step = env.step
        for number in range(steps):
            step(number % 3)

    return steps, turn


def stepping_batch(num_envs: int, **options: Any) -> tuple[int, Turn]:
    """About 400,000 steps of a batch, random actions made before."""
    steps = max(3, min(2000, 400_000 // num_envs))
    envs = gym.make_vec(
        "Scaling-v0", num_envs=num_envs, vectorization_mode="vector_entry_point", **options
    )
    actions = np.random.default_rng(1).integers(0, 3, (steps, num_envs))
    envs.reset(seed=1)

    def turn() -> object:
        for action in actions:
            result = envs.step(action)  # kept until the next, as a learner would
        return result

    return steps * num_envs, turn


def bare_loop(num_envs: int) -> tuple[int, Turn]:
    """The compiled loop alone: the same arrays again and again, no Gymnasium."""
    steps = max(3, 400_000 // num_envs)
    rules = scaling.Rules(
        max_instances=100.0, min_instances=2.0, capacity_per_instance=87,
        change_rate=10_000, offset=500, cost_per_instance_per_hour=0.192,
    ).array(scaling.RANDOM)  # fmt: skip
    state, series, changes = (
        np.zeros((scaling.FIELDS, num_envs)),
        np.zeros((1, 1)),
        np.arange(-1, 2),
    )
    places = np.arange(num_envs)
    scaling.begin(state, places, places, rules, series)
    actions = np.random.default_rng(1).integers(0, 3, (steps, num_envs))
    observations, terminations = np.empty((num_envs, 5)), np.empty(num_envs, dtype=np.bool_)
    rewards, usd = np.empty((2, num_envs))

    def turn() -> None:
        for action in actions:
            scaling.step_all(
                state, action, changes, rules, series, observations, rewards, terminations, usd
            )

    return steps * num_envs, turn


FIRST_SCALING = """
import gymnasium, infra_gym, time
env = gymnasium.make{form}("Scaling-v0", {options})
begin = time.perf_counter()
env.reset(seed=1)
env.step({action})
print(time.perf_counter() - begin)
"""


def scaling_figures(rounds: int) -> Iterator[Figure]:
    if "Bare-v0" not in gym.registry:
        gym.register("Bare-v0", entry_point=Bare)
    steps = 3000
    options = {"influx": "sine", "change_rate": 1}
    speed = rates(
        {
            "bare": stepping(gym.make("Bare-v0"), steps),
            "ours": stepping(gym.make("Scaling-v0"), steps),
            "sine": stepping(gym.make("Scaling-v0", **options), steps),
            "plain": (steps, lambda: plain_python(steps)),
        },
        3 * rounds,
    )
    yield Figure(
        "Scaling-v0, gym.make", speed["ours"], "steps/s",
        f"bare environment, gym.make: {speed['bare']:,.0f}", speed["ours"] / speed["bare"],
        "goal 0.8, must 0.65",
    )  # fmt: skip
    yield against_original("the same", speed["ours"], "must 15")
    yield Figure(
        "the same, sine at every step", speed["sine"], "steps/s",
        f"dynamics in plain Python, no environment: {speed['plain']:,.0f}",
        speed["sine"] / speed["plain"],
    )  # fmt: skip

    many = 4096
    loop = 100
    speed = rates(
        {
            "ours": stepping_batch(many),
            "bare": bare_loop(many),
            "numpy": (loop * many, numpy_loop(many, loop)),
        },
        rounds,
    )
    name = f"batch of {many}, gym.make_vec"
    yield Figure(
        name, speed["ours"], "steps/s", f"NumPy loop: {speed['numpy']:,.0f}",
        speed["ours"] / speed["numpy"], "goal 50,000,000 steps/s",
    )  # fmt: skip
    yield Figure(
        name, speed["ours"], "steps/s", f"compiled loop alone: {speed['bare']:,.0f}",
        speed["ours"] / speed["bare"],
    )  # fmt: skip
    yield against_original(name, speed["ours"], "must 1000")

    kinds = {
        "random influx at every step": {"change_rate": 1},
        "sine at every step": {"influx": "sine", "change_rate": 1},
        "sequence at every step": {"influx": np.linspace(0, 4350, 1000), "change_rate": 1},
        "with infos": {"info": True},
        "episodes of 200 steps": {"max_episode_steps": 200},
    }
    for name, rate in rates(
        {name: stepping_batch(many, **options) for name, options in kinds.items()}, rounds
    ).items():
        yield Figure(f"batch of {many}, {name}", rate, "steps/s")
    sizes = (1, 16, 256, 65_536)
    for size, rate in rates({size: stepping_batch(size) for size in sizes}, rounds).items():
        yield Figure(f"batch of {size}", rate, "steps/s")

    for form, arguments, action in (("", "", "1"), ("_vec", "num_envs=2", "[1, 1]")):
        cold, warm = first_call(FIRST_SCALING.format(form=form, options=arguments, action=action))
        yield Figure(f"gym.make{form}: first reset and step, compiling", cold, "s")
        yield Figure(f"gym.make{form}: first reset and step, from the cache on disk", warm, "s")


def against_original(name: str, rate: float, limit: str) -> Figure:
    reference = f"gym-scaling as published: {ORIGINAL_SCALING:,}"
    return Figure(name, rate, "steps/s", reference, rate / ORIGINAL_SCALING, limit)


# ---------------------------------------------------------------- all


SECTIONS: dict[str, Callable[[int], Iterator[Figure]]] = {
    "scaling": scaling_figures,
    "twin": twin_figures.figures,
    "fluid": fluid_figures.figures,
}


def show(figures: list[Figure], title: str) -> None:
    table = Table(title=title)
    for column in ("figure", "value", "unit", "reference", "ratio", "limit"):
        table.add_column(column, justify="right" if column in ("value", "ratio") else "left")
    for one in figures:
        value = f"{one.value:,.0f}" if one.value >= 100 else f"{one.value:.3g}"
        ratio = "" if one.ratio is None else f"{one.ratio:,.2f}"
        table.add_row(one.name, value, one.unit, one.reference, ratio, one.limit)
    Console(width=150).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=sorted(SECTIONS), action="append")
    parser.add_argument("--rounds", type=int, default=30, help="turns of each, fastest counts")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    results = {}
    for name in arguments.only or SECTIONS:
        figures = list(SECTIONS[name](arguments.rounds))
        show(figures, f"{name}, one core of {platform.machine()}, {platform.python_version()}")
        results[name] = [asdict(figure) for figure in figures]
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
