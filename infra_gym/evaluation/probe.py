"""The probe: an open-loop staircase over load and replicas, from which a twin is calibrated.

*Open loop*: what is done at a step is known before the first one, and answers to nothing that is
measured. The load climbs from a quarter to one and a half times the definition's own mean; on each
level the replicas begin at the fewest, climb by one, by one more, by two, and come down again:

- little load shows what every request costs: service time and overhead;
- much load on few replicas shows the queue, and its end in 503s and timeouts;
- a replica that is added or removed under load does part of a step's work, which shows when.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from infra_gym.agents.lever import Lever
from infra_gym.definitions.models import Definition
from infra_gym.errors import UsageError

LOADS = (0.25, 0.75, 1.0, 1.25, 1.5)
"""The levels of load, as multiples of the definition's mean."""
CLIMB = (0, 0, 1, 1, 2, 2, 4, 4, 2, 1, 0, 0)
"""Replicas above the fewest, one after another on each level of load."""
STEPS = len(LOADS) * len(CLIMB)
"""Steps of a probe, unless told otherwise."""
FEWEST_STEPS = 2 * len(LOADS)

# Measured on local: making the stack takes 6 s and destroying it 4; elsewhere it takes longer.
_AROUND_S = 10.0


@dataclass(frozen=True)
class Probe:
    """What a probe does, known beforehand.

    Attributes:
        replicas: The control's value at each step.
        workload: The load, for :func:`infra_gym.environments.make.make`.
        seconds: How long it takes on the wall's clock, with the making and destroying of a local
            stack.
    """

    replicas: tuple[int, ...]
    workload: Mapping[str, Any]
    seconds: float


def plan_probe(
    definition: Definition, *, interval_s: float, time_scale: float, steps: int = STEPS
) -> Probe:
    """The staircase for an environment.

    Args:
        definition: The environment; its one control is the number of replicas.
        interval_s: Seconds of a step.
        time_scale: Modelled seconds in one second.
        steps: How many; the same staircase is stretched over them.

    Raises:
        UsageError: The environment cannot be probed, or not in so few or many steps.
    """
    alone = tuple(definition.controls) == definition.replica_controls[:1]
    if not alone or definition.simulator != "webapp":
        raise UsageError(
            f"{definition.id} cannot be probed: only the simulator webapp is calibrated, with the "
            "number of replicas as the only control."
        )
    most = definition.max_episode_steps
    if not FEWEST_STEPS <= steps <= most:
        raise UsageError(
            f"A probe of {definition.id} has {FEWEST_STEPS} to {most} steps, not {steps}.",
            next_command=f"--steps {min(STEPS, most)}",
        )
    mean_rps = definition.workload.mean_rps
    if mean_rps is None:
        raise UsageError(
            f"{definition.id} cannot be probed: its workload does not say its mean_rps.",
            next_command="give the definition's workload a mean_rps",
        )
    control = definition.controls[definition.replica_controls[0]]
    held = steps / len(LOADS)  # steps on each level
    replicas = tuple(
        min(control.low + CLIMB[int(step % held / held * len(CLIMB))], control.high)
        for step in range(steps)
    )
    workload = {
        "profile": "staircase",
        "levels_rps": tuple(load * mean_rps for load in LOADS),
        "hold_s": held * interval_s * time_scale,
    }
    return Probe(replicas, workload, steps * interval_s + _AROUND_S)


class OpenLoop:
    """The agent that does what was planned, one number of replicas after another; then stays.

    Args:
        replicas: The control's value at each step.
    """

    def __init__(self, replicas: tuple[int, ...]) -> None:
        self._replicas = replicas

    def reset(self, seed: int, env: gym.Env[Any, Any]) -> None:  # noqa: ARG002
        """See :class:`infra_gym.agents.base.Agent`."""
        self._lever = Lever(env, "probe")
        self._step = 0

    def act(self, observation: Any, info: dict[str, Any]) -> Any:  # noqa: ARG002
        """See :class:`infra_gym.agents.base.Agent`."""
        wanted = self._replicas[min(self._step, len(self._replicas) - 1)]
        self._step += 1
        return self._lever.towards(wanted, info)[0]
