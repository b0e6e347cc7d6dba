"""How well a twin that was calibrated by a probe predicts other runs on the same target.

    python benchmarks/calibration.py [--target local] [--seed 1] [--steps 40] [--logs FOLDER]

Probes SimpleK8sWebApp-v0, then runs policies that the probe knows nothing of, under loads that it
does not have, each on a stack of its own; then calibrates from the probe alone and prints, for
each of these runs, what was measured, what the twin predicts, and how many of its steps lay in
their intervals. With ``--logs`` the logs are kept there, and those that lie there are used again.
On local it takes 17 minutes, of real time: nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from infra_gym.agents import Agent, make_agent
from infra_gym.definitions.catalog import find_definition
from infra_gym.environments.calibration import Calibration
from infra_gym.environments.make import make
from infra_gym.evaluation.calibrate import calibrate
from infra_gym.evaluation.probe import STEPS, OpenLoop, plan_probe

ID = "SimpleK8sWebApp-v0"

OTHERS: Mapping[str, Mapping[str, Any] | None] = {
    "hpa": {"profile": "bursty", "mean_rps": 60, "burst": 3, "calm_s": 240, "burst_s": 120},
    "random": None,  # the definition's own load: daily
    "threshold": {
        "profile": "flash_crowd", "mean_rps": 60, "period_s": 1200, "peak": 4, "stay_s": 240,
        "fall_s": 120,
    },
}  # fmt: skip
"""Policies, and the load that each meets."""


def play(
    agent: Agent,
    log: Path,
    *,
    target: Any,
    seed: int,
    steps: int,
    workload: Mapping[str, Any] | None,
    action: Any = None,
) -> None:
    with closing(make(ID, target=target, workload=workload, action=action, log=log)) as env:
        observation, info = env.reset(seed=seed)
        agent.reset(seed, env)
        for _ in range(steps):
            observation, *_, info = env.step(agent.act(observation, info))


def probe(log: Path, *, target: Any, seed: int) -> None:
    place = make(ID, target=target).place
    planned = plan_probe(
        find_definition(ID), interval_s=place.interval_s, time_scale=place.time_scale
    )
    agent = OpenLoop(planned.replicas)
    play(
        agent, log, target=target, seed=seed, steps=STEPS, workload=planned.workload,
        action="absolute",
    )  # fmt: skip


def measure(folder: Path, *, target: str, seed: int, steps: int) -> Calibration:
    console = Console(stderr=True)
    probed = folder / "probe.jsonl"
    held = {name: folder / f"{name}.jsonl" for name in OTHERS}
    if not probed.exists():
        console.print(f"probing, {STEPS} steps")
        probe(probed, target=target, seed=seed)
    for number, (name, log) in enumerate(held.items(), start=1):
        if not log.exists():
            console.print(f"running {name}, {steps} steps; load average {os.getloadavg()[0]:.1f}")
            play(
                make_agent(name), log, target=target, seed=seed + number, steps=steps,
                workload=OTHERS[name],
            )  # fmt: skip
    return calibrate([probed], holdout=list(held.values()), progress=console.print)


def show(found: Calibration) -> None:
    console = Console(width=120)
    table = Table(title=f"{found.id} on {found.target}, {found.level:.0%} intervals")
    for column in ("parameter", "estimate", "interval"):
        table.add_column(column)
    for name in found.names:
        low, high = getattr(found.low, name), getattr(found.high, name)
        table.add_row(name, f"{getattr(found.parameters, name):.4g}", f"{low:.4g} to {high:.4g}")
    console.print(table)
    table = Table(title="runs that it was not fitted to")
    columns = ("run", "metric", "measured", "predicted", "interval", "step error", "steps inside")
    for column in columns:
        table.add_column(column)
    for name, held in zip(OTHERS, found.holdout, strict=True):
        for metric, one in held.metrics.items():
            inside = "" if one.low <= one.measured <= one.high else " (outside)"
            table.add_row(
                f"{name}, {held.workload['profile']}",
                metric,
                f"{one.measured:.4g}",
                f"{one.predicted:.4g}",
                f"{one.low:.4g} to {one.high:.4g}{inside}",
                f"{one.mean_absolute_error:.3g}",
                f"{one.coverage:.0%}",
            )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="local")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--logs", type=Path, help="keep the logs here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.logs or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        show(measure(folder, target=arguments.target, seed=arguments.seed, steps=arguments.steps))


if __name__ == "__main__":
    main()
