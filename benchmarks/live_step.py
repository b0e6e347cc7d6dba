"""What a step of a live environment costs above the bare Terraform command.

    python benchmarks/live_step.py [--rounds 10] [--resets 3] [--state s3|local] [--json FILE]
    python benchmarks/live_step.py --target k8s [--rounds 10] [--state s3|local] [--json FILE]

Two equal stacks run side by side: one under the environment, one worked by hand with the bare
commands and the same flags. A round scales both by one replica, the hand-worked one there and
back: by ``apply``, and by ``init`` and ``apply`` as the original's script did before every action.
The original kept its state in S3 or Spaces, so ``--state s3``, a server on this machine, is the
default.

Ratios are medians of the rounds' own ratios:

======================= ====================================================================
apply_over_bare         apply phase of env.step (ledger write to outputs read) / bare apply
apply_over_init_apply   the same / init followed by apply
soft_reset_over_bare    applies of a soft reset / the sum of the bare applies that it does
cold_reset_over_chain   destroy and apply of a full reset / the bare chain; every layer waits
                        for the one before it, so the longest chain is all of them
action_to_sample_s      from env.step until Prometheus has a sample of the added replica
tick_jitter_p99_s       how late ticks are kept
apply_share_of_interval the apply phase as a share of the interval
patch_s                 the floor on a cluster: a PATCH of the scale subresource, and no Terraform
======================= ====================================================================

On a cluster (the one that the settings name) only steps are measured: a reset waits for pods there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from infra_gym.definitions.catalog import find_definition
from infra_gym.environments.env import InfraEnv
from infra_gym.environments.make import make
from infra_gym.metrics import Prometheus
from infra_gym.settings import load_settings
from infra_gym.stack import Stack
from infra_gym.terraform.backends import backend_environment
from infra_gym.terraform.command import Terraform
from infra_gym.workloads import arrival_schedule

ID = "SimpleK8sWebApp-v0"
LIMITS = {
    "apply_over_bare": "goal 1.05, must 1.15 (k8s: 1.10)",
    "apply_over_init_apply": "goal 0.60, must 0.75",
    "tick_jitter_p99_s": "goal 0.020",
}
FLAGS = ["-input=false", "-json"]


class Bare:
    """The stack that is worked by hand, after it was made once."""

    def __init__(self, stack: Stack, program: Path, folder: Path) -> None:
        self._stack = stack
        self._program = str(program)
        self._folder = folder
        self._environ = {
            **os.environ,
            **backend_environment(stack.settings.state),
            **(stack.cluster.environment() if stack.cluster else {}),
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": os.devnull,
        }

    def command(self, layer: str, *arguments: str) -> float:
        """Seconds of one bare command."""
        begin = time.perf_counter()
        subprocess.run(
            [self._program, *arguments],
            cwd=self._folder / layer,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return time.perf_counter() - begin

    def init(self, layer: str) -> float:
        return self.command(layer, "init", *FLAGS, "-reconfigure")

    def apply(self, layer: str, *, refresh: bool = False, **inputs: Any) -> float:
        path = self._folder / layer / "inputs.auto.tfvars.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **inputs}))
        flag = f"-refresh={str(refresh).lower()}"
        return self.command(layer, "apply", "-auto-approve", flag, *FLAGS)

    def destroy(self, layer: str) -> float:
        return self.command(layer, "destroy", "-auto-approve", "-refresh=true", *FLAGS)


def watch_for_sample(prometheus: Prometheus, wanted: int, found: list[float]) -> None:
    """Append the time at which Prometheus first has ``wanted`` replicas up."""
    end = time.time() + 15
    while time.time() < end:
        if sum(one.value for one in prometheus.instant('sum(up{job="heater"})')) >= wanted:
            found.append(time.time())
            return
        time.sleep(0.02)


def prometheus_of(stack: Stack) -> Prometheus:
    url = stack.outputs("prometheus")["url"]
    if stack.cluster is None:
        return Prometheus(url)
    way = stack.cluster.route(url, "/-/ready")
    return Prometheus(way.url, session=way.session)


class Patch:
    """The direct way to scale the hand-worked stack's Deployment."""

    def __init__(self, stack: Stack) -> None:
        assert stack.cluster is not None
        namespace, name = stack.outputs("heater")["deployment"].split("/")
        self._session = stack.cluster.session()
        self._url = (
            f"{stack.cluster.server}/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"
        )

    def scale(self, replicas: int) -> float:
        """Seconds of one PATCH."""
        begin = time.perf_counter()
        self._session.patch(
            self._url,
            json={"spec": {"replicas": replicas}},
            headers={"Content-Type": "application/merge-patch+json"},
            timeout=10,
        ).raise_for_status()
        return time.perf_counter() - begin


def measure_steps(env: InfraEnv, bare: Bare, rounds: int, patch: Patch | None) -> dict[str, Any]:
    ratios: dict[str, list[float]] = {"bare": [], "init": []}
    applies, samples, jitters, patches = [], [], [], []
    heater = env.world.stack.layers[1]
    prometheus = prometheus_of(env.world.stack)
    replicas = 3  # of the hand-worked stack
    for number in range(rounds):
        change = 1 if number % 2 == 0 else -1
        found: list[float] = []
        watcher = threading.Thread(
            target=watch_for_sample, args=(prometheus, env.controls["replicas"] + 1, found)
        )
        begin = time.time()
        if change > 0:
            watcher.start()
        *_, info = env.step(1 + change)
        apply_s = info["seconds"]["apply"]
        applies.append(apply_s)
        jitters.append(info["seconds"]["jitter"])
        if change > 0:
            watcher.join()
            samples += [at - begin for at in found]
        bare_s = bare.apply(heater, replicas=replicas + change)
        bare.apply(heater, replicas=replicas)
        with_init_s = bare.init(heater)
        with_init_s += bare.apply(heater, replicas=replicas + change)
        replicas += change
        if patch is not None:
            patches += [patch.scale(replicas + 1), patch.scale(replicas)]
        ratios["bare"].append(apply_s / bare_s)
        ratios["init"].append(apply_s / with_init_s)
    return {
        "apply_over_bare": statistics.median(ratios["bare"]),
        "apply_over_init_apply": statistics.median(ratios["init"]),
        "action_to_sample_s": statistics.median(samples),
        "tick_jitter_p99_s": sorted(jitters)[round(0.99 * (len(jitters) - 1))],
        "apply_share_of_interval": statistics.median(applies) / env.place.interval_s,
        "apply_s": statistics.median(applies),
        **({"patch_s": statistics.median(patches)} if patches else {}),
    }


def measure_resets(
    env: InfraEnv, bare: Bare, schedules: Iterator[Path], resets: int
) -> dict[str, Any]:
    soft, cold = [], []
    for number in range(resets):
        env.step(2)
        _, info = env.reset(seed=100 + number)
        bare.apply("local/heater", replicas=3)
        bare_s = bare.apply("local/heater", replicas=2)
        bare_s += bare.apply("local/siege-engine", schedule=str(next(schedules)))
        soft.append(info["seconds"]["apply"] / bare_s)
        _, info = env.reset(seed=200 + number, options={"mode": "full"})
        layers = env.world.stack.layers
        chain_s = sum(bare.destroy(layer) for layer in reversed(layers))
        for layer in layers:
            chain_s += bare.init(layer) + bare.apply(layer, refresh=True)
        cold.append(info["seconds"]["apply"] / chain_s)
    return {
        "soft_reset_over_bare": statistics.median(soft),
        "cold_reset_over_chain": statistics.median(cold),
    }


def schedules_in(folder: Path) -> Iterator[Path]:
    """Files of ever other schedules."""
    workload = find_definition(ID).workload
    for seed in range(1000, 10_000):
        path = folder / f"bare-{seed}.igs"
        arrival_schedule(workload, seconds=1010, time_scale=12, seed=seed).write(path)
        yield path


@contextmanager
def state_in(kind: str) -> Iterator[None]:
    """Settings' variables for the state, and a store if it needs one."""
    if kind == "local":
        yield
        return
    from infra_gym.clouds.buckets import check_bucket, create_bucket
    from infra_gym.testing import ObjectStore

    with ObjectStore() as store:
        os.environ |= {
            "INFRA_GYM_STATE__BACKEND": "s3",
            "INFRA_GYM_STATE__BUCKET": "live-step",
            "INFRA_GYM_STATE__ENDPOINT": store.url,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
        }
        create_bucket(load_settings().state)
        check_bucket(load_settings())
        yield


def measure(target: str, rounds: int, resets: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["INFRA_GYM_DATA_FOLDER"] = folder
        settings = load_settings()
        definition = find_definition(ID)
        stack = Stack(
            layers=definition.layers[target], target=target, settings=settings, project="bench",
            environment="bare", definition=definition,
        )  # fmt: skip
        env = make(ID, target=target, project="bench", environment="env", interval_s=5)
        try:
            stack.acquire()
            stack.apply(inputs={"heater": {"replicas": 3}})
            runs = Path(folder) / "runs" / "bench" / "bare"
            bare = Bare(stack, Terraform(settings.binary).path, runs)
            env.reset(seed=1)
            env.step(1)
            patch = Patch(stack) if target == "k8s" else None
            results = measure_steps(env, bare, rounds, patch)
            if target == "local":
                results |= measure_resets(env, bare, schedules_in(Path(folder)), resets)
        finally:
            env.close()
            stack.destroy()
    return results


def show(results: dict[str, Any], title: str) -> None:
    table = Table(title=title)
    for column in ("figure", "value", "limit"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for name, value in results.items():
        table.add_row(name, f"{value:.3f}", LIMITS.get(name, ""))
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", choices=["local", "k8s"], default="local")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--resets", type=int, default=3)
    parser.add_argument("--state", choices=["s3", "local"], default="s3")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    with state_in(arguments.state):
        results = measure(arguments.target, arguments.rounds, arguments.resets)
    title = f"live step, {arguments.target}, state {arguments.state}, {arguments.rounds} rounds"
    show(results, f"{title}, medians")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
