"""A counterpart of RLScale-Bench's table (arXiv 2605.26418, May 2026) in the twin.

    python benchmarks/rlscale.py --folder FOLDER [--seeds 5] [--steps 50000] [--algorithms ppo,dqn]

The paper: six algorithms and a calibrated rule on six loads and five seeds, 50,000 steps of
training on the load itself, Kubernetes' autoscaling simulated. Its code and parameters are not
published, so its numbers cannot be had again; its findings can be looked for. The same protocol
here: on each load a threshold rule is calibrated with 50,000 steps, and each algorithm is trained
with 50,000 steps and five seeds on the very load that it is then judged on. The continuous
algorithms (SAC, TD3, DDPG) have no place in a task with three actions; of the others there are
those of `infra-gym train`.

Prints cost and requests outside the SLO for each load, and which of the findings hold.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from infra_gym.definitions.catalog import find_definition
from infra_gym.evaluation.arena import Arena
from infra_gym.evaluation.evaluate import Case, Contestant, Result
from infra_gym.evaluation.processes import Bout, cores, play_bouts
from infra_gym.evaluation.statistics import interval
from infra_gym.workloads.splits import complete, loads_of

ENVIRONMENT = "SimpleK8sWebApp-v0"
_RECIPE = {
    "environments": 8, "rollout": 256, "batch": 64, "epochs": 10, "learning_rate": 3e-4,
    "reward_unit": 0.001, "reward_limit": 20.0,
}  # fmt: skip
"""50,000 steps make one rollout of the environment's own recipe: nothing is learnt from it. These
are Stable-Baselines3's numbers for PPO; the rewards are as in reproduce.py."""
_GRID = [(high, share, patience) for high in (0.3, 0.5, 0.7) for share in (0.5, 0.8)
         for patience in (1, 5)]  # fmt: skip

Scores = dict[str, dict[str, list[Result]]]
"""Results by load and policy."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=20, help="of each policy and seed")
    parser.add_argument("--steps", type=int, default=50_000, help="of each training")
    parser.add_argument("--algorithms", default="ppo,dqn")
    arguments = parser.parse_args()
    algorithms = [name for name in arguments.algorithms.split(",") if name]
    if not (find_spec("stable_baselines3") and find_spec("infra_gym.training")):
        print("there is nothing to train with: the rules play alone", flush=True)
        algorithms = []
    found: Scores = {}
    loads = loads_of("held_out")
    seeds = [*loads.seeds(arguments.episodes)]
    for name, load in loads.workloads.items():
        arena = Arena.find(ENVIRONMENT, target="sim").under(complete(load))
        rule = calibrated(arena, arguments.steps)
        policies = {
            "calibrated rule": [rule],
            "autoscaler, default": [Contestant("hpa")],
            "fixed": [Contestant("fixed")],
        }
        for algorithm in algorithms:
            models = trained(arguments, algorithm, name, complete(load))
            policies[algorithm] = [Contestant(str(model)) for model in models]
        found[name] = played(arena, policies, seeds)
        print(f"{name}: calibrated to {dict(rule.parameters)}", flush=True)
    for line in [*table(found), *findings(found)]:
        print(line)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    document = {
        load: {name: [vars(one) for one in results] for name, results in each.items()}
        for load, each in found.items()
    }
    (arguments.folder / "rlscale.json").write_text(json.dumps(document), encoding="utf-8")


def calibrated(arena: Arena, budget: int) -> Contestant:
    """The cheapest threshold rule that keeps the SLO on the load, within a budget of steps; where
    none keeps it, the one that comes nearest."""
    rules = [
        Contestant("threshold", {"high": high, "low": high * share, "patience": patience})
        for high, share, patience in _GRID
    ]
    episodes = max(1, budget // (len(rules) * (arena.steps or 1)))
    seeds = [*loads_of("tuning").seeds(episodes)]
    policies = {str(place): [rule] for place, rule in enumerate(rules)}
    most = 1 - find_definition(ENVIRONMENT).slo.share
    ranks = {
        place: (max(outside_of(results), most), np.mean([one.cost_usd for one in results]))
        for place, results in played(arena, policies, seeds).items()
    }
    return rules[int(min(ranks, key=lambda place: ranks[place]))]


def trained(
    arguments: argparse.Namespace, algorithm: str, name: str, load: Mapping[str, Any]
) -> list[Path]:
    """Models of one algorithm on one load; those that are there already are kept."""
    from infra_gym.training import Plan, recipe_for, train

    _, suited = recipe_for(ENVIRONMENT, algorithm)  # type: ignore[arg-type]  # checked there
    recipe, models = suited.model_copy(update=_RECIPE), []
    for seed in range(1, arguments.seeds + 1):
        folder = arguments.folder / algorithm / name / f"seed-{seed}"
        models.append(folder / "model.zip")
        if not models[-1].exists():
            plan = Plan.make(
                ENVIRONMENT,
                algorithm=algorithm,  # type: ignore[arg-type]  # the plan checks it
                seed=seed,
                steps=arguments.steps,
                workloads=[load],
                recipe=recipe,
            )
            train(plan, folder)
    return models


def played(
    arena: Arena, policies: Mapping[str, Sequence[Contestant]], seeds: Sequence[int]
) -> dict[str, list[Result]]:
    """Every policy's episodes, all on the same arrivals."""
    keys = [
        (name, member, seed)
        for name, members in policies.items()
        for member in members
        for seed in seeds
    ]
    bouts = [Bout(arena, Case(place, member, seed)) for place, (_, member, seed) in enumerate(keys)]
    results: dict[int, Result] = {}
    for bout, result in play_bouts(bouts, workers=cores()):
        results[bout.case.index] = result
    found: dict[str, list[Result]] = {name: [] for name in policies}
    for place in sorted(results):
        found[keys[place][0]].append(results[place])
    return found


def table(found: Scores) -> list[str]:
    """Cost in cents and requests outside the SLO in percent, means of an episode."""
    names = [*next(iter(found.values()))]
    lines = ["", "| load | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for load, each in found.items():
        cells = []
        for name in names:
            cost = interval([[100 * (one.cost_usd or 0) for one in each[name]]], robust=False)
            outside = 100 * outside_of(each[name])
            cells.append(f"{cost.value:.2f} ({cost.low:.2f} to {cost.high:.2f}); {outside:.3f} %")
        lines.append(f"| {load} | " + " | ".join(cells) + " |")
    return lines


def outside_of(results: Sequence[Result]) -> float:
    """Share of requests outside the SLO."""
    return float(np.mean([1 - (one.slo_share or 0) for one in results]))


def findings(found: Scores) -> list[str]:
    """The paper's findings, and whether they hold here."""
    cheapest, best, places = {}, {}, {}
    for load, each in found.items():
        costs = {name: np.mean([one.cost_usd for one in rows]) for name, rows in each.items()}
        cheapest[load] = min(costs, key=lambda name: costs[name])
        best[load] = min(each, key=lambda name: outside_of(each[name]))
        rewards = {name: np.mean([one.reward for one in rows]) for name, rows in each.items()}
        order = sorted(rewards, key=lambda name: -rewards[name])
        places[load] = {name: order.index(name) for name in order}
    shifts = {
        name: max(each[name] for each in places.values())
        - min(each[name] for each in places.values())
        for name in next(iter(places.values()))
    }
    steady = outside_of(found["constant"]["calibrated rule"])
    return [
        "",
        f"cheapest: {cheapest}",
        f"fewest outside the SLO: {best}",
        f"outside the SLO, calibrated rule, steady load: {100 * steady:.4f} %",
        f"places by reward that a policy moves between loads: {shifts}",
    ]


if __name__ == "__main__":
    main()
