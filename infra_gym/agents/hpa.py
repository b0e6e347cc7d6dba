"""Kubernetes' horizontal pod autoscaler as an agent.

The number wanted comes from :mod:`infra_gym.agents.replica_calculator`, how fast it is followed
from :mod:`infra_gym.agents.scaling_rules`; both are exact, and tested against Kubernetes' own code.
The agent feeds them: a replica is a pod, its utilisation (busy slots / slots) is the CPU use as a
share of the request, and all periods and windows are in modelled seconds (``info["time_s"]``), so
that load and autoscaler run on one clock whatever the target's time scale. One turn is one sync.
With ``delta`` actions the agent moves one server a turn towards the number wanted; with
``action="absolute"`` it sets it, as Kubernetes does.

**The default target, 50 %.** A replica of SimpleK8sWebApp-v0 has 4 slots and serves a request in
0.1 s; with random balancing it is an M/D/4 queue. Its share of requests within 0.25 s is 99.98 % at
a utilisation of 0.5, 99.9 % at 0.6, 99.1 % at 0.69 and 94.8 % at 0.8 (where p95 reaches 0.25 s). To
hold 99 %, a replica may thus be busy to 0.69. The autoscaler acts only 10 % above its target, and
its action comes a turn late, in which the load of a daily profile grows by up to a quarter while
that matters: 0.5 x 1.1 x 1.25 = 0.69. The simulator agrees: with a target of 0.5, 99.9 % are within
0.25 s, with 0.6 only 98 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any

import gymnasium as gym

from infra_gym.agents.lever import Lever
from infra_gym.agents.replica_calculator import Pod, ReplicaCalculator
from infra_gym.agents.scaling_rules import DOWN, UP, ScalingRules
from infra_gym.errors import UsageError

UTILISATION, READY, STARTED = "replica_utilisation", "replica_ready", "replica_started"


@dataclass(frozen=True, slots=True)
class _Life:
    """What was seen of one replica; times are modelled seconds."""

    start: float | None
    """Its start time on its own clock: another one is another process."""
    ready: bool
    started_s: float
    changed_s: float


class HpaAgent:
    """The autoscaler; every default but ``target`` is Kubernetes' own.

    Args:
        target: Utilisation to aim for, as a ratio (whole percents, as in Kubernetes).
        tolerance: How far utilisation / target may be from 1 without a change.
        initialisation_s: Modelled seconds after a replica's start in which its first metrics are
            not trusted (``cpu-initialization-period``).
        readiness_delay_s: ``initial-readiness-delay``, in modelled seconds.
        up_window_s: Stabilisation window upwards, in modelled seconds.
        down_window_s: Stabilisation window downwards, in modelled seconds.

    Raises:
        UsageError: A parameter is out of range.
    """

    def __init__(
        self,
        target: float = 0.5,
        tolerance: float = 0.1,
        initialisation_s: float = 300.0,
        readiness_delay_s: float = 30.0,
        up_window_s: float = UP.window_s,
        down_window_s: float = DOWN.window_s,
    ) -> None:
        if not 0.01 <= target <= 10:
            raise UsageError(f"The agent 'hpa' needs a target from 0.01 to 10, not {target}.")
        spans = (tolerance, initialisation_s, readiness_delay_s, up_window_s, down_window_s)
        if not all(0 <= span < inf for span in spans):
            raise UsageError(f"The agent 'hpa' needs a tolerance and times from 0, not {spans}.")
        self._calculator = ReplicaCalculator(
            round(target * 100), tolerance, initialisation_s, readiness_delay_s
        )
        self._up = replace(UP, window_s=up_window_s)
        self._down = replace(DOWN, window_s=down_window_s)

    def reset(self, seed: int, env: gym.Env[Any, Any]) -> None:  # noqa: ARG002
        """See :class:`infra_gym.agents.base.Agent`."""
        self._lever = Lever(env, "hpa")
        measured = env.unwrapped.definition.metrics  # type: ignore[attr-defined]
        missing = [name for name in (UTILISATION, READY, STARTED) if name not in measured]
        if missing:
            raise UsageError(
                f"The agent 'hpa' needs metrics per replica; {', '.join(missing)} is missing.",
                next_command="add it to the definition's metrics, see envs/SimpleK8sWebApp-v0.yaml",
            )
        control = self._lever.control
        self._rules = ScalingRules(control.low, control.high, self._up, self._down)
        self._lives: dict[str, _Life] = {}
        self._before_s = -inf  # metrics from before the episode count for nothing

    def act(self, observation: Any, info: dict[str, Any]) -> Any:  # noqa: ARG002
        """See :class:`infra_gym.agents.base.Agent`."""
        now_s = float(info["time_s"])
        current = self._lever.current(info)
        recommended = self._calculator.replicas(current, self._pods(info, current, now_s), now_s)
        self._before_s = now_s
        wanted = current if recommended is None else self._rules.limit(recommended, current, now_s)
        action, reached = self._lever.towards(wanted, info)
        if reached != current:
            self._rules.record(current, reached, now_s)
        return action

    def _pods(self, info: dict[str, Any], wished: int, now_s: float) -> list[Pod]:
        """The replicas as pods; those that are wished for and not there yet are pending."""
        utilisation = info["by_label"].get(UTILISATION, {})
        self._lives = self._watched(info["by_label"], now_s)
        leaving = self._leaving(len(self._lives) - wished)
        pods = [
            Pod(
                phase="terminating" if name in leaving else "running",
                ready=life.ready,
                started_s=life.started_s,
                changed_s=life.changed_s,
                usage=round(utilisation[name] * 1000) if name in utilisation else None,
                usage_since_s=self._before_s,
            )
            for name, life in self._lives.items()
        ]
        pending = Pod("pending", False, now_s, now_s, None, now_s)
        return pods + [pending] * (wished - len(pods))

    def _watched(self, by_label: dict[str, dict[str, float]], now_s: float) -> dict[str, _Life]:
        """The lives of all replicas that exist, brought up to what is seen now."""
        ready, started = by_label.get(READY, {}), by_label.get(STARTED, {})
        lives = {}
        for name in {**started, **ready}:
            is_ready, start = ready.get(name, 0.0) > 0, started.get(name)
            life = self._lives.get(name)
            if life is None or life.start != start:
                life = _Life(start, is_ready, now_s, now_s)
            elif life.ready != is_ready:
                life = replace(life, ready=is_ready, changed_s=now_s)
            lives[name] = life
        return lives

    def _leaving(self, surplus: int) -> set[str]:
        """Replicas that drain: of more than are wished for, those that take no requests."""
        unready = sorted(
            (name for name, life in self._lives.items() if not life.ready),
            key=lambda name: self._lives[name].changed_s,
            reverse=True,
        )
        return set(unready[: max(surplus, 0)])
