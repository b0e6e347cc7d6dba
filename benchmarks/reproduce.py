"""Train, tune and compare, from nothing to the benchmark's file: what `make reproduce` does.

    python benchmarks/reproduce.py [--folder reproduced] [--models 10] [--seeds 100] [--steps N]

Trains a policy several times, each with a seed of its own, on the loads for training; searches the
rules on the loads for tuning, each with as many steps as a training; lets all of them play the
held-out loads. Without the extra ``train`` the rules play alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

ENVIRONMENT = "SimpleK8sWebApp-v0"
RECIPE = {"reward_unit": 0.001, "reward_limit": 20.0, "entropy": 0.001}
"""What two million steps need: by the standard deviation of the rewards so far, which requests
outside the SLO decide, what a replica costs is lost in the noise, and ten replicas are kept for
good. Chosen on the loads for tuning."""
RULES = ("hpa:tuned", "threshold:tuned", "fixed:tuned", "hpa", "threshold", "predictive", "random")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("reproduced"))
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument(
        "--steps", type=int, default=2_029_632, help="of each training, and of each rule's search"
    )
    parser.add_argument("--seeds", type=int, default=100)
    arguments = parser.parse_args()
    began = time.monotonic()
    agents = [name for name in RULES if name != "predictive" or find_spec("statsmodels")]
    if find_spec("stable_baselines3") and find_spec("infra_gym.training"):
        models = arguments.folder / "ppo"
        train(models, arguments.models, arguments.steps)
        agents.insert(3, str(models))
        print(f"trained in {time.monotonic() - began:.0f} s", flush=True)
    else:
        print("there is nothing to train with: the rules play alone", flush=True)
    out = arguments.folder / "results.json"
    command = [
        *(sys.executable, "-m", "infra_gym", "benchmark", ENVIRONMENT, "--agents"),
        *(",".join([*agents, "oracle"]), "--budget", str(arguments.steps)),
        *("--seeds", str(arguments.seeds), "--out", str(out)),
    ]
    subprocess.run(command, check=True)
    print(f"{time.monotonic() - began:.0f} s in all")


def train(folder: Path, models: int, steps: int) -> None:
    """Train ``models`` policies, or go on with those that are there."""
    from infra_gym.training import Plan, recipe_for
    from infra_gym.training import train as trained
    from infra_gym.workloads.splits import complete, loads_of

    _, suited = recipe_for(ENVIRONMENT, "ppo")
    recipe = suited.model_copy(update=RECIPE)
    loads = [complete(load) for load in loads_of("training").workloads.values()]
    for seed in range(1, models + 1):
        place = folder / f"seed-{seed:02}"
        began = time.monotonic()
        plan = Plan.make(
            ENVIRONMENT, algorithm="ppo", seed=seed, steps=steps, workloads=loads, recipe=recipe
        )
        trained(plan, place, resume=(place / "training.json").exists())
        print(f"model {seed} of {models}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
