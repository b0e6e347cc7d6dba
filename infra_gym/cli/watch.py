"""``infra-gym run`` of an environment that is no stack of layers: an episode as it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium as gym
import typer

from infra_gym.cli.output import Output, table
from infra_gym.cli.signals import Signals

if TYPE_CHECKING:
    from infra_gym.agents import Agent

_MOST_STEPS = 1000
"""Of an episode that would have no end."""


def watch(
    output: Output, identifier: str, name: str, agent: Agent, *, steps: int | None, seed: int
) -> None:
    """Play an episode, with the environment's own picture if it has one for a terminal.

    Args:
        output: What is printed, and where.
        identifier: The environment's id.
        name: The agent's.
        agent: Who acts.
        steps: At most so many; left out, to the episode's end, but for one without an end.
        seed: Of the environment and the agent.
    """
    picture = output.console.is_terminal and not (output.quiet or output.json)
    env = _make(identifier, picture=picture)
    total, made, ended = 0.0, 0, ""
    with Signals() as signals, signals.patience(lambda: None):
        observation, info = env.reset(seed=seed)
        agent.reset(seed, env)
        while not ended:
            action = agent.act(observation, info)
            observation, reward, terminated, truncated, info = env.step(action)
            total += float(reward)
            made += 1
            if terminated or truncated:
                ended = "terminated" if terminated else "truncated"
            elif signals.times or made == (steps or _MOST_STEPS):
                ended = f"after {made} steps"
    env.close()
    metrics: dict[str, Any] = info.get("metrics", {})
    document = {
        "id": identifier,
        "agent": name,
        "seed": seed,
        "steps": made,
        "ended": ended,
        "reward": total,
        "metrics": metrics,
    }
    rows = [("steps", made), ("ended", ended), ("reward", total), *metrics.items()]
    output.result(document, table("SUMMARY", ">", rows=rows))
    if signals.first is not None:
        raise typer.Exit(128 + signals.first)


def _make(identifier: str, *, picture: bool) -> gym.Env[Any, Any]:
    env = gym.make(identifier)
    if picture and "human" in env.metadata.get("render_modes", ()):
        return gym.make(identifier, render_mode="human")
    return env
