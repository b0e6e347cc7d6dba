"""Which charts a report has: load, replicas, latency, cost, reward, actions and the rest.

A report of one episode shows all of it; one of several shows the same of each on the same axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from infra_gym.definitions.models import Definition
from infra_gym.evaluation.report_plots import COLOURS, Line, draw, frame_of
from infra_gym.evaluation.report_runs import Array, Contender, Track

_PANELS_AT_MOST = 8
_LINES_AT_MOST = 12
# Shown by the charts above, or counters that only mean something in sum.
_SHOWN = frozenset(
    {"requests", "ok", "within_slo", "request_rate", "ready", "starting", "existing", "reward"}
    | {"cost_usd", "cost_rate", "last_action", "out_of_bounds", "interval_s", "slo_share"}
)


@dataclass(frozen=True)
class Key:
    """An entry of a legend."""

    label: str
    colour: int
    style: str


@dataclass(frozen=True)
class Panel:
    """One drawing: its label ("" for a chart of one), and the two widths of it."""

    label: str
    wide: str
    narrow: str


@dataclass(frozen=True)
class Row:
    """A line of a chart's table: a series in numbers."""

    label: str
    mean: float
    least: float
    most: float
    last: float


@dataclass(frozen=True)
class Chart:
    """A chart and its table.

    Attributes:
        name: One word.
        title: What it shows, with the unit.
        says: The chart in a sentence, for those who do not see it.
        keys: The legend.
        panels: Drawings on the same axes.
        rows: The table of figures.
        reference: What the line across is, or "".
    """

    name: str
    title: str
    says: str
    keys: list[Key]
    panels: list[Panel]
    rows: list[Row]
    reference: str = ""


def charts_of(
    contenders: Sequence[Contender], definition: Definition | None, slo_s: float | None
) -> list[Chart]:
    """All charts for which there are numbers.

    Args:
        contenders: What is shown.
        definition: Theirs, for units and for what else is observed.
        slo_s: The latency of the SLO, in seconds.
    """
    view = _View(contenders, definition)
    made = [
        view.over("load", "Load, requests a second", ["request_rate"], "offered"),
        view.replicas(),
        view.over("latency", "Latency, seconds", view.latencies(), "", reference=slo_s),
        view.cumulative("cost", "Cost so far, US dollars", lambda track: _cost(track)),
        view.reward(),
        view.actions(),
        *view.others(),
        view.seconds(),
    ]
    return [chart for chart in made if chart is not None]


def _cost(track: Track) -> dict[str, Array]:
    cost = track.columns.get("cost_usd")
    return {} if cost is None else {"cost": cost}


class _View:
    def __init__(self, contenders: Sequence[Contender], definition: Definition | None) -> None:
        self._contenders = contenders
        self._definition = definition
        self._single = len(contenders) == 1 and len(contenders[0].tracks) == 1

    def latencies(self) -> list[str]:
        """The metrics of latency; of several runs only the highest quantile of it."""
        names = [
            name
            for name in self._contenders[0].tracks[0].columns
            if name.startswith("latency_") or name == "execution_time"
        ]
        return names if self._single else names[-1:]

    def over(
        self,
        name: str,
        title: str,
        metrics: Sequence[str],
        label: str,
        *,
        reference: float | None = None,
    ) -> Chart | None:
        """Metrics as they are, over time."""
        lines = [
            line
            for metric in metrics
            for line in self._lines(
                lambda track, metric=metric: track.columns.get(metric),  # type: ignore[misc]
                label or metric.replace("_", " "),
                first=metrics.index(metric) + 1,
            )
        ]
        says = "" if reference is None else f" The SLO is {reference:g} seconds."
        return self._one(name, title, lines, f"{title}, over the episode.{says}", reference)

    def cumulative(
        self, name: str, title: str, columns: Callable[[Track], dict[str, Array]]
    ) -> Chart | None:
        """Sums so far; of one episode each column, of several the sum of all."""
        lines = []
        if self._single:
            (track,) = self._contenders[0].tracks
            found = columns(track)
            lines = [
                Line(label, track.minutes, np.nancumsum(column), colour, "line")
                for colour, (label, column) in enumerate(found.items(), start=1)
            ]
        else:
            lines = self._lines(lambda track: _sum_of(columns(track)), title)
        return self._one(name, title, lines, f"{title}, over the episode.")

    def reward(self) -> Chart | None:
        """The reward's terms so far, and the whole."""
        unit = self._definition.reward_unit if self._definition else "USD"
        title = f"Reward so far, {'US dollars' if unit == 'USD' else unit}"
        if not self._single:
            return self.cumulative("reward", title, lambda track: {"": track.columns["reward"]})
        return self.cumulative(
            "reward", title, lambda track: {"in all": track.columns["reward"], **track.terms}
        )

    def replicas(self) -> Chart | None:
        """Wanted, starting and ready, a panel for each contender's first episode."""
        panels = []
        for contender, track in self._firsts():
            lines = []
            if "ready" in track.columns:
                lines.append(Line("ready", track.minutes, track.columns["ready"], 3, "area"))
            lines += [
                Line(f"wanted: {one}", track.minutes, track.columns[one], number, "step")
                for number, one in zip((1, 4, 5, 6, 7, 8), track.controls, strict=False)
            ]
            if "starting" in track.columns:
                lines.append(Line("starting", track.minutes, track.columns["starting"], 2, "bars"))
            panels.append((contender.label, lines))
        says = "What the agent wanted, how much of it was ready, and how much was starting."
        return self._several("replicas", "Replicas", panels, says, whole=True)

    def actions(self) -> Chart | None:
        """How each control was changed, a panel for each contender's first episode."""
        panels = [
            (
                contender.label,
                [
                    Line(one, track.minutes, track.change(one), number, "bars")
                    for number, one in enumerate(track.controls, start=1)
                ],
            )
            for contender, track in self._firsts()
        ]
        says = "By how much each step changed the controls: above zero up, below zero down."
        return self._several("actions", "Actions, change of a control", panels, says, whole=True)

    def others(self) -> Iterator[Chart | None]:
        """What else is observed."""
        shown = _SHOWN | set(self.latencies())
        if self._definition is None:
            return
        metrics = dict.fromkeys(one.metric for one in self._definition.observations)
        for number, metric in enumerate(metrics):
            controls = self._definition.controls
            if metric in shown or metric in controls or metric.startswith("latency_"):
                continue
            found = self._definition.metrics.get(metric)
            title = metric.replace("_", " ").capitalize()
            if found is not None and found.unit not in ("", "ratio"):
                title += f", {found.unit}"
            yield self.over(f"other{number}", title, [metric], "")

    def seconds(self) -> Chart | None:
        """What a step took on the wall clock, where that was measured."""
        if not any(np.nansum(one.values("apply", "seconds")) > 0 for one in self._contenders):
            return None
        title = "Seconds of a step's apply" if not self._single else "Seconds of a step"
        lines = []
        for number, name in enumerate(("apply", "sample", "jitter"), start=1):
            if self._single or name == "apply":
                lines += self._lines(
                    lambda track, name=name: track.seconds.get(name),  # type: ignore[misc]
                    name,
                    first=number,
                )
        says = "How long applying, sampling and the clock's jitter took, on the wall clock."
        return self._one("seconds", title, lines, says)

    def _firsts(self) -> list[tuple[Contender, Track]]:
        return [(one, one.tracks[0]) for one in self._contenders[:_PANELS_AT_MOST]]

    def _lines(
        self, column: Callable[[Track], Array | None], label: str, first: int = 1
    ) -> list[Line]:
        """Of one episode a line of its own colour; of several one colour for each contender."""
        lines = []
        for number, contender in enumerate(self._contenders, start=1):
            for track in contender.tracks[:_LINES_AT_MOST]:
                ys = column(track)
                if ys is None or not np.isfinite(ys).any():
                    continue
                lines.append(
                    Line(
                        label if self._single else contender.label,
                        track.minutes,
                        ys,
                        first if self._single else number,
                        "line" if number <= COLOURS else "dashed",
                        faint=len(contender.tracks) > 1,
                    )
                )
        return lines

    def _one(
        self,
        name: str,
        title: str,
        lines: Sequence[Line],
        says: str,
        reference: float | None = None,
    ) -> Chart | None:
        return self._several(name, title, [("", lines)], says, reference=reference)

    def _several(
        self,
        name: str,
        title: str,
        panels: Sequence[tuple[str, Sequence[Line]]],
        says: str,
        *,
        reference: float | None = None,
        whole: bool = False,
    ) -> Chart | None:
        every = [line for _, lines in panels for line in lines]
        if not every:
            return None
        frame = frame_of(every, reference=reference, whole=whole)
        many = len(panels) > 1
        return Chart(
            name,
            title,
            says,
            list(dict.fromkeys(Key(line.label, _colour(line), line.style) for line in every)),
            [
                Panel(label if many else "", **draw(lines, frame, f"{name}{number}"))
                for number, (label, lines) in enumerate(panels)
            ],
            [row for label, lines in panels for row in _rows(lines, f"{label}: " if many else "")],
            "" if reference is None else f"SLO {reference:g}",
        )


def _colour(line: Line) -> int:
    return (line.colour - 1) % COLOURS + 1


def _sum_of(columns: dict[str, Array]) -> Array | None:
    return np.nancumsum(np.sum(list(columns.values()), axis=0)) if columns else None


def _rows(lines: Sequence[Line], before: str) -> Iterator[Row]:
    """A line of the table for each label; episodes of the same label are taken together."""
    by_label: dict[str, list[Array]] = {}
    for line in lines:
        by_label.setdefault(line.label, []).append(line.ys)
    for label, columns in by_label.items():
        ys = np.concatenate(columns)
        ys = ys[np.isfinite(ys)]
        if ys.size:
            lasts = [column[-1] for column in columns if np.isfinite(column[-1])]
            last = float(np.mean(lasts)) if lasts else float(ys[-1])
            mean, least, most = float(ys.mean()), float(ys.min()), float(ys.max())
            yield Row(before + label, mean, least, most, last)
