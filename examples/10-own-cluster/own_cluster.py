"""A Kubernetes or Nomad cluster of your own on DigitalOcean's droplets, without any environment.

    cd examples/10-own-cluster
    export DIGITALOCEAN_TOKEN=...
    ssh-keygen -t ed25519 -N '' -f run-key
    python own_cluster.py --ssh-from 203.0.113.7/32                   # only what it would make
    INFRA_GYM_SPEND_MONEY=true python own_cluster.py --ssh-from 203.0.113.7/32 --make true

What is made is billed by the second, and is destroyed when you press Enter or Ctrl-C. Experimental:
nobody has booted these layers yet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from pydantic_settings import CliApp

from infra_gym.settings import load_settings
from infra_gym.stack import Stack

LAYERS = {
    "kubernetes": ["do/core", "do/support", "do/k8s-control-plane", "do/k8s-minions"],
    "nomad": ["do/core", "do/support", "do/nomad"],
}
SIZES = {"kubernetes": ("do/k8s-minions", "minions"), "nomad": ("do/nomad", "clients")}


@dataclass(config=ConfigDict(use_attribute_docstrings=True))
class Args:
    """What can be set on the command line."""

    ssh_from: str
    """Your own address with /32: the bastion takes SSH from there alone."""
    cluster: Literal["kubernetes", "nomad"] = "kubernetes"
    """What kind of cluster."""
    nodes: int = 2
    """Droplets that run pods or jobs."""
    public_key: Path = Path("run-key.pub")
    """The key that may log in; one that the account does not have yet."""
    make: bool = False
    """Make it, and spend money; else only tell what would be made."""


def main(args: Args) -> None:
    """Plan it; where asked, make it, say how to reach it, and destroy it."""
    layer, size = SIZES[args.cluster]
    inputs: dict[str, dict[str, Any]] = {
        "do/support": {
            "ssh_from": [args.ssh_from],
            "ssh_public_key": args.public_key.read_text().strip(),
        },
        layer: {size: args.nodes},
    }
    stack = Stack(
        layers=LAYERS[args.cluster],
        target="do",
        settings=load_settings(),
        project="own-cluster",
        environment=args.cluster,
    )
    for name, plan in stack.plan(inputs=inputs).items():
        print(f"{name}: {plan.adds} to make")
        for change in plan.changes:
            print(f"  {change.address}")
    if args.make:
        make(stack, inputs)


def make(stack: Stack, inputs: dict[str, dict[str, Any]]) -> None:
    """From nothing to nothing."""
    try:
        stack.apply(inputs=inputs)
        bastion = stack.outputs("do/support")["bastion_address"]
        inside = stack.outputs("do/support")["consul_address"]
        print(f"Nodes are ready some minutes from now. ssh -J root@{bastion} root@{inside}")
        for layer in stack.layers[2:]:
            print(layer, stack.outputs(layer))
        input("Enter destroys it all: ")
    finally:
        stack.destroy()


if __name__ == "__main__":
    main(CliApp.run(Args))
