"""How fast the batch simulator is, with a reference beside each figure, and how well rules do.

    python benchmarks/batch_figures.py [--trace FILE] [--table FILE...] [--agent MODEL] [--quick]

``--trace`` adds a real trace (SWF, plain or gzip). ``--table`` prints for each trace the mean
bounded slowdown of rules over ten sequences of 1024 jobs, and of the agents that are named with
``--agent``, such as a model of ``infra-gym train BatchScheduling-v0``, over the best rule's. Agents
play in the environment, which shows 128 jobs at most; rules see all. The scheduler's reference is
the slow model of the tests, the environment's a bare Gymnasium environment with one compiled call.
Seconds are the process's own, so that a busy machine disturbs little.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np

import infra_gym
from infra_gym.agents import make_agent
from infra_gym.simulators.batch import Policy, play, schedule_metrics, simulate
from infra_gym.simulators.compilation import compiled
from infra_gym.workloads.batch import BatchJobs, episode_jobs, scheduling_jobs
from infra_gym.workloads.generated import generated_trace
from infra_gym.workloads.swf import read_swf

MODEL = Path(__file__).parents[1] / "tests" / "unit" / "simulators" / "test_batch_model.py"
RULES = ("fcfs", "sjf", "f1", "wfp", "uni", "-t*n")  # the last is the smallest area first


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trace", type=Path)
    parser.add_argument("--table", type=Path, nargs="*", default=[])
    parser.add_argument("--agent", nargs="*", default=[], help="models, or agents by name")
    parser.add_argument("--only-table", action="store_true", help="no figures of speed")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    arguments = parser.parse_args()
    scale = 10 if arguments.quick else 1
    for line in () if arguments.only_table else figures(arguments.trace, scale):
        print(line, flush=True)
    for path in arguments.table:
        for line in table(path, arguments.agent):
            print(line, flush=True)


def figures(trace: Path | None = None, scale: int = 1) -> Iterator[str]:
    """The figures, a line each; ``scale`` divides how much is measured."""
    yield f"infra-gym {infra_gym.__version__}: batch scheduling"
    yield from scheduler(scale)
    if trace is not None:
        yield from real_trace(trace)
    yield from environment(trace, scale)


def scheduler(scale: int) -> Iterator[str]:
    jobs = scheduling_jobs(generated_trace(5000, processors=256, load=0.9, seed=3))
    spent = seconds(lambda: simulate(jobs, Policy()))
    yield f"first call, with compiling or loading: {spent:.2f} s"
    small = scheduling_jobs(generated_trace(500, processors=256, load=0.9, seed=3))
    spent = seconds(lambda: slow_model().model_starts(small, "w", "easy", per_event=True))
    yield f"  reference: slow Python model, FCFS+EASY, 500 jobs: {500 / spent:,.0f} jobs/s"
    for score in ("fcfs", "sjf", "wfp", "w/z+l/t"):
        for backfill in ("none", "easy", "conservative"):
            rate = scheduled(jobs, Policy(score, backfill))
            yield f"{score:8} {backfill:12} 5,000 jobs at load 0.9: {rate:>11,.0f} jobs/s"
    rate = scheduled(jobs, Policy("fcfs", "easy", window=5))
    yield f"fcfs     easy, window 5, 5,000 jobs at load 0.9: {rate:,.0f} jobs/s"
    yield "growth with jobs, FCFS+EASY at load 0.9:"
    for number in (1000, 10_000, 100_000 // scale):
        some = scheduling_jobs(generated_trace(number, processors=256, load=0.9, seed=3))
        yield f"  {number:>7,} jobs: {scheduled(some, Policy('fcfs', 'easy')):>11,.0f} jobs/s"
    yield "growth with the queue, 5,000 jobs, EASY:"
    for load in (0.7, 0.9, 1.2, 2.0):
        some = scheduling_jobs(generated_trace(5000, processors=256, load=load, seed=3))
        waiting = simulate(some, Policy("fcfs", "easy")).events[:, 3].mean()
        rates = [scheduled(some, Policy(score, "easy")) for score in ("fcfs", "wfp")]
        yield (
            f"  load {load}, {waiting:6.0f} waiting: fcfs {rates[0]:>9,.0f}, "
            f"wfp {rates[1]:>9,.0f} jobs/s"
        )


def real_trace(path: Path) -> Iterator[str]:
    begun = time.process_time()
    jobs = scheduling_jobs(read_swf(path))
    yield f"{path.name}: {len(jobs):,} jobs read in {time.process_time() - begun:.2f} s"
    for score in ("fcfs", "wfp"):
        spent = seconds(lambda score=score: simulate(jobs, Policy(score, "easy")))
        yield f"  {score}+EASY: {spent:.2f} s, {len(jobs) / spent:,.0f} jobs/s"


def environment(trace: Path | None, scale: int) -> Iterator[str]:
    steps = 100_000 // scale
    bare = stepped(Bare(), steps)
    yield f"  reference: bare environment, one compiled call, one info key: {bare:,.0f} steps/s"
    for name, path in (("generated", None), *((("given", trace),) if trace else ())):
        for decision in ("head", "queue"):
            env = gym.make("BatchScheduling-v0", trace=path, decision=decision)
            rate = stepped(env, steps)
            yield (
                f"gym.make, {decision:5} {name:9} trace, oldest job first: {rate:>9,.0f} steps/s, "
                f"{rate / bare:.2f} of the bare one"
            )
    for number in (1, 16, 256, 4096 // scale):
        envs = gym.make_vec(
            "BatchScheduling-v0",
            num_envs=number,
            vectorization_mode="vector_entry_point",
            decision="head",
        )
        rate = stepped_all(envs, steps)
        yield f"make_vec, head, {number:>5} environments: {rate:>11,.0f} steps/s"


def scheduled(jobs: BatchJobs, policy: Policy) -> float:
    simulate(jobs, policy)
    return len(jobs) / min(seconds(lambda: simulate(jobs, policy)) for _ in range(3))


def stepped(env: gym.Env[Any, Any], steps: int) -> float:
    """Steps a second, resets included."""
    env.reset(seed=1)
    for warm in (True, False):
        begun = time.process_time()
        for _ in range(steps // 10 if warm else steps):
            if env.step(0)[2]:
                env.reset()
    return steps / (time.process_time() - begun)


def stepped_all(envs: Any, steps: int) -> float:
    envs.reset(seed=1)
    actions = np.zeros(envs.num_envs, dtype=np.int64)
    rounds = max(5, min(2000, steps // envs.num_envs))
    for _ in range(3):
        envs.step(actions)
    begun = time.process_time()
    for _ in range(rounds):
        envs.step(actions)
    return rounds * envs.num_envs / (time.process_time() - begun)


@compiled
def _bare(state: Any, table: Any, action: int) -> tuple[float, bool]:
    state[0] += action + table[0]
    return 0.0, False


class Bare(gym.Env[Any, Any]):
    """What no environment with such an observation can beat."""

    def __init__(self) -> None:
        self.state, self.table = np.zeros(4000, dtype=np.int64), np.zeros(4000, dtype=np.int64)
        self.observation = np.zeros((128, 8), dtype=np.float32)
        self.mask = np.zeros(128, dtype=np.int8)

    def reset(self, **_: Any) -> Any:
        return self.observation.copy(), {"action_mask": self.mask.copy()}

    def step(self, action: Any) -> Any:
        reward, over = _bare(self.state, self.table, action)
        return self.observation.copy(), reward, over, False, {"action_mask": self.mask.copy()}


def table(
    path: Path, agents: Sequence[str] = (), *, most: int = 10_000, length: int = 1024
) -> Iterator[str]:
    """Rules on the sequences that RLScheduler's comparison draws with seed 1 from 10,000 jobs, and
    agents on the same ones, in the environment itself."""
    trace = read_swf(path)
    trace.records.flags.writeable = False
    some = type(trace)(
        **{**vars(trace), "records": trace.records[:most], "lines": trace.lines[:most]}
    )
    jobs = episode_jobs(some)
    rng = drawing(1)
    begins = [int(rng.randint(length, len(jobs) - length - 1)) for _ in range(10)]
    yield f"{path.name}: mean bounded slowdown over ten sequences of {length} jobs"
    for backfill in ("none", "easy"):
        means = {}
        for rule in RULES:
            values = []
            for begin in begins:
                starts = play(jobs, rule, start=begin, length=length, backfill=backfill)
                values.append(schedule_metrics(jobs, starts, first=begin)["bounded_slowdown"])
            means[rule] = float(np.mean(values))
        best = min(means, key=lambda rule: means[rule])
        for name in agents:
            means[name] = float(np.mean(scheduled_by(name, path, begins, length, backfill)))
        told = ", ".join(f"{name} {mean:.2f}" for name, mean in means.items())
        yield f"  backfill {backfill}: {told}; the best rule is {best}"
        for name in agents:
            yield f"    {name}: {means[name] / means[best]:.3f} of {best}"


def scheduled_by(
    name: str, path: Path, begins: Sequence[int], length: int, backfill: str
) -> list[float]:
    """Mean bounded slowdown of an agent, sequence by sequence."""
    env = gym.make(
        "BatchScheduling-v0", trace=str(path), jobs=length, decision="head", backfill=backfill
    )
    values = []
    for begin in begins:
        observation, info = env.reset(seed=begin, options={"start": begin})
        agent = make_agent(name)
        agent.reset(begin, env)
        over = False
        while not over:
            observation, reward, over, _, info = env.step(agent.act(observation, info))
        values.append(-float(reward))
    return values


def drawing(seed: int) -> np.random.RandomState:
    """The generator that old Gym made of a seed."""
    number = int.from_bytes(hashlib.sha512(str(seed).encode()).digest()[:8], "little")
    rng = np.random.RandomState()
    rng.seed([number % 2**32, number // 2**32])
    return rng


def seconds(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


@functools.cache
def slow_model() -> ModuleType:
    spec = importlib.util.spec_from_file_location("slow_model", MODEL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
