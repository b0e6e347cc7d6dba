"""A counterpart of RLScale-Bench's table (arXiv 2605.26418, May 2026) in the twin.

    python benchmarks/rlscale.py --folder FOLDER [--seeds 5] [--steps 50000] [--episodes 20]
                                 [--algorithms ppo,a2c,dqn,ddpg,td3,sac]

The paper: six algorithms and a calibrated rule on six loads and five seeds, 50,000 steps of
training on the load itself, Kubernetes' autoscaling simulated. Its code and parameters are not
published, so its numbers cannot be had again; its findings can be looked for. The same protocol
here: on each load a rule is calibrated with 50,000 steps, and each algorithm is trained with 50,000
steps and five seeds on the very load that it is then judged on, request by request, with arrivals
that are the same for all and that nobody met before.

Trainings run on all cores, one each; FOLDER keeps their models, and whoever is killed goes on from
those that are whole. The name of a model's folder ends in a fingerprint of its steps, numbers and
load: with others it is trained anew. What came of it goes to FOLDER/rlscale.json, of which
rlscale_page.py makes a page.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from infra_gym.definitions.catalog import find_definition
from infra_gym.evaluation.arena import Arena
from infra_gym.evaluation.evaluate import Case, Contestant, Result
from infra_gym.evaluation.processes import Bout, cores, play_bouts
from infra_gym.training.library import versions
from infra_gym.workloads.splits import complete, loads_of

ENVIRONMENT = "SimpleK8sWebApp-v0"
CHEAPEST, BEST, DEFAULT = "rule, cheapest", "rule, best reward", "autoscaler, default"
CANDIDATES = (
    *(
        Contestant("threshold", {"high": high, "low": round(high * share, 3)})
        for high in (0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7)
        for share in (0.5, 0.8)
    ),
    *(
        Contestant("hpa", {"target": target, "down_window_s": window})
        for target in (0.15, 0.2, 0.3, 0.4, 0.6)
        for window in (60.0, 300.0)
    ),
)
"""Of the rule that is calibrated."""

Played = dict[str, list[Result]]
"""Results by policy: all episodes of its first member, of its second, and so on."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each algorithm")
    parser.add_argument("--episodes", type=int, default=20, help="of each policy and seed")
    parser.add_argument("--steps", type=int, default=50_000, help="of each training")
    parser.add_argument("--algorithms", default="ppo,a2c,dqn,ddpg,td3,sac")
    arguments = parser.parse_args()
    began = time.monotonic()
    algorithms = arguments.algorithms.split(",")
    loads = {name: complete(load) for name, load in loads_of("held_out").workloads.items()}
    models = trained(arguments, algorithms, loads)
    seeds = [*loads_of("held_out").seeds(arguments.episodes)]
    table: dict[str, Any] = {}
    for name, load in loads.items():
        arena = Arena.find(ENVIRONMENT, target="sim").under(load)
        policies = {
            **calibrated(arena, arguments.steps),
            DEFAULT: [Contestant("hpa")],
            **{
                algorithm: [Contestant(str(model)) for model in models[algorithm, name]]
                for algorithm in algorithms
            },
        }
        results = played(arena, policies, seeds)
        table[name] = {policy: told(members, results[policy])
                       for policy, members in policies.items()}  # fmt: skip
        print(f"{name}: played after {time.monotonic() - began:.0f} s", flush=True)
    document = {
        "environment": ENVIRONMENT,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "steps": arguments.steps,
        "first_seed": seeds[0],
        "candidates": len(CANDIDATES),
        "slo_share": find_definition(ENVIRONMENT).slo.share,
        "machine": {
            "platform": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
        },
        "versions": versions(),
        "loads": table,
    }
    (arguments.folder / "rlscale.json").write_text(json.dumps(document) + "\n", encoding="utf-8")
    print(f"{time.monotonic() - began:.0f} s in all")


def trained(
    arguments: argparse.Namespace, algorithms: Sequence[str], loads: Mapping[str, Mapping[str, Any]]
) -> dict[tuple[str, str], list[Path]]:
    """Models by algorithm and load; those of the same lessons that are there are kept."""
    from rlscale_learners import Lesson, learn  # a benchmark beside this one

    models: dict[tuple[str, str], list[Path]] = {}
    lessons = []
    for algorithm in algorithms:
        for seed in range(1, arguments.seeds + 1):
            for name, load in loads.items():
                lesson = Lesson(ENVIRONMENT, algorithm, name, load, seed, arguments.steps,
                                arguments.folder)  # fmt: skip
                models.setdefault((algorithm, name), []).append(lesson.model)
                if not lesson.model.exists():
                    lessons.append(lesson)
    print(f"{sum(map(len, models.values())) - len(lessons)} models are there already", flush=True)
    with ProcessPoolExecutor(cores(), mp_context=multiprocessing.get_context("spawn")) as pool:
        given = {pool.submit(learn, lesson): lesson for lesson in lessons}
        for number, ended in enumerate(as_completed(given), 1):
            print(f"{number} of {len(given)}: {given[ended].name} in {ended.result():.0f} s",
                  flush=True)  # fmt: skip
    return models


def calibrated(arena: Arena, budget: int) -> dict[str, list[Contestant]]:
    """The rule with the parameters that a budget of steps on the load finds, chosen in two ways.

    The cheapest that keeps the SLO, or comes nearest to it where none keeps it; and that with the
    highest reward, which is what the algorithms learn to get.
    """
    episodes = max(1, budget // (len(CANDIDATES) * (arena.steps or 1)))
    seeds = [*loads_of("tuning").seeds(episodes)]
    policies = {str(place): [rule] for place, rule in enumerate(CANDIDATES)}
    results = played(arena, policies, seeds)
    most = 1 - find_definition(ENVIRONMENT).slo.share

    def cost(place: str) -> tuple[float, float]:
        one = told(policies[place], results[place])
        return max(float(np.mean(one["outside"])), most), float(np.mean(one["cost_usd"]))

    def reward(place: str) -> float:
        return float(np.mean([one.reward for one in results[place]]))

    return {CHEAPEST: policies[min(policies, key=cost)], BEST: policies[max(policies, key=reward)]}


def played(
    arena: Arena, policies: Mapping[str, Sequence[Contestant]], seeds: Sequence[int]
) -> Played:
    """Every policy's episodes, all on the same arrivals."""
    keys = [
        (name, member, seed)
        for name, members in policies.items()
        for member in members
        for seed in seeds
    ]
    bouts = [Bout(arena, Case(place, member, seed)) for place, (_, member, seed) in enumerate(keys)]
    results = {bout.case.index: result for bout, result in play_bouts(bouts, workers=cores())}
    found: Played = {name: [] for name in policies}
    for place, (name, _, _) in enumerate(keys):
        found[name].append(results[place])
    return found


def told(members: Sequence[Contestant], results: Sequence[Result]) -> dict[str, Any]:
    """What a policy came to: a row of episodes for each of its members."""
    columns = {
        "reward": [one.reward for one in results],
        "cost_usd": [one.cost_usd or 0.0 for one in results],
        "outside": [1 - (one.slo_share or 0.0) for one in results],
    }
    rule = {} if len(members) > 1 else {"agent": members[0].name,
                                        "parameters": dict(members[0].parameters)}  # fmt: skip
    return rule | {
        name: np.reshape(values, (len(members), -1)).round(7).tolist()
        for name, values in columns.items()
    }


if __name__ == "__main__":
    main()
