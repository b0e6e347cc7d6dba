"""A rule of your own for a batch scheduler, against the usual ones.

    python examples/05-batch-agent/batch_agent.py

Prints the mean bounded slowdown of each rule: how many times longer than its run a job took in all.
"""

from __future__ import annotations

from statistics import fmean
from typing import Any

import gymnasium as gym
import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from pydantic_settings import CliApp

import infra_gym  # noqa: F401  # its environments exist once it is imported
from infra_gym.agents import make_agent


@dataclass(config=ConfigDict(use_attribute_docstrings=True))
class Args:
    """What can be set on the command line."""

    trace: str = ""
    """A trace in the Standard Workload Format; left out, the one that comes with the package."""
    jobs: int = 256
    """Jobs in an episode."""
    episodes: int = 5
    """Episodes of each rule; all rules meet the same."""
    patience: float = 2.0
    """How much twelve hours of waiting weigh against the longest run time."""


def priority(rows: np.ndarray[Any, Any], patience: float) -> np.ndarray[Any, Any]:
    """The rule, for each waiting job: short ones first, unless one has waited long."""
    waited, requested = rows[:, 0], rows[:, 1]
    return np.asarray(patience * waited - requested)


def play(env: gym.Env[Any, Any], act: Any, seed: int) -> float:
    """One episode; its mean bounded slowdown."""
    observation, info = env.reset(seed=seed)
    over = False
    while not over:
        observation, _, terminated, truncated, info = env.step(act(observation, info))
        over = terminated or truncated
    return float(info["metrics"]["bounded_slowdown"])


def main(args: Args) -> None:
    """Each rule on the same episodes."""
    settings: dict[str, Any] = {"trace": args.trace} if args.trace else {}
    env = gym.make("BatchScheduling-v0", jobs=args.jobs, decision="head", **settings)

    def own(observation: Any, info: dict[str, Any]) -> int:
        scores = np.where(info["action_mask"], priority(observation, args.patience), -np.inf)
        return int(np.argmax(scores))

    for name in ("fcfs", "sjf", "own rule"):
        slowdowns = []
        for seed in range(1, args.episodes + 1):
            act = own
            if name != "own rule":
                agent = make_agent("batch", score=name)
                env.reset(seed=seed)
                agent.reset(seed, env)
                act = agent.act
            slowdowns.append(play(env, act, seed))
        print(f"{name:>9}: mean bounded slowdown {fmean(slowdowns):8.2f}")
    env.close()


if __name__ == "__main__":
    main(CliApp.run(Args))
