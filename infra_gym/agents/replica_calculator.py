"""How many replicas Kubernetes' horizontal pod autoscaler wants, from its pods' utilisation. Pure.

This is ``ReplicaCalculator.GetResourceReplicas`` of Kubernetes 1.34 for CPU
(``pkg/controller/podautoscaler/replica_calculator.go``), whole-number arithmetic included:

1. Pods that are terminating do not count. Pods that are pending, not ready yet or only just ready
   are *unready*, pods without a metric are *missing*; the rest is *measured*.
2. r = utilisation of the measured pods / target, with utilisation as whole percents of the request.
3. With neither missing nor unready pods to think of: keep, if r is within the tolerance of 1; else
   ``ceil(r * measured pods)``.
4. Else r is computed again with cautious guesses: on the way down, missing pods use all of their
   request (or the target, if that is higher); on the way up, missing and unready pods use nothing.
   If this changes the direction, or r is now within the tolerance, keep; else
   ``ceil(r * pods counted)``, unless that would go the other way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

_Use = tuple[int, int]
"""Usage and request of one pod, in thousandths."""


@dataclass(frozen=True, slots=True)
class Pod:
    """What the autoscaler knows of one pod. Times are seconds on any one clock."""

    phase: Literal["pending", "running", "terminating"]
    ready: bool
    started_s: float
    changed_s: float
    """When ``ready`` last changed."""
    usage: int | None
    """In thousandths; ``None``: no metric."""
    usage_since_s: float
    """When the window began over which ``usage`` is the mean."""
    request: int = 1000
    """What the pod may use, in thousandths of the same unit."""


@dataclass(frozen=True, slots=True)
class ReplicaCalculator:
    """The calculator; the defaults are the controller's.

    Args:
        target_percent: Utilisation to aim for, in percent of the request.
        tolerance: How far r may be from 1 without a change.
        initialisation_s: How long after its start a pod's metric counts only if it is ready and the
            metric's window began after it became so (``cpu-initialization-period``).
        readiness_delay_s: A pod that turned unready within this time of its start was never ready
            (``initial-readiness-delay``).
    """

    target_percent: int
    tolerance: float = 0.1
    initialisation_s: float = 300.0
    readiness_delay_s: float = 30.0

    def replicas(self, current: int, pods: Iterable[Pod], now_s: float) -> int | None:
        """The number wanted; ``None`` where no pod has a usable metric, and nothing is scaled."""
        measured, unready, missing = self._group(pods, now_s)
        if not measured:
            return None
        ratio = self._ratio(measured)
        if not missing and not (unready and ratio > 1.0):
            return current if self._tolerates(ratio) else math.ceil(ratio * len(measured))

        uses = list(measured)
        if ratio < 1.0:
            full = max(100, self.target_percent)
            uses += [(request * full // 100, request) for request in missing]
        if ratio > 1.0:
            uses += [(0, request) for request in (*missing, *unready)]
        cautious = self._ratio(uses)
        if self._tolerates(cautious) or (ratio < 1.0 < cautious) or (cautious < 1.0 < ratio):
            return current
        wanted = math.ceil(cautious * len(uses))
        turned = wanted > current if cautious < 1.0 else wanted < current
        return current if turned else wanted

    def _tolerates(self, ratio: float) -> bool:
        return 1.0 - self.tolerance <= ratio <= 1.0 + self.tolerance

    def _ratio(self, uses: Sequence[_Use]) -> float:
        percent = sum(use for use, _ in uses) * 100 // sum(request for _, request in uses)
        return percent / self.target_percent

    def _group(self, pods: Iterable[Pod], now_s: float) -> tuple[list[_Use], list[int], list[int]]:
        """Uses of the measured pods, requests of the unready and of the missing ones."""
        measured: list[_Use] = []
        unready: list[int] = []
        missing: list[int] = []
        for pod in pods:
            if pod.phase == "terminating":
                continue
            if pod.phase == "pending":
                unready.append(pod.request)
            elif pod.usage is None:
                missing.append(pod.request)
            elif self._unready(pod, now_s):
                unready.append(pod.request)
            else:
                measured.append((pod.usage, pod.request))
        return measured, unready, missing

    def _unready(self, pod: Pod, now_s: float) -> bool:
        if pod.started_s + self.initialisation_s > now_s:
            return not pod.ready or pod.usage_since_s < pod.changed_s
        return not pod.ready and pod.started_s + self.readiness_delay_s > pod.changed_s
