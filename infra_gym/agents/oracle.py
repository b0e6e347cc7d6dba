"""An agent that knows the future, for simulators: the mark that others are measured against.

**What it knows**: the whole arrival schedule of the episode and every chance in it (which replica a
request goes to), the simulator itself, and the reward. It looks at no observation. Nothing of the
kind can be had of a live system, so it competes with nobody.

**What it optimises**: the episode's sum of rewards, before the first step, by a beam search with
the real simulator: for every value that the control can have after a step, of all ways that lead
there the one with the highest sum so far is kept, with its simulator's state (queues, replicas that
boot), and goes on from there.

**What that is worth**: it would be the optimum if the number of replicas told the whole state. Two
ways to the same number may differ in what still waits in the queues, and then the better one so far
need not be the better one in the end; so it is no proven optimum, but a plan that no rule without
the future has come near to.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import TimeLimit

from infra_gym.agents.lever import Lever
from infra_gym.errors import UsageError
from infra_gym.task.controls import Move
from infra_gym.worlds.simulated import SimulatedWorld

Moves = list[tuple[int, Move]]


@dataclass(frozen=True)
class Way:
    """One way through the episode so far."""

    reward: float
    world: SimulatedWorld
    actions: tuple[int, ...]


class OracleAgent:
    """Plans the whole episode with what will happen in it; see this module's own words."""

    def reset(self, seed: int, env: gym.Env[Any, Any]) -> None:  # noqa: ARG002
        """See :class:`infra_gym.agents.base.Agent`. The plan is made here.

        Raises:
            UsageError: The environment is no simulator that can be branched.
        """
        lever = Lever(env, "oracle")
        world = getattr(env.unwrapped, "world", None)
        if not isinstance(world, SimulatedWorld):
            raise UsageError(
                "The agent 'oracle' knows the future, which only the simulator of a web app tells, "
                "request by request.",
                next_command="--target sim, with fidelity left out",
            )
        self._actions = iter(plan(env.unwrapped, world, lever, _length(env)).actions)

    def act(self, observation: Any, info: dict[str, Any]) -> int:  # noqa: ARG002
        """See :class:`infra_gym.agents.base.Agent`."""
        return next(self._actions)


def plan(env: Any, world: SimulatedWorld, lever: Lever, steps: int) -> Way:
    """The way through an episode of so many steps, from where it stands now: at its reset."""
    task = copy.copy(env.task)  # its memory of the last step is the environment's own
    control = lever.control
    moves = {
        value: _moves(task, lever.name, value) for value in range(control.low, control.high + 1)
    }
    ways = {control.initial: Way(0.0, world.branch(), ())}
    for _ in range(steps):
        ways = _extended(ways, task, moves, lever.name)
    return max(ways.values(), key=lambda way: way.reward)


def _length(env: gym.Env[Any, Any]) -> int:
    """Steps of an episode: the definition's, or fewer where Gymnasium's TimeLimit cuts it off."""
    inner: Any = env.unwrapped
    steps = int(inner.definition.max_episode_steps)
    while isinstance(env, gym.Wrapper):
        if isinstance(env, TimeLimit):
            steps = min(steps, env._max_episode_steps)  # noqa: SLF001  # it has no public name
        env = env.env
    return steps


def _moves(task: Any, name: str, value: int) -> Moves:
    """The actions that lead from a value to different ones, and what they do."""
    found: dict[int, tuple[int, Move]] = {}
    for action in range(task.controls.sizes[0]):
        move = task.move(action, {name: value})
        found.setdefault(move.controls[name], (action, move))
    return [*found.values()]


def _extended(
    ways: dict[int, Way], task: Any, moves: dict[int, Moves], name: str
) -> dict[int, Way]:
    """One step further: the best way to each value of the control."""
    found: dict[int, Way] = {}
    for value, way in ways.items():
        left = len(moves[value])
        for action, move in moves[value]:
            left -= 1
            world = way.world.branch() if left else way.world  # the last may use it up
            reading = world.step(move.controls)
            outcome = task.outcome(
                reading.values,
                move.controls,
                seconds=reading.seconds,
                last_action=move.last_action,
                out_of_bounds=bool(move.clipped),
                empty=reading.empty,
            )
            reached, reward = move.controls[name], way.reward + outcome.reward
            if reached not in found or reward > found[reached].reward:
                found[reached] = Way(reward, world, (*way.actions, action))
    return found
