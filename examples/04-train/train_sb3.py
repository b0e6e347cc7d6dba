"""Stable-Baselines3's PPO learns to run a web app in the simulator, then runs it anywhere.

    python examples/04-train/train_sb3.py                    # plays in the simulator
    python examples/04-train/train_sb3.py --target local     # plays on real processes

Prints what an episode of the trained agent earned. Needs the extra ``train``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import gymnasium as gym
from gymnasium.vector import AutoresetMode
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from pydantic_settings import CliApp
from stable_baselines3 import PPO

import infra_gym  # noqa: F401  # its environments exist once it is imported
from infra_gym.agents import Agent, make_agent
from infra_gym.training import save_model
from infra_gym.training.sensed import Sensed
from infra_gym.training.vec_env import VectorEnvs

ID = "SimpleK8sWebApp-v0"
LOADS = (
    {"profile": "daily", "mean_rps": 90, "period_s": 900},
    {"profile": "bursty", "mean_rps": 70},
)


@dataclass(config=ConfigDict(use_attribute_docstrings=True))
class Args:
    """What can be set on the command line."""

    target: Literal["sim", "local", "k8s"] = "sim"
    """Where the trained agent plays; it learns in the simulator."""
    steps: int = 500_000
    """Steps to learn from, of all environments together."""
    environments: int = 64
    """Environments of each load."""
    seed: int = 1
    """Of the policy and the episodes."""
    play: int = 6
    """Steps that the trained agent plays."""


def main(args: Args) -> None:
    """Learn, then play."""
    vectors = [
        gym.make_vec(
            ID,
            num_envs=args.environments,
            vectorization_mode="vector_entry_point",
            target="sim",
            workload=load,
            autoreset_mode=AutoresetMode.SAME_STEP,
        )
        for load in LOADS
    ]
    env = Sensed(VectorEnvs(vectors), scale="standard", frames=4, gamma=0.97, reward_unit=0.0005)
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=2048, gamma=0.97, device="cpu",
                seed=args.seed)  # fmt: skip
    model.learn(args.steps)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.zip"
        save_model(path, model, ID)
        agent = make_agent(str(path))
    earned = play(args, agent)
    print(f"{args.play} steps of the trained agent on {args.target}: {earned:.4f} USD")


def play(args: Args, agent: Agent) -> float:
    """What the agent earns; the stack that it had is destroyed."""
    env = gym.make(ID, target=args.target)
    earned = 0.0
    try:
        observation, info = env.reset(seed=args.seed)
        agent.reset(args.seed, env)
        for _ in range(args.play):
            observation, reward, _, _, info = env.step(agent.act(observation, info))
            earned += float(reward)
    finally:
        env.close()
    return earned


if __name__ == "__main__":
    main(CliApp.run(Args))
