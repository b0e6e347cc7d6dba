"""How fast the web app's twin is, request by request; a section of simulators.py.

python benchmarks/simulators.py --only twin
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from measuring import Figure, Turn, first_call, rates

import infra_gym  # noqa: F401 - registers the environments
from infra_gym.cost import Budget
from infra_gym.definitions.catalog import find_definition
from infra_gym.definitions.models import Definition
from infra_gym.environments.env import InfraEnv
from infra_gym.environments.place import Place
from infra_gym.simulators.compilation import compiled
from infra_gym.simulators.draws import uniform
from infra_gym.simulators.webapp import WebApp
from infra_gym.task.task import Task
from infra_gym.workloads import parse_workload
from infra_gym.worlds.simulated import SimulatedWorld

ID = "SimpleK8sWebApp-v0"
INTERVAL_S = 15.0
REQUESTS_A_STEP = (90, 900, 9000)
SLOTS, SERVICE_S = 4, 0.1


@compiled
def bare_queues(arrivals: np.ndarray, free: np.ndarray, turn: np.ndarray) -> float:
    """Queues that never fill, a request's replica by one draw: the recursion and nothing else."""
    latencies_s = 0.0
    replicas, slots = free.shape
    for request in range(len(arrivals)):
        now_s = arrivals[request]
        replica = int(uniform(1, request) * replicas)
        slot = turn[replica]
        free[replica, slot] = max(free[replica, slot], now_s) + SERVICE_S
        latencies_s += free[replica, slot] - now_s
        turn[replica] = slot + 1 if slot + 1 < slots else 0
    return latencies_s


def poisson(rate: float, requests: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.sort(rng.uniform(0, requests / rate, requests))


def bare(arrivals: np.ndarray, replicas: int) -> tuple[int, Turn]:
    def turn() -> None:
        bare_queues(arrivals, np.zeros((replicas, SLOTS)), np.zeros(replicas, dtype=np.int64))

    return len(arrivals), turn


def twin(arrivals: np.ndarray, replicas: int, requests_a_step: int) -> tuple[int, Turn]:
    ends = arrivals[requests_a_step - 1 :: requests_a_step]

    def turn() -> None:
        app = WebApp(arrivals, replicas=replicas, max_replicas=10)
        for end in ends:
            app.advance(end, replicas)

    return len(arrivals), turn


class WithoutInfo(InfraEnv):
    """The same environment, told nothing but the observation and the reward."""

    def _info(self, reading: Any, outcome: Any, move: Any) -> dict[str, Any]:  # noqa: ARG002
        return {"time_s": reading.time_s, "schedule_sha256": "", "seed": 0}


def load(requests_a_step: int) -> dict[str, Any]:
    return {"profile": "constant", "mean_rps": requests_a_step / INTERVAL_S}


def inner(kind: type[InfraEnv], definition: Definition) -> InfraEnv:
    """An environment without Gymnasium's wrappers, at 900 requests a step."""
    workload = parse_workload(load(900))
    place = Place("sim", "benchmark", "twin", INTERVAL_S, 4.0, workload)
    world = SimulatedWorld(definition, workload=workload, interval_s=INTERVAL_S, time_scale=4.0)
    return kind(definition, place, world, Task(definition), budget=Budget())


def stepping(env: gym.Env) -> tuple[int, Turn]:
    """Twenty steps of an episode under way; resets between turns' episodes are few."""
    env.reset(seed=1)
    step, done = 20, [0]

    def turn() -> None:
        done[0] += step
        if done[0] > 190:
            env.reset(seed=1)
            done[0] = step
        for _ in range(step):
            env.step(1)

    return step, turn


def episode(env: gym.Env) -> tuple[int, Turn]:
    def turn() -> None:
        env.reset(seed=1)
        for _ in range(200):
            env.step(1)

    return 200, turn


def resetting(env: gym.Env) -> tuple[int, Turn]:
    return 1, lambda: env.reset(seed=1)


FIRST = f"""
import gymnasium, infra_gym, time
env = gymnasium.make("{ID}", target="sim")
begin = time.perf_counter()
env.reset(seed=1)
env.step(1)
print(time.perf_counter() - begin)
"""


def figures(rounds: int) -> Iterator[Figure]:
    yield from kernel_figures(rounds)
    yield from environment_figures(rounds)
    cold, warm = first_call(FIRST)
    yield Figure("first reset and step, compiling", cold, "s")
    yield Figure("first reset and step, from the cache on disk", warm, "s")


def kernel_figures(rounds: int) -> Iterator[Figure]:
    loads = {
        "60 requests/s, 2 replicas": (60, 2),
        "60 requests/s, 4 replicas": (60, 4),
        "300 requests/s, 10 replicas": (300, 10),
        "100 requests/s, 2 replicas: full queues, 503": (100, 2),
        "1000 requests/s, 10 replicas: the client's cap": (1000, 10),
    }
    for name, (rate, replicas) in loads.items():
        arrivals = poisson(rate, 90_000)
        speed = rates(
            {
                "twin": twin(arrivals, replicas, len(arrivals)),
                "steps": twin(arrivals, replicas, 900),
                "bare": bare(arrivals, replicas),
            },
            rounds,
        )
        yield Figure(
            name, speed["twin"], "requests/s", f"bare compiled loop: {speed['bare']:,.0f}",
            speed["twin"] / speed["bare"], "goal 20,000,000, must 10,000,000",
        )  # fmt: skip
        yield Figure("the same, counts told after every 900", speed["steps"], "requests/s")


def environment_figures(rounds: int) -> Iterator[Figure]:
    definition = find_definition(ID)
    numbers = {name: one for name, one in definition.metrics.items() if one.by is None}
    bare_definition = definition.model_copy(update={"metrics": numbers})
    envs = {
        requests: gym.make(ID, target="sim", workload=load(requests), max_episode_steps=10**9)
        for requests in REQUESTS_A_STEP
    }
    speed = rates(
        {
            **{f"{requests}": stepping(env) for requests, env in envs.items()},
            "inner": stepping(inner(InfraEnv, definition)),
            "no info": stepping(inner(WithoutInfo, definition)),
            "no info, no labels": stepping(inner(WithoutInfo, bare_definition)),
        },
        5 * rounds,
    )
    for requests in REQUESTS_A_STEP:
        limit = "must 10,000" if requests == 900 else ""
        yield Figure(f"gym.make, {requests} requests a step", speed[f"{requests}"], "steps/s", "",
                     None, limit)  # fmt: skip
    told = 1e6 / speed["inner"]
    yield Figure("a step at 900 requests, without wrappers", told, "us")
    without = 1e6 / speed["no info"]
    yield Figure("of it, building info", told - without, "us", "", (told - without) / told)
    labels = without - 1e6 / speed["no info, no labels"]
    yield Figure("of it, metrics by replica, which only info has", labels, "us", "", labels / told)
    speed = rates({"episode": episode(envs[900]), "reset": resetting(envs[900])}, rounds)
    yield Figure("gym.make, whole episodes of 200 steps, 900 requests each", speed["episode"],
                 "steps/s")  # fmt: skip
    yield Figure("reset: the schedule of 181,800 requests", 1e3 / speed["reset"], "ms")
