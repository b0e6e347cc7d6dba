"""The original's game: constant load, one server more or less a turn, least cost.

    python examples/07-heater-loop/heater_loop.py                # real Terraform, real processes
    python examples/07-heater-loop/heater_loop.py --target sim   # the simulator

The agent takes a server away as long as answers stay quick, and gives one back when they do not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from pydantic_settings import CliApp

import infra_gym  # noqa: F401  # its environments exist once it is imported

FEWER, SAME, MORE = 0, 1, 2


@dataclass(config=ConfigDict(use_attribute_docstrings=True))
class Args:
    """What can be set on the command line."""

    target: Literal["sim", "local", "k8s"] = "local"
    """Where the servers run."""
    project: str = "simple"
    """First part of all names, as the original's."""
    steps: int = 30
    """Turns."""
    seed: int = 1
    """Decides when requests arrive."""
    mean_rps: float = 80.0
    """Requests a second; a server does at most 40."""
    quick_s: float = 0.2
    """What the agent still calls a quick answer: the 95th percentile, in seconds."""
    log: Path | None = None
    """Where the run's data go; left out, they are not kept."""


def act(metrics: dict[str, float], args: Args) -> int:
    """Add when answers are slow, remove when there is room to spare, else wait."""
    if metrics["starting"] > 0 or metrics["requests"] == 0:
        return SAME
    if metrics["latency_p95"] > args.quick_s or metrics["error_share"] > 0:
        return MORE
    return FEWER if metrics["utilisation"] < 0.5 else SAME


def main(args: Args) -> None:
    """One episode."""
    env: gym.Env[Any, Any] = gym.make(
        "SimpleK8sWebApp-v0",
        target=args.target,
        project=args.project,
        workload={"profile": "constant", "mean_rps": args.mean_rps},
        log=args.log,
    )
    total = 0.0
    try:
        _, info = env.reset(seed=args.seed)
        for turn in range(1, args.steps + 1):
            action = act(info["metrics"], args)
            _, reward, terminated, truncated, info = env.step(action)
            total += float(reward)
            seen = info["metrics"]
            print(
                f"turn {turn:3}: {'-0+'[action]}  {'#' * int(seen['replicas']):<10}"
                f"  {seen['latency_p95'] * 1000:5.0f} ms  {reward:8.4f}"
            )
            if terminated or truncated:
                break
    finally:
        env.close()  # tears everything down
    print(f"reward of the episode: {total:.4f} USD")


if __name__ == "__main__":
    main(CliApp.run(Args))
