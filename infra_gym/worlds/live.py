"""The live world: a Terraform stack, its load, and the Prometheus that measures it.

Where the stack stands on a cluster, the cluster counts the pods and tells what keeps them from
working; that is told in the notes and never raised.

Ticks t_k lie at fixed wall times. A step applies inside its tick without waiting for the rollout,
and returns as soon after t_(k+1) as every target that is up has a fresh sample. What a step tells
is the difference of counters between two ticks, so that boot delays and scaling transients are
paid for.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra_gym.cost import Bill
from infra_gym.definitions.models import (
    Definition,
    GaugeMetric,
    HistogramMetric,
    Metric,
)
from infra_gym.errors import (
    ClusterError,
    ClusterUnreachableError,
    DefinitionError,
    InfraGymError,
    MetricsError,
    NotReadyError,
    WorldError,
)
from infra_gym.metrics import MetricsReader, Prometheus
from infra_gym.settings import Target
from infra_gym.stack import Stack
from infra_gym.stack.costs import billed_layers
from infra_gym.workloads import Schedule, Workload, arrival_schedule
from infra_gym.worlds.actuator import Actuator
from infra_gym.worlds.base import Reading, ResetMode
from infra_gym.worlds.episode import Clock, Episode, Overrun, Sample, Scene, Timing
from infra_gym.worlds.load import Load
from infra_gym.worlds.metering import Metering
from infra_gym.worlds.pods import Pods
from infra_gym.worlds.reach import Direct, Reach, Way
from infra_gym.worlds.services import PROMETHEUS, SENDER, find_services

# The sender is disturbed when its p99 lateness passes this, the host when we wake this late.
_DISTURBED_S = 0.05
_POLL_S = 0.1
_FRESH_DEADLINE_S = 10.0
_SENDER_UP = f'sum(up{{job="{SENDER}"}})'
_LATENESS = "sender_lateness_p99"
_LATENESS_METRIC = HistogramMetric(histogram="siege_lateness_seconds", quantile=0.99, empty=0.0)
_SENDER_STARTED = "sender_started"
_SENDER_STARTED_METRIC = GaugeMetric(
    gauge=f'max(process_start_time_seconds{{job="{SENDER}"}})', empty=0.0
)
_OWN_METRICS: dict[str, Metric] = {
    _LATENESS: _LATENESS_METRIC,
    _SENDER_STARTED: _SENDER_STARTED_METRIC,
}


@dataclass(frozen=True)
class LiveOptions:
    """How a live world keeps time.

    Attributes:
        interval_s: Seconds of a step.
        time_scale: Modelled seconds in one second.
        overrun: See :data:`infra_gym.worlds.episode.Overrun`.
        ready_deadline_s: How long ``reset`` waits for the stack to become ready.
        patience_s: How long after a tick a Prometheus that does not answer, or that has no fresh
            samples, is asked again, and how long an apply is repeated where a server was away.
        prometheus_url: Where Prometheus answers, if not where its layer says.
    """

    interval_s: float
    time_scale: float = 1.0
    overrun: Overrun = "mark"
    ready_deadline_s: float = 90.0
    patience_s: float = 0.0
    prometheus_url: str | None = None

    @property
    def scrape_interval_s(self) -> float:
        """Divides the tick, is at most a fifth of it and at most a second."""
        return self.interval_s / max(5, math.ceil(self.interval_s))


class LiveWorld:
    """A stack of layers with a Prometheus among them, and a siege engine if there is load.

    Where these two answer is told by outputs; see :mod:`infra_gym.worlds.services`.

    Args:
        definition: The environment.
        target: Which of its stacks.
        stack: The stack; nothing is touched before :meth:`reset`.
        folder: Where the arrival schedule is written.
        workload: The load.
        options: How time is kept.
        clock: Wall time; another one in tests.
        metering: What meters the stack, where an account is billed for it.

    Raises:
        DefinitionError: There is no Prometheus among the layers.
    """

    def __init__(
        self,
        definition: Definition,
        target: Target,
        stack: Stack,
        *,
        folder: Path,
        workload: Workload,
        options: LiveOptions,
        clock: Clock = time,
        metering: Metering | None = None,
    ) -> None:
        self._services = find_services(definition.layers[target])
        if PROMETHEUS not in self._services:
            raise DefinitionError(
                f"{definition.id}: target {target!r} has no layer {PROMETHEUS!r}, "
                "from which the metrics are read"
            )
        self.stack = stack
        self._definition = definition
        self._actuator = Actuator(
            definition,
            target,
            stack,
            repair_after=1 if stack.on_cluster else 2,
            patience_s=options.patience_s,
        )
        self._folder = folder
        self._workload = workload
        self._options = options
        self._clock = clock
        self._metering = metering
        self._episode: Episode | None = None
        self._pods: Pods | None = None
        self._sender_started = 0.0
        self._ways: dict[str, Way] = {}

    def reset(self, seed: int, controls: Mapping[str, int], mode: ResetMode) -> Reading:
        """See :class:`infra_gym.worlds.base.World`.

        Raises:
            InfraGymError: A layer failed, or the stack was not ready in time.
        """
        with self._watched():
            return self._reset(seed, controls, mode)

    def _reset(self, seed: int, controls: Mapping[str, int], mode: ResetMode) -> Reading:
        begin = self._clock.time()
        mode = self._leave(mode)
        self._actuator.clear(mode)
        schedule = self._schedule(seed)
        path = self._write(schedule)
        offered = {
            "schedule": str(path),
            "scrape_interval_s": self._options.scrape_interval_s,
        }
        self._actuator.reset(controls, offered)
        self._remove_schedules(but=path)
        applied_s = self._clock.time() - begin
        cluster = self.stack.cluster
        self._pods = None if cluster is None else Pods.of(cluster, self.stack)
        prometheus = self._await_ready(controls)
        self._send(schedule)
        self._episode = Episode(self._scene(prometheus), self._timing(), self._clock)
        seconds = {"apply": applied_s, "ready": self._clock.time() - begin}
        sample = self._episode.begin()
        self._sender_started = sample.measured.values[_SENDER_STARTED]
        return self._reading(
            sample, {"seconds": seconds, "mismatch": {}, "schedule_sha256": schedule.sha256}
        )

    def step(self, controls: Mapping[str, int]) -> Reading:
        """See :class:`infra_gym.worlds.base.World`.

        Raises:
            NotReadyError: ``reset`` was not called.
            InfraGymError: An apply failed, Prometheus failed, no fresh sample came in time, or the
                siege engine lost its place.
        """
        if self._episode is None:
            raise NotReadyError("step before reset", next_command="call env.reset() first")
        try:
            return self._step(self._episode, controls)
        except InfraGymError as error:
            self._actuator.distrust()
            raise self._explained(error) from error

    def _step(self, episode: Episode, controls: Mapping[str, int]) -> Reading:
        late_s = episode.open_tick()
        repaired = self._actuator.submit(controls)
        with self._watched() if billed_layers(self._actuator.pending) else nullcontext():
            apply_s = self._actuator.wait(episode.left_s)
        sample = episode.sample()
        values = sample.measured.values
        self._refuse_restarted(values[_SENDER_STARTED])
        return self._reading(
            sample,
            {
                "seconds": {"apply": apply_s, "sample": sample.sampling_s, "jitter": sample.late_s},
                "late_s": late_s,
                "overrun_s": max(0.0, late_s - self._options.interval_s),
                "mismatch": self._actuator.mismatches(controls, self._counts(values)),
                "repaired": repaired,
                "vanished": list(sample.measured.vanished),
                "disturbed": _disturbances(sample.late_s, values[_LATENESS]),
            },
        )

    def close(self, *, keep: bool = False) -> None:
        """Destroy the stack, or leave it running if ``keep``; an apply that runs is awaited."""
        self._episode = None
        self._forget_ways()
        # Nothing changes where it is kept; and at Python's exit, no thread could be started.
        with nullcontext() if keep else self._watched():
            self._actuator.close(keep=keep)

    def interrupt(self) -> None:
        """Have running Terraform commands stop gently; again: at once."""
        self._actuator.interrupt()

    @property
    def bill(self) -> Bill | None:
        """What the account was billed as of now, where one is; nobody is asked."""
        return None if self._metering is None else self._metering.told()

    @property
    def jitter_p99_s(self) -> float:
        """99th percentile of how late ticks were kept, in seconds; ``nan`` before an episode."""
        return math.nan if self._episode is None else self._episode.jitter_p99_s

    def _watched(self) -> AbstractContextManager[None]:
        """While the stack is made or destroyed, what stands costs already, or still."""
        return nullcontext() if self._metering is None else self._metering.watching()

    def _schedule(self, seed: int) -> Schedule:
        return arrival_schedule(
            self._workload,
            seconds=(self._definition.max_episode_steps + 2) * self._options.interval_s,
            time_scale=self._options.time_scale,
            seed=seed,
        )

    def _write(self, schedule: Schedule) -> Path:
        # The name carries the content, so that another seed is another input of the layer.
        path = self._folder / f"schedule-{schedule.sha256[:16]}.igs"
        self._folder.mkdir(parents=True, exist_ok=True)
        schedule.write(path)
        return path

    def _remove_schedules(self, *, but: Path) -> None:
        """Those of the episodes before: a training has thousands."""
        for path in self._folder.glob("schedule-*.igs"):
            if path != but:
                path.unlink(missing_ok=True)

    def _url(self, service: str) -> str:
        told = self._services[service]
        return str(self.stack.outputs(told.layer)[told.output])

    def _way(self, layer: str, probe: str) -> Way:
        """The way to a layer's service, found once and kept until the service is made anew."""
        if layer not in self._ways:
            reach: Reach = self.stack.cluster or Direct()
            url = self._url(layer)
            if layer == PROMETHEUS and self._options.prometheus_url is not None:
                reach, url = Direct(), self._options.prometheus_url
            self._ways[layer] = reach.route(url, probe)
        return self._ways[layer]

    def _no_way(self, layer: str, probe: str) -> str:
        """Why a layer's service cannot be reached yet, in words; else empty."""
        try:
            self._way(layer, probe)
        except ClusterUnreachableError as error:
            return error.message
        return ""

    def _forget_ways(self) -> None:
        for way in self._ways.values():
            way.session.close()
        self._ways.clear()

    def _leave(self, mode: ResetMode) -> ResetMode:
        """End the episode; the mode that is possible after it."""
        if self._pods is not None and self._pods.lost:
            mode = "full"
        elif self._episode is not None and self._episode.scene.load is not None:
            # One that is gone, or does not answer, is no reason not to begin anew.
            with suppress(WorldError):
                self._episode.scene.load.pause()
        if mode != "soft":
            self._forget_ways()
        self._episode = None
        return mode

    def _await_ready(self, controls: Mapping[str, int]) -> Prometheus:
        """Wait until every pod is ready and Prometheus says so."""
        deadline = self._clock.time() + self._options.ready_deadline_s
        if self._pods is not None:
            self._wait(self._pods.not_ready, deadline)
        self._wait(lambda: self._no_way(PROMETHEUS, "/-/ready"), deadline)
        if SENDER in self._services:
            self._wait(lambda: self._no_way(SENDER, "/healthz"), deadline)
        way = self._way(PROMETHEUS, "/-/ready")
        prometheus = Prometheus(way.url, session=way.session)
        self._wait(lambda: self._not_ready(prometheus, controls), deadline)
        return prometheus

    def _wait(self, missing: Callable[[], str], deadline: float) -> None:
        while what := missing():
            if self._clock.time() >= deadline:
                report = "" if self._pods is None else f"\n{self._pods.report()}"
                raise NotReadyError(
                    f"not ready after {self._options.ready_deadline_s:g} s: {what}{report}",
                    next_command="infra-gym layers status, and the logs: in the run folder, or by "
                    "infra-gym logs; INFRA_GYM_READY_SECONDS gives it more time",
                )
            self._clock.sleep(_POLL_S)

    def _send(self, schedule: Schedule) -> None:
        """Give the siege engine its schedule, where its layer does not take it as a file."""
        sender = self._services.get(SENDER)
        if sender is not None and not self._actuator.takes(sender.layer, "schedule"):
            load = self._load()
            load.pause()
            load.load(schedule)

    def _load(self) -> Load:
        way = self._way(SENDER, "/healthz")
        return Load(way.url, way.session)

    def _counts(self, values: Mapping[str, float]) -> dict[str, float]:
        """By control, what there is: as the cluster says it, else as its metric counts."""
        found: dict[str, float] = {}
        for name, control in self._definition.controls.items():
            try:
                counted = self._pods.wanted(control.layer) if self._pods is not None else None
            except ClusterUnreachableError:
                continue  # not counted is no mismatch; the step's numbers are there already
            if counted is not None and control.input == "replicas":
                found[name] = float(counted)
            elif control.existing is not None:
                found[name] = values[control.existing]
        return found

    def _troubles(self) -> list[dict[str, Any]]:
        """What keeps pods from working, as far as the cluster answers."""
        if self._pods is not None:
            with suppress(ClusterUnreachableError):
                return self._pods.troubles()
        return []

    def _refuse_restarted(self, started: float) -> None:
        """A siege engine that began anew has no schedule: its silence must not look like peace."""
        before, self._sender_started = self._sender_started, started or self._sender_started
        if before and started not in (0.0, before):  # 0: its last scrape failed
            raise WorldError(
                "The siege engine was started again in the middle of the episode, and has lost its "
                "place in the schedule.",
                next_command="env.reset(); its log tells why it ended (infra-gym logs, or the run "
                "folder)",
            )

    def _explained(self, error: InfraGymError) -> InfraGymError:
        """The error, or what lies behind it: a namespace that was deleted."""
        if self._pods is not None:
            try:
                self._pods.look()
            except WorldError as gone:
                return gone
            except ClusterError:
                pass  # what failed first is what is told
        return error

    def _not_ready(self, prometheus: Prometheus, controls: Mapping[str, int]) -> str:
        """What is missing, in words; empty when all is ready."""
        wanted = {_SENDER_UP: 1} if SENDER in self._services else {}
        for name, control in self._definition.controls.items():
            metric = self._definition.metrics.get(control.ready or "")
            if isinstance(metric, GaugeMetric):
                wanted[metric.gauge] = controls[name]
        for query, number in wanted.items():
            try:
                found = sum(one.value for one in prometheus.instant(query))
            except MetricsError as error:
                return error.message
            if found != number:
                return f"{query} is {found:g} and should be {number}"
        return ""

    def _scene(self, prometheus: Prometheus) -> Scene:
        has_load = SENDER in self._services
        return Scene(
            reader=MetricsReader(
                prometheus,
                {**self._definition.metrics, **_OWN_METRICS},
                scrape_interval_s=self._options.scrape_interval_s,
                bounds={entry.metric: entry.high for entry in self._definition.observations},
            ),
            offset_s=prometheus.clock_offset_s(),
            load=self._load() if has_load else None,
            sender=SENDER if has_load else None,
            scaled=sorted({control.layer for control in self._definition.controls.values()}),
            look=self._look,
        )

    def _look(self) -> None:
        """Raise where it is in vain to ask again; a cluster that is away may come back."""
        if self._pods is not None:
            with suppress(ClusterUnreachableError):
                self._pods.look()

    def _timing(self) -> Timing:
        return Timing(
            interval_s=self._options.interval_s,
            scrape_interval_s=self._options.scrape_interval_s,
            overrun=self._options.overrun,
            fresh_deadline_s=max(_FRESH_DEADLINE_S, self._options.patience_s),
            patience_s=self._options.patience_s,
        )

    def _reading(self, sample: Sample, notes: Mapping[str, Any]) -> Reading:
        measured = sample.measured.values
        values = {name: value for name, value in measured.items() if name not in _OWN_METRICS}
        bill = None if self._metering is None else self._metering.read()
        return Reading(
            tick=sample.tick,
            seconds=sample.seconds,
            time_s=sample.time_s * self._options.time_scale,
            values=values,
            by_label=sample.measured.by_label,
            empty=sample.measured.empty - _OWN_METRICS.keys(),
            bill=bill,
            notes={
                "at": sample.at,
                "pending": list(self._actuator.pending),
                "pods": self._troubles(),
                **notes,
            },
        )


def _disturbances(woken_late_s: float, sender_late_s: float) -> list[str]:
    """Why this step's numbers may not be the app's own doing."""
    found = []
    if woken_late_s > _DISTURBED_S:
        found.append(f"host: woken {woken_late_s:.3f} s late")
    if sender_late_s > _DISTURBED_S:
        found.append(f"sender: p99 {sender_late_s:.3f} s late")
    return found
