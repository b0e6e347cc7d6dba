"""How fast Kubernetes' horizontal pod autoscaler lets a number of replicas change. Pure.

These are ``stabilizeRecommendationWithBehaviors`` and ``convertDesiredReplicasWithBehaviorRate`` of
Kubernetes 1.34 (``pkg/controller/podautoscaler/horizontal.go``) with ``selectPolicy: Max``, on a
clock that the caller keeps.

- **Stabilisation.** Upwards goes only what the lowest recommendation of the window upwards still
  asks for, downwards only what the highest of the window downwards does.
- **Rate.** Within a policy's period, at most its pods or percents are added to (or taken from) what
  was there when the period began; of several policies the one that allows most counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Policy:
    """At most ``value`` pods, or percents of the replicas, in ``period_s`` seconds."""

    kind: Literal["pods", "percent"]
    value: int
    period_s: float


@dataclass(frozen=True, slots=True)
class Direction:
    """The rules for one way: its stabilisation window, and what limits the rate."""

    window_s: float
    policies: tuple[Policy, ...]


UP = Direction(0.0, (Policy("pods", 4, 15.0), Policy("percent", 100, 15.0)))
"""Kubernetes' defaults upwards: at once, at most the greater of +4 and +100 % in 15 s."""
DOWN = Direction(300.0, (Policy("percent", 100, 15.0),))
"""Kubernetes' defaults downwards: what the last five minutes allow, then all of it."""


@dataclass(slots=True)
class ScalingRules:
    """The rules and what they remember; times must not go back.

    Args:
        low: Fewest replicas.
        high: Most replicas.
        up: Rules for more.
        down: Rules for fewer.
    """

    low: int
    high: int
    up: Direction = UP
    down: Direction = DOWN
    _recommended: list[tuple[float, int]] | None = None
    _added: list[tuple[float, int]] = field(default_factory=list)
    _removed: list[tuple[float, int]] = field(default_factory=list)

    def limit(self, recommended: int, current: int, now_s: float) -> int:
        """What of a new recommendation may be done now; remembers the recommendation."""
        wanted = self._stabilised(recommended, current, now_s)
        if wanted > current:
            reach = max(self._reach(policy, current, now_s, 1) for policy in self.up.policies)
            return min(wanted, self.high, max(reach, current))
        if wanted < current:
            reach = min(self._reach(policy, current, now_s, -1) for policy in self.down.policies)
            return max(wanted, self.low, min(reach, current))
        return wanted

    def record(self, before: int, after: int, now_s: float) -> None:
        """Remember a change that was really made.

        It takes the place of one that is older than all periods of its own direction, as in
        Kubernetes' ``storeScaleEvent``: the other direction may look back longer, and then sees
        what Kubernetes sees.
        """
        events, policies = (
            (self._added, self.up.policies)
            if after > before
            else (self._removed, self.down.policies)
        )
        outdated_s = now_s - max(policy.period_s for policy in policies)
        outdated = [index for index, (time_s, _) in enumerate(events) if time_s < outdated_s]
        event = (now_s, abs(after - before))
        if outdated:
            events[outdated[-1]] = event
        else:
            events.append(event)

    def _stabilised(self, recommended: int, current: int, now_s: float) -> int:
        if self._recommended is None:  # what was there before counts as the first recommendation
            self._recommended = [(now_s, current)]
        rising = _since(self._recommended, now_s - self.up.window_s)
        falling = _since(self._recommended, now_s - self.down.window_s)
        lowest = min([recommended, *(number for _, number in rising)])
        highest = max([recommended, *(number for _, number in falling)])
        longer = max(rising, falling, key=len)
        self._recommended = [*longer, (now_s, recommended)]
        return min(max(current, lowest), highest)

    def _reach(self, policy: Policy, current: int, now_s: float, sign: int) -> int:
        """How far ``policy`` lets the replicas go from what they were when its period began."""
        cutoff_s = now_s - policy.period_s
        added = sum(number for _, number in _since(self._added, cutoff_s))
        removed = sum(number for _, number in _since(self._removed, cutoff_s))
        began = current - added + removed
        if policy.kind == "pods":
            return began + sign * policy.value
        reach = began * (1 + sign * policy.value / 100)
        return math.ceil(reach) if sign > 0 else math.trunc(reach)


def _since(events: list[tuple[float, int]], cutoff_s: float) -> list[tuple[float, int]]:
    return [(time_s, number) for time_s, number in events if time_s > cutoff_s]
