"""How trained agents do; training_speed.py has how quickly they are trained.

    python benchmarks/training.py --webapp MODEL... [--seeds N]
    python benchmarks/training.py --scaling MODEL...
    python benchmarks/training.py --batch TRACE MODEL...

The first tunes HPA and threshold on the tuning split (3 seeds a load), and plays them and the
models on the held-out one, request by request: cost and SLO share of an episode, and how far the
model's are from the rule's on the same arrivals. The second prints the mean reward of 1000 steps of
Scaling-v0 on gym-scaling's two inputs and on 20 random series, also of the best simple rule; the
third the mean bounded slowdown on RLScheduler's ten sequences. Intervals are 95 % ones, by the
bootstrap.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

import infra_gym
from infra_gym.agents import make_agent
from infra_gym.environments.make import make
from infra_gym.workloads.splits import Split, complete, loads_of

ID = "SimpleK8sWebApp-v0"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--webapp", nargs="+", metavar="MODEL")
    what.add_argument("--scaling", nargs="+", metavar="MODEL")
    what.add_argument("--batch", nargs="+", metavar="TRACE MODEL")
    arguments = parser.parse_args()
    print(f"infra-gym {infra_gym.__version__}: training")
    if arguments.webapp:
        lines = webapp(arguments.webapp, arguments.seeds)
    elif arguments.scaling:
        lines = scaling(arguments.scaling)
    else:
        lines = batch(Path(arguments.batch[0]), arguments.batch[1:])
    for line in lines:
        print(line, flush=True)


RULES: tuple[tuple[str, dict[str, float]], ...] = (
    *(
        ("threshold", {"high": high, "low": low})
        for high in (0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
        for low in (0.05, 0.1, 0.2)
        if low <= high * 2 / 3
    ),
    *(
        ("hpa", {"target": target, "down_window_s": window})
        for target in (0.1, 0.15, 0.2, 0.3, 0.4)
        for window in (60.0, 300.0)
    ),
)
"""What is tuned over."""


def webapp(models: Sequence[str], seeds: int) -> Iterator[str]:
    """Each model on the held-out loads, beside the best rule of each kind by its mean reward."""
    chosen: dict[str, tuple[float, dict[str, float]]] = {}
    for name, parameters in RULES:
        reward = float(np.concatenate(list(_played("tuning", 3, name, parameters).values()))[:, 0]
                       .mean())  # fmt: skip
        if name not in chosen or reward > chosen[name][0]:
            chosen[name] = (reward, parameters)
    held = {
        f"{name} {parameters}": _played("held_out", seeds, name, parameters)
        for name, (_, parameters) in chosen.items()
    }
    rules = list(held)
    held |= {model: _played("held_out", seeds, model, {}) for model in models}
    for name, played in held.items():
        yield name
        for load, numbers in (played | {"all": np.concatenate(list(played.values()))}).items():
            reward, cost, share = numbers.mean(axis=0)
            yield f"  {load}: {cost:.4f} USD, {share:.3%} within the SLO, reward {reward:.4f}"
    for model in models:
        for rule in rules:
            yield f"{model} less {rule}"
            apart = {load: held[model][load] - held[rule][load] for load in held[rule]}
            for load, numbers in (apart | {"all": np.concatenate(list(apart.values()))}).items():
                yield (
                    f"  {load}: {interval(numbers[:, 1])} USD, "
                    f"{interval(numbers[:, 2] * 100)} points within the SLO"
                )


def _played(
    split: Split, seeds: int, name: str, parameters: dict[str, float]
) -> dict[str, NDArray[Any]]:
    """Of each load the reward, cost and SLO share of every episode, shape (seeds, 3)."""
    loads = loads_of(split)
    found = {}
    for load, arguments in loads.workloads.items():
        env = make(ID, target="sim", workload=complete(arguments))
        agent = make_agent(name, **parameters)
        found[load] = np.array([_episode(env, agent, seed) for seed in loads.seeds(seeds)])
        env.close()
    return found


def _episode(env: Any, agent: Any, seed: int) -> tuple[float, float, float]:
    observation, info = env.reset(seed=seed)
    agent.reset(seed, env)
    reward = cost = requests = within = 0.0
    for _ in range(200):
        observation, earned, _, _, info = env.step(agent.act(observation, info))
        reward += float(earned)
        cost += info["cost_usd"]
        requests += info["metrics"]["requests"]
        within += info["metrics"]["within_slo"]
    return reward, cost, within / requests


def scaling(models: Sequence[str]) -> Iterator[str]:
    """Mean rewards of 1000 steps, of the models and of the best simple rule."""
    for name in (*models, Tracking.__name__):
        agent = Tracking() if name == Tracking.__name__ else make_agent(name)
        sine, _ = _mean_reward(agent, influx="sine", change_rate=1)
        known, _ = _mean_reward(agent, influx=series(10), change_rate=1)
        others = [
            _mean_reward(agent, influx=series(seed), change_rate=1) for seed in range(1000, 1020)
        ]
        yield f"{name}: sine {sine:.4f}, random with seed 10 {known:.4f}"
        yield (
            f"  20 other random series: {interval([mean for mean, _ in others])}; "
            f"the queue overflowed in {sum(over for _, over in others)}"
        )


class Tracking:
    """One more instance below what the influx and the queue need and 2, one less above 3."""

    def reset(self, seed: int, env: Any) -> None: ...

    def act(self, observation: Any, info: Any) -> int:  # noqa: ARG002
        apart = 100 * observation[0] - (observation[3] + observation[4]) / 87
        return 2 if apart < 2 else 0 if apart > 3 else 1


def series(seed: int) -> list[int]:
    """What the original's RANDOM draws, each number 100 steps long."""
    drawn = random.Random(seed)
    return np.repeat([drawn.randint(500, 4350) for _ in range(11)], 100).tolist()


def _mean_reward(agent: Any, **arguments: Any) -> tuple[float, bool]:
    """Of 1000 steps, which go on where the queue overflows; and whether it did."""
    env = gym.make("Scaling-v0", **arguments).unwrapped
    observation, info = env.reset(seed=1)
    agent.reset(1, env)
    total, over = 0.0, False
    for _ in range(1000):
        observation, reward, terminated, _, info = env.step(agent.act(observation, info))
        total += float(reward)
        over |= terminated
    return total / 1000, over


def batch(trace: Path, models: Sequence[str], *, length: int = 1024) -> Iterator[str]:
    """Mean bounded slowdowns on RLScheduler's sequences, of the trace's first 10,000 jobs."""
    from batch_figures import drawing  # a benchmark beside this one

    rng = drawing(1)
    starts = [int(rng.randint(length, 10_000 - length - 1)) for _ in range(10)]
    for model in models:
        for backfill in ("none", "easy"):
            values = [_slowdown(model, trace, backfill, start, length) for start in starts]
            yield f"{model}, {trace.name}, backfill {backfill}: {interval(values)}"


def _slowdown(model: str, trace: Path, backfill: str, start: int, length: int) -> float:
    env = gym.make("BatchScheduling-v0", trace=trace, decision="head", backfill=backfill,
                   jobs=length)  # fmt: skip
    agent = make_agent(model)
    observation, info = env.reset(seed=1, options={"start": start})
    agent.reset(1, env)
    over = False
    while not over:
        observation, _, over, _, info = env.step(agent.act(observation, info))
    return float(info["metrics"]["bounded_slowdown"])


def interval(values: Sequence[float]) -> str:
    """The mean, and its 95 % interval by the bootstrap."""
    rng = np.random.default_rng(1)
    drawn = rng.choice(values, (10_000, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{np.mean(values):.4g} ({low:.4g} to {high:.4g})"


if __name__ == "__main__":
    main()
