"""A rule of your own runs a web app.

    python examples/01-first-run/first_run.py                  # real Terraform, real processes
    python examples/01-first-run/first_run.py --target sim     # the simulator, in no time

Prints one line a step, and what the episode cost and earned.
"""

from __future__ import annotations

from typing import Any, Literal

import gymnasium as gym
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from pydantic_settings import CliApp

import infra_gym  # noqa: F401  # its environments exist once it is imported


@dataclass(config=ConfigDict(use_attribute_docstrings=True))
class Args:
    """What can be set on the command line."""

    target: Literal["sim", "local"] = "local"
    """Where the app runs."""
    steps: int = 20
    """Steps to take; one is a modelled minute."""
    seed: int = 1
    """Decides when requests arrive."""
    busy: float = 0.7
    """Above this utilisation one replica is added."""
    idle: float = 0.4
    """Below this utilisation one replica is removed."""


def act(metrics: dict[str, float], args: Args) -> int:
    """The rule: 0 is one replica fewer, 1 the same, 2 one more."""
    if metrics["starting"] > 0:  # wait for what was ordered before ordering again
        return 1
    if metrics["utilisation"] > args.busy:
        return 2
    if metrics["utilisation"] < args.idle:
        return 0
    return 1


def main(args: Args) -> None:
    """One episode, shown step by step."""
    env: gym.Env[Any, Any] = gym.make("SimpleK8sWebApp-v0", target=args.target)
    try:
        _, info = env.reset(seed=args.seed)
        print("step  replicas  requests/s  utilisation  p95 ms   reward")
        total = 0.0
        for step in range(1, args.steps + 1):
            _, reward, terminated, truncated, info = env.step(act(info["metrics"], args))
            total += float(reward)
            seen = info["metrics"]
            print(
                f"{step:4}  {seen['replicas']:8.0f}  {seen['request_rate']:10.1f}  "
                f"{seen['utilisation']:11.2f}  {seen['latency_p95'] * 1000:6.0f}  {reward:7.4f}"
            )
            if terminated or truncated:
                break
        print(f"reward of the episode: {total:.4f} USD")
    finally:
        env.close()  # destroys what reset made, whatever happened


if __name__ == "__main__":
    main(CliApp.run(Args))
