"""An autoscaler lives with replicas that are killed.

    python examples/08-chaos/chaos.py                # kills real processes of its own
    python examples/08-chaos/chaos.py --target sim   # nothing to kill: the calm to compare with

Kills one ready replica every few steps, and shows how the app gets over it.
"""

from __future__ import annotations

from typing import Any, Literal

import gymnasium as gym
import psutil
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from pydantic_settings import CliApp

import infra_gym  # noqa: F401  # its environments exist once it is imported
from infra_gym.agents import make_agent


@dataclass(config=ConfigDict(use_attribute_docstrings=True))
class Args:
    """What can be set on the command line."""

    target: Literal["sim", "local"] = "local"
    """Where the app runs."""
    agent: str = "hpa"
    """Who scales it."""
    steps: int = 20
    """Steps to take; one is a modelled minute."""
    every: int = 5
    """A replica is killed before each so-manyth step."""
    seed: int = 1
    """Decides when requests arrive."""


def kill_one(info: dict[str, Any]) -> str:
    """Kill the process of the last ready replica; returns its address, "" where there is none."""
    ready = [str(name) for name, up in sorted(info["by_label"]["replica_ready"].items()) if up]
    for process in psutil.process_iter():
        try:
            found = process.net_connections()
        except psutil.Error:  # another user's, or gone
            continue
        ports = {each.laddr.port for each in found if each.status == "LISTEN"}
        if ready and int(ready[-1].rpartition(":")[2]) in ports:
            process.kill()
            return ready[-1]
    return ""


def main(args: Args) -> None:
    """One episode."""
    env: gym.Env[Any, Any] = gym.make("SimpleK8sWebApp-v0", target=args.target)
    agent = make_agent(args.agent)
    total = 0.0
    try:
        observation, info = env.reset(seed=args.seed)
        agent.reset(args.seed, env)
        for step in range(1, args.steps + 1):
            killed = ""
            if args.target == "local" and step % args.every == 0:
                killed = kill_one(info)
            observation, reward, _, _, info = env.step(agent.act(observation, info))
            total += float(reward)
            seen = info["metrics"]
            print(
                f"step {step:3}  wanted {seen['replicas']:2.0f}  ready {seen['ready']:2.0f}"
                f"  p95 {seen['latency_p95'] * 1000:5.0f} ms  failed {seen['error_share']:6.2%}"
                + (f"  killed {killed}" if killed else "")
            )
    finally:
        env.close()
    print(f"reward of the episode: {total:.4f} USD")


if __name__ == "__main__":
    main(CliApp.run(Args))
