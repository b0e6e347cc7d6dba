"""How many steps a second a training makes, beside what it is made of; and how its agents do.

    python benchmarks/training.py [--rounds N] [--environments N] [--threads N]
    python benchmarks/training.py --scaling MODEL...
    python benchmarks/training.py --batch TRACE MODEL...

The first prints SimpleK8sWebApp-v0's fluid form with PPO end to end; the vector form alone under
random actions; and what learns, with the same networks and batches, on environments that cost
nothing. Turns alternate, the fastest of each counts; seconds are those of the clock. The
second prints the mean reward of 1000 steps of Scaling-v0 on gym-scaling's two inputs and on 20
random series, the third the mean bounded slowdown on RLScheduler's ten sequences, each with its
interval by the bootstrap.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

import infra_gym
from infra_gym.agents import make_agent

ID = "SimpleK8sWebApp-v0"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--environments", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scaling", nargs="+", metavar="MODEL")
    parser.add_argument("--batch", nargs="+", metavar="TRACE MODEL")
    arguments = parser.parse_args()
    print(f"infra-gym {infra_gym.__version__}: training")
    if arguments.scaling:
        lines = scaling(arguments.scaling)
    elif arguments.batch:
        lines = batch(Path(arguments.batch[0]), arguments.batch[1:])
    else:
        lines = rates(arguments.rounds, arguments.environments, arguments.threads)
    for line in lines:
        print(line, flush=True)


def rates(rounds: int, environments: int, threads: int) -> Iterator[str]:
    """Steps a second, the fastest of so many turns."""
    import torch

    from infra_gym.training import recipe_for
    from infra_gym.training.algorithms import make_model
    from infra_gym.training.sensed import Sensed
    from infra_gym.training.vec_env import VectorEnvs
    from infra_gym.training.vectors import make_vector

    torch.set_num_threads(threads)
    _, recipe = recipe_for(ID, None)
    number = environments // len(recipe.arguments)
    groups = [{"fidelity": "fluid", **one} for one in recipe.arguments]

    def learner(venv: Any, epochs: int) -> Any:
        sensed = Sensed(venv, scale="standard", frames=recipe.frames, gamma=recipe.gamma,
                        reward_unit=0.0005, reward_limit=20)  # fmt: skip
        return make_model("ppo", recipe.model_copy(update={"epochs": epochs}), sensed, seed=1)

    vectors = [make_vector(ID, number, one) for one in groups]
    alone = VectorEnvs([make_vector(ID, number, one) for one in groups])
    alone.reset()
    actions = np.random.default_rng(1).integers(0, 3, (32, alone.num_envs))
    turns: dict[str, Any] = {"the vector forms alone": lambda: [alone.step(one) for one in actions]}
    for epochs in (1, 2, 4):
        model = learner(VectorEnvs(vectors), epochs)
        bare = learner(VectorEnvs([Nothing(one) for one in vectors]), epochs)
        turns[f"PPO end to end, {epochs} epochs"] = _learning(model)
        turns[f"the same without environments, {epochs} epochs"] = _learning(bare)
    best = dict.fromkeys(turns, float("inf"))
    for turn in range(rounds + 1):
        for name, run in turns.items():
            begun = time.perf_counter()
            run()
            if turn:  # the first compiles
                best[name] = min(best[name], time.perf_counter() - begun)
    steps = 32 * alone.num_envs
    for name, seconds in best.items():
        yield f"{name}: {steps / seconds:,.0f} steps/s"


def _learning(model: Any) -> Any:
    """A turn: one rollout and its update."""

    def run() -> None:
        model.learn(model.n_steps * model.n_envs, reset_num_timesteps=False)

    return run


def scaling(models: Sequence[str]) -> Iterator[str]:
    """Mean rewards of 1000 steps."""
    for model in models:
        sine = _mean_reward(model, influx="sine", change_rate=1)
        seeds = [10, *range(1000, 1020)]
        others = [_mean_reward(model, influx=series(seed), change_rate=1) for seed in seeds]
        yield f"{model}: sine {sine:.4f}, random with seed 10 {others[0]:.4f}"
        yield f"  20 other random series: {interval(others[1:])}"


def series(seed: int) -> list[int]:
    """What the original's RANDOM draws, each number 100 steps long."""
    drawn = random.Random(seed)
    return np.repeat([drawn.randint(500, 4350) for _ in range(11)], 100).tolist()


def _mean_reward(model: str, **arguments: Any) -> float:
    env = gym.make("Scaling-v0", **arguments)
    agent = make_agent(model)
    observation, info = env.reset(seed=1)
    agent.reset(1, env)
    total = 0.0
    for _ in range(1000):
        observation, reward, terminated, _, info = env.step(agent.act(observation, info))
        total += float(reward)
        if terminated:
            return float("-inf")
    return total / 1000


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


class Nothing(VectorEnv):
    """Environments that cost nothing: the same observations and rewards always."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, like: VectorEnv) -> None:
        self.num_envs = like.num_envs
        self.single_observation_space = like.single_observation_space
        self.single_action_space = like.single_action_space
        shape = (self.num_envs, *self.single_observation_space.shape)
        self._observations = np.random.default_rng(1).random(shape, np.float32)
        self._zeros = np.zeros(self.num_envs)
        self._never = np.zeros(self.num_envs, np.bool_)

    def reset(self, **_: Any) -> Any:
        return self._observations, {}

    def step(self, actions: Any) -> Any:  # noqa: ARG002
        return self._observations, self._zeros, self._never, self._never, {}


if __name__ == "__main__":
    main()
