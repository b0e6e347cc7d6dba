"""Knative's autoscaler (KPA) as an agent, for functions.

The number wanted comes from :class:`KnativeScaler`, which is pure. The agent feeds it: the load is
the metric ``concurrency`` (the mean number of calls in the gateway over the step, those that wait
for a cold start included), the ready replicas are the control's own ``ready`` metric, and all
windows are in modelled seconds (``info["time_s"]``), so that load and autoscaler run on one clock
whatever the target's time scale. One turn is one look; Knative looks every 2 s. With ``delta``
actions the agent moves one change a turn towards the number wanted; with ``action="absolute"`` it
sets it, as Knative does.

A step tells one mean. It counts for all of its interval, so a panic window shorter than a step sees
the last step's mean.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym

from infra_gym.agents.lever import Lever
from infra_gym.errors import MetricsError, UsageError

CONCURRENCY = "concurrency"


@dataclass(frozen=True)
class KnativeSettings:
    """The autoscaler's numbers, with Knative's defaults; times in seconds.

    Attributes:
        target: Concurrency to aim for in one replica, before ``utilisation``: what a replica
            serves at once (``containerConcurrency``, else 100).
        utilisation: Share of ``target`` that is really aimed for; together at least 1.
        stable_window_s: Over this the load is averaged.
        panic_window_s: Over this as well, for bursts.
        panic_threshold: Panic begins where the panic window wants so many times the ready replicas.
        max_scale_up_rate: At most so many times the ready replicas are wanted.
        max_scale_down_rate: At least the ready replicas over this.
        grace_s: From being idle to zero.
    """

    target: float = 100.0
    utilisation: float = 0.7
    stable_window_s: float = 60.0
    panic_window_s: float = 6.0
    panic_threshold: float = 2.0
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    grace_s: float = 30.0

    def __post_init__(self) -> None:
        bounds = {
            "target": self.target > 0,
            "utilisation": 0 < self.utilisation <= 1,
            "panic_window_s": self.panic_window_s > 0,
            "stable_window_s": self.stable_window_s >= self.panic_window_s,
            "panic_threshold": self.panic_threshold > 1,
            "max_scale_up_rate": self.max_scale_up_rate > 1,
            "max_scale_down_rate": self.max_scale_down_rate > 1,
            "grace_s": self.grace_s >= 0,
        }
        for name, holds in bounds.items():
            value = getattr(self, name)
            if not holds or not math.isfinite(value):
                raise UsageError(f"The agent 'knative' cannot have {name}={value}.")

    @property
    def per_replica(self) -> float:
        """Concurrency that one replica is to have."""
        return max(1.0, self.target * self.utilisation)


@dataclass
class KnativeScaler:
    """How many replicas Knative wants (its ``autoscaler.Scale``). Pure, but for its memory.

    1. Stable and panic load over the concurrency of one replica, rounded up, are two numbers of
       replicas. Both are kept from ``ready / max_scale_down_rate`` (rounded down) to
       ``ready * max_scale_up_rate`` (rounded up), with at least 1 for ``ready``.
    2. Panic begins, or goes on, where the panic window alone wants at least ``panic_threshold``
       times the ready replicas; it ends when that was last so longer than a stable window ago.
    3. Without panic the stable number is wanted. In panic it is the larger of the two, and never
       less than what was wanted since the panic began.

    It begins in panic where more than one replica is ready, because it has no memory to scale down
    by.

    Args:
        settings: The numbers.
        ready: Ready replicas at the beginning.
        now_s: The time then.
    """

    settings: KnativeSettings
    ready: int
    now_s: float
    _panic_since_s: float | None = field(init=False)
    _most: int = field(init=False)

    def __post_init__(self) -> None:
        self._panic_since_s = self.now_s if self.ready > 1 else None
        self._most = self.ready

    @property
    def panicking(self) -> bool:
        """Whether it does."""
        return self._panic_since_s is not None

    def wanted(self, stable: float, panic: float, ready: int, now_s: float) -> int:
        """The number of replicas.

        Args:
            stable: Mean concurrency over the stable window.
            panic: Mean concurrency over the panic window.
            ready: Ready replicas.
            now_s: The time.
        """
        settings, pods = self.settings, max(1, ready)
        most = math.ceil(settings.max_scale_up_rate * pods)
        least = math.floor(pods / settings.max_scale_down_rate)
        for_stable = math.ceil(stable / settings.per_replica)
        for_panic = math.ceil(panic / settings.per_replica)
        if for_panic / pods >= settings.panic_threshold:
            self._panic_since_s = now_s
        elif (
            self._panic_since_s is not None
            and self._panic_since_s + settings.stable_window_s < now_s
        ):
            self._panic_since_s, self._most = None, 0
        number = min(max(for_stable, least), most)
        if self.panicking:
            self._most = max(self._most, number, min(max(for_panic, least), most))
            number = self._most
        return number


@dataclass
class ScaleToZero:
    """When an idle function really goes to zero (Knative's ``handleScaleToZero``).

    A function that was active for less than a stable window keeps one replica. Then it is idle, and
    keeps what it has for the grace period, in which calls are led to whoever can hold them.

    Args:
        settings: The numbers.
        now_s: When the function became active.
    """

    settings: KnativeSettings
    now_s: float
    _active_since_s: float = field(init=False)
    _idle_since_s: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._active_since_s = self.now_s

    def limit(self, wanted: int, current: int, now_s: float) -> int:
        """The number to set, of ``wanted`` and ``current`` ones."""
        if wanted > 0:
            if self._idle_since_s is not None:
                self._idle_since_s, self._active_since_s = None, now_s
            return wanted
        if self._idle_since_s is None:
            if now_s - self._active_since_s < self.settings.stable_window_s:
                return 1
            self._idle_since_s = now_s
        return 0 if now_s - self._idle_since_s >= self.settings.grace_s else current


class Window:
    """The mean over the last seconds of a number that is known step by step."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._steps: deque[tuple[float, float, float]] = deque()  # begin, end, mean

    def add(self, begin_s: float, end_s: float, mean: float) -> None:
        """Take in a step."""
        self._steps.append((begin_s, end_s, mean))
        while self._steps[0][1] <= end_s - self._seconds:
            self._steps.popleft()

    @property
    def mean(self) -> float:
        """Over the window, or over what is known of it."""
        since = self._steps[-1][1] - self._seconds
        parts = [(end - max(begin, since), mean) for begin, end, mean in self._steps]
        return sum(long * mean for long, mean in parts) / sum(long for long, _ in parts)


class KnativeAgent:
    """The autoscaler; every default but ``target`` is Knative's own.

    Args:
        target: Concurrency that a replica serves at once; left out, the input ``slots`` of the
            control's layer, else Knative's 100.
        utilisation: See :class:`KnativeSettings`, as for all others; times are modelled seconds.
        stable_window_s: See there.
        panic_window_s: See there.
        panic_threshold: See there.
        max_scale_up_rate: See there.
        max_scale_down_rate: See there.
        grace_s: See there.

    Raises:
        UsageError: A parameter is out of range.
    """

    def __init__(
        self,
        target: float | None = None,
        utilisation: float = 0.7,
        stable_window_s: float = 60.0,
        panic_window_s: float = 6.0,
        panic_threshold: float = 2.0,
        max_scale_up_rate: float = 1000.0,
        max_scale_down_rate: float = 2.0,
        grace_s: float = 30.0,
    ) -> None:
        self._target = target
        self._settings = KnativeSettings(
            target=KnativeSettings.target if target is None else target,
            utilisation=utilisation,
            stable_window_s=stable_window_s,
            panic_window_s=panic_window_s,
            panic_threshold=panic_threshold,
            max_scale_up_rate=max_scale_up_rate,
            max_scale_down_rate=max_scale_down_rate,
            grace_s=grace_s,
        )

    def reset(self, seed: int, env: gym.Env[Any, Any]) -> None:  # noqa: ARG002
        """See :class:`infra_gym.agents.base.Agent`."""
        self._lever = Lever(env, "knative")
        definition = env.unwrapped.definition  # type: ignore[attr-defined]
        ready, control = self._lever.control.ready, self._lever.control
        if CONCURRENCY not in definition.metrics or ready is None:
            raise UsageError(
                "The agent 'knative' needs a metric `concurrency`, and a control that says by "
                "`ready` which metric counts its ready replicas.",
                next_command="see envs/FaaSScaling-v0.yaml",
            )
        slots = definition.inputs.get(control.layer, {}).get("slots")
        if self._target is None and slots is not None:
            self._settings = replace(self._settings, target=float(slots))
        self._ready = ready
        self._stable = Window(self._settings.stable_window_s)
        self._panic = Window(self._settings.panic_window_s)
        self._scaler: KnativeScaler | None = None
        self._before_s = 0.0
        self._measured = False

    def act(self, observation: Any, info: dict[str, Any]) -> Any:  # noqa: ARG002
        """See :class:`infra_gym.agents.base.Agent`."""
        now_s, current = float(info["time_s"]), self._lever.current(info)
        ready = int(info["metrics"][self._ready])
        if self._scaler is None:
            self._scaler = KnativeScaler(self._settings, ready, now_s)
            self._to_zero = ScaleToZero(self._settings, now_s)
        elif now_s > self._before_s:
            self._measure(info, now_s)
        self._before_s = now_s
        wanted = current
        if self._measured:
            wanted = self._scaler.wanted(self._stable.mean, self._panic.mean, ready, now_s)
        wanted = max(wanted, self._lever.control.low)
        return self._lever.towards(self._to_zero.limit(wanted, current, now_s), info)[0]

    def _measure(self, info: dict[str, Any], now_s: float) -> None:
        if CONCURRENCY in info["empty"]:
            raise MetricsError(
                "The agent 'knative' has no concurrency to scale by: nothing exports it.",
                next_command="put a layer `gateway` of infra-gym before the function",
            )
        for window in (self._stable, self._panic):
            window.add(self._before_s, now_s, info["metrics"][CONCURRENCY])
        self._measured = True
