"""Whether the twin ranks agents as the real thing does.

    python benchmarks/transfer.py --folder FOLDER [--steps 10] [--seeds 5] [--agents A,B,...]

Plays the agents on target ``local`` (real Terraform, processes and Prometheus), interleaved in a
random order, the first of them twice, then the same cells in the simulator, and prints the rank
correlation over the cells. With 4 agents, 5 seeds and 10 steps of 5 s: 25 episodes of about a
minute. The machine should be calm; ``--calibration`` is left out on purpose: the twin as it is.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from infra_gym.evaluation.results import read_results
from infra_gym.evaluation.transfer import transfer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--id", default="SimpleK8sWebApp-v0")
    parser.add_argument("--agents", default="hpa,threshold,fixed,random")
    parser.add_argument("--workload", default="daily")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    files = {target: arguments.folder / f"{target}.json" for target in ("local", "sim")}
    before = os.getloadavg()
    for target, file in files.items():
        if file.exists():
            print(f"{file} is there already", flush=True)
            continue
        command = [
            *(sys.executable, "-m", "infra_gym", "benchmark", arguments.id, "--target", target),
            *("--agents", arguments.agents, "--workloads", arguments.workload),
            *("--seeds", str(arguments.seeds), "--steps", str(arguments.steps)),
            *("--out", str(file)),
            *(("--clock", "local") if target == "sim" else ()),
        ]
        print(" ".join(command[2:]), flush=True)
        subprocess.run(command, check=True)
    print(f"load average before and after: {before}, {os.getloadavg()}")
    found = transfer(*(read_results(file) for file in files.values()), arguments.workload)
    print(f"{found.cells} cells of {', '.join(found.agents)}")
    for measure, one in found.correlations.items():
        told = "all alike" if one is None else f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
        print(f"  rank correlation of {measure}: {told}")
    for agent, (live, simulated) in found.means.items():
        print(f"  {agent}: mean reward {live:.4f} live, {simulated:.4f} simulated")


if __name__ == "__main__":
    main()
