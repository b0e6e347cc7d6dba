"""Run logs as a twin can follow them: the arrivals, what was done, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra_gym.definitions.catalog import find_definition
from infra_gym.definitions.models import Definition
from infra_gym.errors import UsageError
from infra_gym.recording import Episode, Header, read_run
from infra_gym.workloads import Schedule, Workload, arrival_schedule, parse_workload
from infra_gym.worlds.live import LiveOptions
from infra_gym.worlds.webapp_inputs import twin_inputs

Array = NDArray[np.float64]

UTILISATION, READY = "replica_utilisation", "replica_ready"
STAYED = "stayed_busy"
"""Work done by the replicas that take requests at a step's begin and at its end, in busy replicas.
The rest of the load went to those that came or left, which shows when they did: no reading at a
step's end does."""


@dataclass(frozen=True)
class Recording:
    """One episode of a run log.

    Attributes:
        path: The run log.
        sha256: Of its bytes.
        definition: The environment.
        target: Where it ran.
        interval_s: Seconds of a step.
        time_scale: Modelled seconds in one second.
        workload: The load.
        seed: Of the arrivals.
        schedule: The arrivals.
        initial: Replicas at reset.
        replicas: The control at each step.
        ticks: Number of each step's end; one that is missing was slept through.
        measured: Each metric at each step, and :data:`STAYED`.
        calm: Whether the environment did not mark the step as disturbed, at each step: where it
            did, a late host or sender has a part in the numbers.
        cut: Whether the log's last line was cut off and left out.
    """

    path: Path
    sha256: str
    definition: Definition
    target: str
    interval_s: float
    time_scale: float
    workload: Workload
    seed: int
    schedule: Schedule
    initial: int
    replicas: tuple[int, ...]
    ticks: tuple[int, ...]
    measured: Mapping[str, Array]
    calm: NDArray[np.bool_]
    cut: bool

    @property
    def scrape_interval_s(self) -> float:
        """Seconds between two samples: a reading is at most so old."""
        return LiveOptions(interval_s=self.interval_s).scrape_interval_s


def read_recordings(path: Path) -> list[Recording]:
    """The episodes of a live run's log, those without a step left out.

    Raises:
        UsageError: No run log, one without steps or of the target sim, or one that the twin of
            today's definition cannot follow: other inputs of the layers, other arrivals.
    """
    run = read_run(path)
    header = run.header
    if header.target == "sim":
        raise UsageError(
            f"{path} was recorded on the target sim: the twin is calibrated to a live one.",
            next_command=f"infra-gym probe {header.named} --target local",
        )
    definition = find_definition(header.source)
    _check_inputs(path, header, definition)
    digest = sha256(path.read_bytes()).hexdigest()
    found = [
        _recording(path, digest, header, definition, episode, cut=run.cut)
        for episode in run.episodes
        if _steps(episode)
    ]
    if not found:
        raise UsageError(
            f"{path} has no steps to learn from.",
            next_command=f"infra-gym probe {header.named} --target {header.target}",
        )
    return found


def same_environment(recordings: list[Recording]) -> None:
    """Refuse recordings of different environments or targets.

    Raises:
        UsageError: Names the two files.
    """
    first = recordings[0]
    for other in recordings[1:]:
        for what, one, another in (
            ("environment", first.definition.id, other.definition.id),
            ("target", first.target, other.target),
        ):
            if one != another:
                raise UsageError(
                    f"{first.path} is of {what} {one}, {other.path} of {what} {another}: "
                    "a twin is calibrated to one.",
                    next_command="calibrate each from its own logs",
                )


def stayed_busy(
    utilisation: Mapping[str, float], before: Mapping[str, float], after: Mapping[str, float]
) -> float:
    """See :data:`STAYED`.

    Args:
        utilisation: Of each replica.
        before: Of each replica at the step's begin, whether it takes requests (above 0) or not.
        after: The same at its end.
    """
    stayed = (name for name, ready in before.items() if ready > 0 and after.get(name, 0) > 0)
    return sum(utilisation.get(name, 0.0) for name in stayed)


def _check_inputs(path: Path, header: Header, definition: Definition) -> None:
    recorded = header.info.get("inputs")
    if recorded is None:
        raise UsageError(f"{path} does not tell the inputs of the layers: it is too old to use.")
    for layer, wanted in twin_inputs(definition).items():
        for name, value in wanted.items():
            if recorded.get(layer, {}).get(name) != value:
                raise UsageError(
                    f"{path} was recorded with {name}={recorded.get(layer, {}).get(name)!r} of "
                    f"layer {layer}; in {definition.id} it is {value!r} now.",
                    next_command=f"infra-gym probe {header.named} --target {header.target}",
                )


def _steps(episode: Episode) -> list[Any]:
    """The steps that were measured: one that failed has no metrics, and ends its episode."""
    return [step for step in episode.steps if step.metrics]


def _recording(
    path: Path, digest: str, header: Header, definition: Definition, episode: Episode, *, cut: bool
) -> Recording:
    written = header.info.get("workload") or {}
    workload = parse_workload({name: one for name, one in written.items() if one is not None})
    schedule = arrival_schedule(
        workload,
        seconds=(definition.max_episode_steps + 2) * header.interval_s,
        time_scale=header.time_scale,
        seed=episode.reset.seed,
    )
    if schedule.sha256 != episode.reset.schedule_sha256:
        raise UsageError(
            f"{path}: the arrivals of seed {episode.reset.seed} cannot be made again: "
            f"{definition.id} or the program that made the log has changed since."
        )
    control = definition.replica_controls[0]
    steps = _steps(episode)
    infos = [step.info for step in steps]
    measured = {name: np.array([step.metrics[name] for step in steps]) for name in steps[0].metrics}
    labelled = [episode.reset.info["by_label"], *(info["by_label"] for info in infos)]
    if UTILISATION in labelled[-1]:
        measured[STAYED] = np.array(
            [
                stayed_busy(now[UTILISATION], before[READY], now[READY])
                for before, now in pairwise(labelled)
            ]
        )
    return Recording(
        path=path,
        sha256=digest,
        definition=definition,
        target=header.target,
        interval_s=header.interval_s,
        time_scale=header.time_scale,
        workload=workload,
        seed=episode.reset.seed,
        schedule=schedule,
        initial=int(episode.reset.info["controls"][control]),
        replicas=tuple(int(info["controls"][control]) for info in infos),
        ticks=tuple(int(info["tick"]) for info in infos),
        measured=measured,
        calm=np.array([not info.get("disturbed") for info in infos]),
        cut=cut,
    )
