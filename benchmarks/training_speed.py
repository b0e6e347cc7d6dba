"""How many steps a second a training makes, beside what it is made of.

    python benchmarks/training_speed.py [--rounds N] [--environments N] [--clock]

SimpleK8sWebApp-v0's fluid form with PPO, end to end; the vector form alone under random actions;
and what learns, with the same networks and batches, on environments that cost nothing. Turns
alternate, and the medians count; seconds are the process's own, of one thread, so that a busy
machine disturbs little.

With ``--clock`` by the clock, on two cores, which have to be quiet: one training with two threads
of PyTorch's, and two trainings at once with one thread each.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

import infra_gym

ID = "SimpleK8sWebApp-v0"

Turn = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--environments", type=int, default=2048)
    parser.add_argument("--clock", action="store_true")
    arguments = parser.parse_args()
    print(f"infra-gym {infra_gym.__version__}: training's speed")
    measure = by_the_clock if arguments.clock else by_the_process
    for line in measure(arguments.rounds, arguments.environments):
        print(line, flush=True)


def by_the_process(rounds: int, environments: int) -> Iterator[str]:
    """Steps a second of one thread, and the parts' shares of a step's time."""
    import torch

    torch.set_num_threads(1)
    vectors = _vectors(environments)
    alone = _together(_vectors(environments))
    alone.reset()
    steps = _learner(_together(vectors)).n_steps
    actions = np.random.default_rng(1).integers(0, 3, (steps, alone.num_envs))
    turns: dict[str, Turn] = {
        "the vector forms alone": lambda: [alone.step(one) for one in actions]
    }
    for epochs in (1, 2, 4):
        bare = _learner(_together([Nothing(one) for one in vectors]), epochs)
        turns[f"PPO, {epochs} epochs"] = _turn(_learner(_together(vectors), epochs))
        turns[f"the same without environments, {epochs} epochs"] = _turn(bare)
    taken: dict[str, list[float]] = {name: [] for name in turns}
    for turn in range(rounds + 1):
        for name, run in turns.items():
            begun = time.process_time()
            run()
            if turn:  # the first compiles
                taken[name].append(time.process_time() - begun)
    made = steps * alone.num_envs
    for name, seconds in taken.items():
        yield f"{name}: {made / np.median(seconds):,.0f} steps/s"
    for epochs in (1, 2, 4):
        whole = np.array(taken[f"PPO, {epochs} epochs"])
        bare_s = np.array(taken[f"the same without environments, {epochs} epochs"])
        yield (
            f"the learner's share, {epochs} epochs, median of pairs: "
            f"{np.median(bare_s / whole):.2f}"
        )


def by_the_clock(rounds: int, environments: int) -> Iterator[str]:
    """Steps a second on two cores."""
    import torch

    torch.set_num_threads(2)
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(3, timeout=600)  # a training that died ends the others as well
    others = [context.Process(target=_wait_and_run, args=(gate, rounds, environments, seed))
              for seed in (1, 2)]  # fmt: skip
    for other in others:
        other.start()
    model = _learner(_together(_vectors(environments)))
    run = _turn(model)
    run()
    gate.wait()
    one, two = [], []
    for _ in range(rounds):
        begun = time.perf_counter()
        run()
        one.append(time.perf_counter() - begun)
        gate.wait()
        begun = time.perf_counter()
        gate.wait()
        two.append(time.perf_counter() - begun)
    for other in others:
        other.join()
    made = model.n_steps * model.n_envs
    yield f"one training, two threads: {made / np.median(one):,.0f} steps/s"
    yield f"two trainings, a thread each: {2 * made / np.median(two):,.0f} steps/s together"
    yield f"two over one, median of pairs: {np.median(2 * np.array(one) / np.array(two)):.2f}"


def _wait_and_run(gate: Any, rounds: int, environments: int, seed: int) -> None:
    """A training of another process: a turn whenever the gate opens."""
    import torch

    torch.set_num_threads(1)
    run = _turn(_learner(_together(_vectors(environments)), seed=seed))
    run()
    gate.wait()
    for _ in range(rounds):
        gate.wait()
        run()
        gate.wait()


def _vectors(environments: int) -> list[VectorEnv[Any, Any, Any]]:
    from infra_gym.training import recipe_for
    from infra_gym.training.vectors import make_vector

    _, recipe = recipe_for(ID, None)
    number = environments // len(recipe.arguments)
    return [make_vector(ID, number, {"fidelity": "fluid", **one}) for one in recipe.arguments]


def _together(vectors: list[Any]) -> Any:
    from infra_gym.training.vec_env import VectorEnvs

    return VectorEnvs(vectors)


def _learner(venv: Any, epochs: int = 4, seed: int = 1) -> Any:
    from infra_gym.training import recipe_for
    from infra_gym.training.algorithms import make_model
    from infra_gym.training.sensed import Sensed

    _, recipe = recipe_for(ID, None)
    sensed = Sensed(venv, scale="standard", frames=recipe.frames, gamma=recipe.gamma,
                    reward_unit=0.0005, reward_limit=20)  # fmt: skip
    return make_model("ppo", recipe.model_copy(update={"epochs": epochs}), sensed, seed=seed)


def _turn(model: Any) -> Turn:
    """One rollout and its update."""
    return lambda: model.learn(model.n_steps * model.n_envs, reset_num_timesteps=False)


class Nothing(VectorEnv):
    """Environments that cost nothing: the same observations and rewards always."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, like: VectorEnv) -> None:
        self.num_envs = like.num_envs
        self.single_observation_space = like.single_observation_space
        self.single_action_space = like.single_action_space
        shape = (self.num_envs, *self.single_observation_space.shape)
        self._observations = np.random.default_rng(1).random(shape, np.float32)
        self._zeros = np.zeros(self.num_envs)
        self._never = np.zeros(self.num_envs, np.bool_)

    def reset(self, **_: Any) -> Any:
        return self._observations, {}

    def step(self, actions: Any) -> Any:  # noqa: ARG002
        return self._observations, self._zeros, self._never, self._never, {}


if __name__ == "__main__":
    main()
