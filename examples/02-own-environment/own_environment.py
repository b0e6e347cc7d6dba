"""An environment of your own, from a YAML file beside this one.

    cd examples/02-own-environment
    infra-gym envs validate                  # file, line and key of anything that is wrong
    python own_environment.py                # as many replicas as the load asks for
    python own_environment.py --target local # the same on real processes

`infra-gym.toml` marks the folder, `envs/FlashCrowdWebApp-v0.yaml` is the environment: no Python.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Literal

import gymnasium as gym
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from pydantic_settings import CliApp

import infra_gym  # noqa: F401  # registers what envs/ beside infra-gym.toml holds


@dataclass(config=ConfigDict(use_attribute_docstrings=True))
class Args:
    """What can be set on the command line."""

    target: Literal["sim", "local"] = "sim"
    """Where it runs."""
    steps: int = 60
    """Steps to take; one is a modelled minute."""
    seed: int = 1
    """Decides when the crowds come."""
    rps_per_replica: float = 28.0
    """Requests a second that one replica is given: 4 slots of 0.1 s do at most 40."""


def main(args: Args) -> None:
    """One episode, then its reward, term by term."""
    env: gym.Env[Any, Any] = gym.make("FlashCrowdWebApp-v0", target=args.target)
    terms: Counter[str] = Counter()
    try:
        _, info = env.reset(seed=args.seed)
        for _ in range(args.steps):
            replicas = math.ceil(info["metrics"]["request_rate"] / args.rps_per_replica)
            action = min(max(replicas, 1), 8) - 1  # action 0 is one replica, 7 is eight
            _, _, terminated, truncated, info = env.step(action)
            terms.update(info["rewards"])
            print(
                "#" * int(info["metrics"]["replicas"]), f"{info['metrics']['request_rate']:.0f}/s"
            )
            if terminated or truncated:
                break
    finally:
        env.close()
    for term, usd in terms.items():
        print(f"{term:>6} {usd:9.4f} USD")


if __name__ == "__main__":
    main(CliApp.run(Args))
