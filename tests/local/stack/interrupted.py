"""A program that applies the layer ``slow`` and tells by its exit code how it was interrupted.

Arguments: data folder, binary, inputs as JSON. Exits with 3 after KeyboardInterrupt.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from infra_gym.settings import Settings
from infra_gym.stack import Stack
from infra_gym.terraform.command import Deadlines, Terraform

LAYERS = Path(__file__).resolve().parents[1] / "stack_layers"


def main(data_folder: str, binary: str, inputs: str) -> int:
    stack = Stack(
        layers=["local/slow", "local/gamma"],
        target="local",
        settings=Settings(data_folder=Path(data_folder)),
        project="p",
        environment="e",
        terraform=Terraform(binary, deadlines=Deadlines(grace_s=60)),
        layer_folder=lambda name: LAYERS / name,
    )
    try:
        with stack:
            stack.apply(inputs={"slow": json.loads(inputs)})
    except KeyboardInterrupt:
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
