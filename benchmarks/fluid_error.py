"""How far the web app's fluid form is from the reference, as a table.

    python benchmarks/fluid_error.py [--seeds 2] [--steps 200]

Both run SimpleK8sWebApp-v0 under the same policies (constant replicas from 2 to 10, the HPA's rule,
random moves), under every workload with a curve of its own, and from the same seeds. Printed are,
for each metric, its mean in the reference and the error of the fluid form in single steps: mean
absolute error, bias (fluid less reference), and the worst. Much of the mean absolute error of
counts is the reference's own chance: the standard deviation of 900 requests is 30.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from infra_gym.agents import make_agent
from infra_gym.environments.make import make

METRICS = (
    "requests", "ok", "within_slo", "slo_share", "error_share", "latency_p50", "latency_p95",
    "busy", "utilisation", "backlog", "ready", "existing",
)  # fmt: skip
WORKLOADS: Mapping[str, Mapping[str, Any]] = {
    "constant": {"profile": "constant", "mean_rps": 60},
    "daily": {"profile": "daily", "mean_rps": 60, "period_s": 900},
    "sine": {"profile": "sine", "mean_rps": 60},
    "ramp": {"profile": "ramp", "mean_rps": 60},
    "random": {"profile": "random", "mean_rps": 60},
    "bursty": {"profile": "bursty", "mean_rps": 60},
    "flash_crowd": {"profile": "flash_crowd", "mean_rps": 60},
}
POLICIES = (*(str(replicas) for replicas in (2, 3, 4, 6, 8, 10)), "hpa", "random")


def controls(workload: Mapping[str, Any], policy: str, seed: int, steps: int) -> list[int]:
    """The replicas that a policy asks for in the reference."""
    if policy.isdigit():
        return [int(policy)] * steps
    if policy == "random":
        moves = np.random.default_rng(seed).integers(-1, 2, steps)
        replicas = [2]
        for move in moves.tolist():
            replicas.append(min(10, max(2, replicas[-1] + move)))
        return replicas[1:]
    env = make("SimpleK8sWebApp-v0", target="sim", workload=workload, action="absolute")
    agent = make_agent(policy)
    observation, info = env.reset(seed=seed)
    agent.reset(seed, env)
    asked = []
    for _ in range(steps):
        observation, *_, info = env.step(agent.act(observation, info))
        asked.append(info["controls"]["replicas"])
    return asked


def run(workload: Mapping[str, Any], fidelity: Any, replicas: list[int], seed: int) -> np.ndarray:
    """Metrics of an episode: shape (steps, metrics), and the reward as the last column."""
    env = make(
        "SimpleK8sWebApp-v0", target="sim", fidelity=fidelity, workload=workload, action="absolute"
    )
    env.reset(seed=seed)
    rows = []
    for number in replicas:
        _, reward, _, _, info = env.step(number - 2)
        rows.append([*(info["metrics"][name] for name in METRICS), float(reward)])
    return np.array(rows)


def errors(seeds: int, steps: int) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Workload, policy, the reference's numbers, and the fluid form's less those."""
    for name, workload in WORKLOADS.items():
        for policy in POLICIES:
            for seed in range(1, seeds + 1):
                replicas = controls(workload, policy, seed, steps)
                reference = run(workload, "reference", replicas, seed)
                yield name, policy, reference, run(workload, "fluid", replicas, seed) - reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    runs = list(errors(arguments.seeds, arguments.steps))
    reference = np.concatenate([one[2] for one in runs])
    error = np.concatenate([one[3] for one in runs])
    print(f"{len(runs)} runs, {len(error):,} steps\n")
    print("| metric | mean | mean abs. error | bias | worst step |\n|---|---|---|---|---|")
    for column, name in enumerate((*METRICS, "reward")):
        one = error[:, column]
        print(
            f"| {name} | {reference[:, column].mean():.4g} | {np.abs(one).mean():.2g} "
            f"| {one.mean():+.2g} | {np.abs(one).max():.2g} |"
        )
    for title, place in (("workload", 0), ("policy", 1)):
        print(f"\n| {title} | latency_p95: mean, error | slo_share: mean, error | return, error |")
        print("|---|---|---|---|")
        for group in dict.fromkeys(one[place] for one in runs):
            some = [one for one in runs if one[place] == group]
            print(f"| {group} | " + " | ".join(_columns(some)) + " |")


def _columns(runs: list[tuple[str, str, np.ndarray, np.ndarray]]) -> Iterator[str]:
    for name in ("latency_p95", "slo_share"):
        column = METRICS.index(name)
        mean = np.mean([one[2][:, column].mean() for one in runs])
        yield f"{mean:.3f}, {np.mean([np.abs(one[3][:, column]).mean() for one in runs]):.3f}"
    returns = np.array([(one[2][:, -1].sum(), one[3][:, -1].sum()) for one in runs])
    yield f"{returns[:, 0].mean():.2f}, {np.abs(returns[:, 1]).mean():.2f}"


if __name__ == "__main__":
    main()
