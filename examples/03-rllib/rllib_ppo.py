"""RLlib's PPO learns to run a web app, in many environments at once.

    python examples/03-rllib/rllib_ppo.py                    # simulators, on this machine
    python examples/03-rllib/rllib_ppo.py --target local     # each env runner has a real stack
    python examples/03-rllib/rllib_ppo.py --ray auto         # on a Ray cluster

Prints one line an iteration. See README.md for what to install.
"""

from __future__ import annotations

import os
from typing import Any, Literal

import gymnasium as gym
import ray
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from pydantic_settings import CliApp
from ray.rllib.algorithms.ppo import PPOConfig
from ray.tune.registry import register_env

import infra_gym  # noqa: F401  # its environments exist once it is imported
from infra_gym.distributed.leftovers import destroy_left, worker_name
from infra_gym.settings import load_settings
from infra_gym.stack import unique_name

ID = "SimpleK8sWebApp-v0"


@dataclass(config=ConfigDict(use_attribute_docstrings=True))
class Args:
    """What can be set on the command line."""

    target: Literal["sim", "local", "k8s"] = "sim"
    """Where the app runs."""
    steps: int = 20_000
    """Steps to learn from, of all env runners together."""
    runners: int = 2
    """Env runners: so many environments at once."""
    ray: str = "local"
    """The address of a Ray cluster; ``local`` starts Ray on this machine."""
    batch: int = 2_000
    """Steps between two changes of the policy, at most."""
    seed: int = 1
    """Of the policy."""


def make(context: Any) -> gym.Env[Any, Any]:
    """An env runner's environment; what one that was here before has left is destroyed first."""
    worker = worker_name(context["training"], context.worker_index)
    if context["target"] != "sim":
        destroy_left(load_settings(target=context["target"]), worker)
    name = worker_name(context["training"], context.worker_index, replaced=True)
    return gym.make(ID, target=context["target"], environment=name, overrun="pause")


def main(args: Args) -> None:
    """Learn, and leave nothing behind."""
    ray.init(
        address=args.ray,
        include_dashboard=False if args.ray == "local" else None,
        num_cpus=max(args.runners + 1, os.cpu_count() or 1) if args.ray == "local" else None,
        log_to_driver=False,
    )
    register_env("infra-gym", make)
    training = unique_name(ID, args.target, longest=31)
    batch = min(args.batch, args.steps)
    config = (
        PPOConfig()
        .environment("infra-gym", env_config={"target": args.target, "training": training})
        .env_runners(num_env_runners=args.runners, sample_timeout_s=3600)
        .fault_tolerance(restart_failed_env_runners=True)
        .training(train_batch_size=batch, minibatch_size=min(128, batch), num_epochs=5)
        .debugging(seed=args.seed)
    )
    algorithm = config.build_algo()
    try:
        learned = 0
        while learned < args.steps:
            result = algorithm.train()["env_runners"]
            learned = int(result["num_env_steps_sampled_lifetime"])
            mean = result.get("episode_return_mean", float("nan"))
            print(f"{learned:7} steps: reward of an episode {mean:.4f} USD, in the mean")
    finally:
        algorithm.stop()  # closes the environments, which destroys their stacks
        if args.target != "sim":
            for runner in range(args.runners + 1):
                destroy_left(load_settings(target=args.target), worker_name(training, runner))
        ray.shutdown()


if __name__ == "__main__":
    main(CliApp.run(Args))
