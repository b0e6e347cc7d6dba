"""Run logs as a report shows them: contenders, each with its episodes as columns over time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra_gym.definitions.catalog import find_definition
from infra_gym.definitions.models import Definition
from infra_gym.errors import InfraGymError, UsageError
from infra_gym.recording import Episode, Header, Run, read_run

Array = NDArray[np.float64]

_MOST = 1e15  # what a chart can still show
_TIMES = ("apply", "sample", "jitter", "ready")


@dataclass(frozen=True)
class Track:
    """One episode.

    Attributes:
        seed: Of its arrivals.
        minutes: Modelled time at each step's end, shape ``(steps,)``.
        columns: Each metric, control, and ``reward`` at each step; NaN where it is missing.
        terms: Each reward term at each step.
        seconds: Of apply, sample and so on, at each step, where they were measured.
        controls: Each control of the steps, as it was at the reset.
        ended: Why it ended.
        marks: Step numbers that the environment marked, by what it said of them.
    """

    seed: int
    minutes: Array
    columns: Mapping[str, Array]
    terms: Mapping[str, Array]
    seconds: Mapping[str, Array]
    controls: Mapping[str, float]
    ended: str
    marks: Mapping[str, Sequence[int]]

    @property
    def reward(self) -> float:
        """Of the episode."""
        return float(np.nansum(self.columns["reward"]))

    @property
    def cost_usd(self) -> float | None:
        """Of the episode; ``None`` where nothing was counted."""
        cost = self.columns.get("cost_usd")
        return None if cost is None else float(np.nansum(cost))

    @property
    def slo_share(self) -> float | None:
        """Requests within the SLO over all of them; ``None`` without requests."""
        requests, within = self.columns.get("requests"), self.columns.get("within_slo")
        if requests is None or within is None or not np.nansum(requests):
            return None
        return float(np.nansum(within) / np.nansum(requests))

    @property
    def moves(self) -> int:
        """Steps at which a control changed, counted for each control."""
        changes = [np.nan_to_num(self.change(name)) for name in self.controls]
        return int(sum(np.count_nonzero(each) for each in changes))

    def change(self, control: str) -> Array:
        """Of a control at each step, against the step before or the reset: shape ``(steps,)``."""
        return np.diff(self.columns[control], prepend=self.controls[control])


@dataclass
class Contender:
    """What is compared: the episodes of one agent in one log.

    Attributes:
        label: What it is called in the report; different for each.
        header: Of its log.
        path: Of its log.
        tracks: Its episodes.
        cut: Whether the log's last line was cut off.
        closed: The log's orderly end, if it came to one.
    """

    label: str
    header: Header
    path: Path
    tracks: list[Track] = field(default_factory=list)
    cut: bool = False
    closed: str | None = None

    def mean(self, name: str) -> float | None:
        """Of one of the tracks' properties, over the episodes that have it."""
        values = [value for one in self.tracks if (value := getattr(one, name)) is not None]
        return float(np.mean(values)) if values else None

    def values(self, name: str, kind: str = "columns") -> Array:
        """A column of all its episodes, end to end."""
        found = [columns[name] for one in self.tracks if name in (columns := getattr(one, kind))]
        return np.concatenate(found) if found else np.array([])


def read_contenders(paths: Iterable[Path]) -> list[Contender]:
    """The agents of some run logs, in the order of the logs.

    Raises:
        UsageError: A file is no run log, or none of its episodes has a step.
    """
    found: list[Contender] = []
    for path in paths:
        run = read_run(path)
        of_this = list(_contenders(path, run))
        if not of_this:
            raise UsageError(
                f"{path} has no steps to report.",
                next_command=f"infra-gym run {run.header.named} --log OTHER.jsonl",
            )
        found += of_this
    _tell_apart(found)
    return found


def definition_of(contenders: Sequence[Contender]) -> Definition | None:
    """The definition of what was run, where all ran the same and it can be found."""
    if len({(one.header.id, one.header.definition_sha256) for one in contenders}) != 1:
        return None
    for source in dict.fromkeys(one.header.source for one in contenders):
        with suppress(InfraGymError):
            return find_definition(source)
    return None


def _contenders(path: Path, run: Run) -> Iterable[Contender]:
    by_agent: dict[str, Contender] = {}
    for episode in run.episodes:
        if not episode.steps:
            continue
        agent = episode.reset.info.get("agent") or run.header.info.get("agent")
        label = f"{agent} on {run.header.target}" if agent else path.stem
        contender = by_agent.setdefault(
            label,
            Contender(
                label,
                run.header,
                path,
                cut=run.cut,
                closed=None if run.closed is None else run.closed.reason,
            ),
        )
        contender.tracks.append(_track(episode))
    return by_agent.values()


def _tell_apart(contenders: Sequence[Contender]) -> None:
    """Add the file's name where labels are the same, and a number where even that is not enough."""
    for change in (lambda one, _: f" ({one.path.stem})", lambda _, number: f" #{number}"):
        seen: dict[str, list[Contender]] = {}
        for one in contenders:
            seen.setdefault(one.label, []).append(one)
        for same in seen.values():
            for number, one in enumerate(same, start=1):
                if len(same) > 1:
                    one.label += change(one, number)


def _track(episode: Episode) -> Track:
    steps = episode.steps
    infos = [step.info for step in steps]
    metrics = [step.metrics for step in steps]
    controls = [numbers_of(info.get("controls", {})) for info in infos]
    columns = {**_columns(metrics), **_columns(controls)}
    seconds = _columns([numbers_of(info.get("seconds")) for info in infos])
    begun = {**_first(controls), **numbers_of(episode.reset.info.get("controls"))}
    last = steps[-1]
    marks: dict[str, list[int]] = {}
    for step in steps:
        for mark in ("disturbed", "clipped", "mismatch", "invalid"):
            if step.info.get(mark):
                marks.setdefault(mark, []).append(step.step)
    return Track(
        seed=episode.reset.seed,
        minutes=_column([step.time_s / 60 for step in steps]),
        columns={
            **columns,
            "reward": _column([step.reward for step in steps]),
        },
        terms=_columns([step.terms for step in steps]),
        seconds={name: one for name, one in seconds.items() if name in _TIMES},
        controls={name: value for name, value in begun.items() if name in columns},
        ended=_ended(last.info, terminated=last.terminated, truncated=last.truncated),
        marks=marks,
    )


def _first(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The first value of each name that any row has."""
    return {name: value for row in reversed(rows) for name, value in row.items()}


def _ended(info: Mapping[str, Any], *, terminated: bool, truncated: bool) -> str:
    if "invalid" in info:
        return f"failed: {info['invalid']}"
    if "truncated_because" in info:
        return str(info["truncated_because"])
    return "terminated" if terminated else "truncated" if truncated else "stopped"


def numbers_of(values: object) -> dict[str, float]:
    """What is a number that fits into one, by its name; nothing of what is no mapping."""
    if not isinstance(values, Mapping):
        return {}
    found = {}
    for name, value in values.items():
        if isinstance(value, int | float):
            with suppress(OverflowError):
                found[str(name)] = float(value)
    return found


def _columns(rows: Sequence[Mapping[str, float]]) -> dict[str, Array]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _column([row.get(name, math.nan) for row in rows]) for name in names}


def _column(values: Sequence[float]) -> Array:
    return np.clip(np.array(values, dtype=np.float64), -_MOST, _MOST)
