"""Play until the money is spent; then everything is torn down.

    python examples/09-budgeted-run/budgeted_run.py                # the simulator
    python examples/09-budgeted-run/budgeted_run.py --target local

On the target do the budget is of what the account is billed, and has to be allowed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from pydantic_settings import CliApp

import infra_gym  # noqa: F401  # its environments exist once it is imported
from infra_gym.agents import make_agent


@dataclass(config=ConfigDict(use_attribute_docstrings=True))
class Args:
    """What can be set on the command line."""

    target: Literal["sim", "local", "k8s", "do"] = "sim"
    """Where the app runs."""
    budget: float = 0.005
    """US dollars that the run may cost."""
    spend: Literal["no", "yes"] = "no"
    """On the target do: whether an account may be billed."""
    steps: int = 200
    """Steps to take at most."""
    seed: int = 1
    """Decides when requests arrive."""
    log: Path | None = None
    """Where the run's data go; left out, they are not kept."""


def main(args: Args) -> None:
    """One episode, at most as long as the money lasts."""
    env: gym.Env[Any, Any] = gym.make(
        "SimpleK8sWebApp-v0",
        target=args.target,
        budget_usd=args.budget,
        spend_money=args.spend == "yes",
        log=args.log,
    )
    agent = make_agent("hpa")
    spent, ended = 0.0, f"after {args.steps} steps"
    try:
        observation, info = env.reset(seed=args.seed)
        agent.reset(args.seed, env)
        for step in range(1, args.steps + 1):
            observation, _, terminated, truncated, info = env.step(agent.act(observation, info))
            spent += info["cost_usd"]
            print(f"step {step:3}  {spent:.6f} of {args.budget:g} USD")
            if terminated or truncated:
                ended = info.get("truncated_because", "the episode is over")
                break
    finally:
        env.close()
    print(f"ended: {ended}")


if __name__ == "__main__":
    main(CliApp.run(Args))
