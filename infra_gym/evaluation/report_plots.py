"""Charts as inline SVG: drawn by Matplotlib, coloured by the page's style sheet.

Nothing in a chart is text from a log: names stand in the page, where they are escaped. Colours are
CSS variables, so that one drawing serves light and dark pages.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from infra_gym.evaluation.report_runs import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Style = Literal["line", "dashed", "step", "area", "bars"]

COLOURS = 8
"""Series have so many colours, ``--c1`` to ``--c8``; then they begin again."""
SLO_COLOUR = "slo"

_SIZES = {"wide": (540, 232), "narrow": (344, 208)}
_TEXT, _GRID = "#0000f1", "#0000f2"
_VARIABLES = {
    **{f"#0000a{number}": f"var(--c{number})" for number in range(1, COLOURS + 1)},
    "#0000f0": "var(--slo)",
    _TEXT: "var(--muted)",
    _GRID: "var(--grid)",
}


@dataclass(frozen=True)
class Line:
    """One series.

    Attributes:
        label: For the legend; from a log, so not drawn.
        xs: Minutes, shape ``(n,)``.
        ys: Shape ``(n,)``; NaN leaves a gap.
        colour: 1 to :data:`COLOURS`.
        style: How it is drawn.
        faint: Whether it is one of many of its colour.
    """

    label: str
    xs: Array
    ys: Array
    colour: int
    style: Style = "line"
    faint: bool = False


@dataclass(frozen=True)
class Frame:
    """The axes that the panels of a chart share.

    Attributes:
        x: First and last minute.
        y: Lowest and highest value.
        reference: Where a line is drawn across, such as the SLO.
        whole: Whether values are whole numbers.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    reference: float | None = None
    whole: bool = False


def frame_of(
    lines: Sequence[Line], *, reference: float | None = None, whole: bool = False
) -> Frame:
    """Axes that hold all the lines, and zero, and the reference."""
    ys = np.concatenate([line.ys for line in lines])
    xs = np.concatenate([line.xs for line in lines])
    finite = ys[np.isfinite(ys)]
    low, high = min(0.0, finite.min(initial=0.0)), max(0.0, finite.max(initial=0.0))
    if reference is not None:
        high = max(high, reference * 1.1)
    room = (high - low) * 0.06 or 1.0
    first, last = float(xs.min(initial=0.0)), float(xs.max(initial=0.0))
    return Frame(
        x=(min(first, 0.0), last if last > first else first + 1.0),
        y=(low - room if low < 0 else low, high + room if high > 0 or high == low else high),
        reference=reference,
        whole=whole,
    )


def draw(lines: Sequence[Line], frame: Frame, name: str) -> dict[str, str]:
    """The panel for wide and for narrow pages, each an ``<svg>`` element.

    Args:
        lines: What is drawn, from back to front.
        frame: The axes.
        name: Of the panel, one word of letters and digits, different for each in a page.
    """
    return {width: _svg(lines, frame, f"{name}-{width}", *size) for width, size in _SIZES.items()}


def _svg(lines: Sequence[Line], frame: Frame, name: str, width: int, height: int) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # A figure of its own, without pyplot: nothing global is drawn on.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "path.simplify": True}):
        figure = Figure(figsize=(width / 72, height / 72))
        axes = figure.add_axes((46 / width, 34 / height, 1 - 58 / width, 1 - 44 / height))
        _axes(axes, frame)
        for line in lines:
            _line(axes, line)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(_METADATA))
    return _inline(file.getvalue(), name, width, height)


_METADATA = ("Creator", "Date", "Format", "Type")


def _axes(axes: Axes, frame: Frame) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(*frame.x)
    axes.set_ylim(*frame.y)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=frame.whole))
    axes.set_xlabel("modelled minutes", color=_TEXT, fontsize=11)
    axes.grid(visible=True, axis="y", color=_GRID, linewidth=1)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_GRID)
    axes.tick_params(colors=_TEXT, labelsize=11, length=0, pad=6)
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    if frame.reference is not None:
        axes.axhline(frame.reference, color="#0000f0", linewidth=1.5, linestyle=(0, (5, 3)))


def _line(axes: Axes, line: Line) -> None:
    colour = f"#0000a{(line.colour - 1) % COLOURS + 1}"
    width, alpha = (1.2, 0.55) if line.faint else (2.0, 1.0)
    match line.style:
        case "area":
            axes.fill_between(line.xs, line.ys, step="pre", color=colour, alpha=0.28, linewidth=0)
        case "step":
            axes.step(line.xs, line.ys, where="pre", color=colour, linewidth=width, alpha=alpha)
        case "bars":
            axes.fill_between(line.xs, line.ys, step="pre", color=colour, linewidth=0)
        case _:
            dashes = (0, (4, 2)) if line.style == "dashed" else "solid"
            axes.plot(
                line.xs, line.ys, color=colour, linewidth=width, alpha=alpha, linestyle=dashes
            )


def _inline(svg: str, name: str, width: int, height: int) -> str:
    """The drawing's inside in a root of ours: no prologue, no fonts, no metadata, CSS colours."""
    inside = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    used = set(re.findall(r"#([\w-]+)[\")]", inside))
    inside = re.sub(r' id="([^"]*)"', lambda at: at[0] if at[1] in used else "", inside)
    inside = re.sub(r' (d|x|y|transform)="[^"]*"', _short, inside)
    for pattern, replacement in _LEFT_OUT:
        inside = re.sub(pattern, replacement, inside, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        inside = inside.replace(colour, variable)
    return (
        f'<svg class="{name.rpartition("-")[2]}" viewBox="0 0 {width} {height}" '
        f'aria-hidden="true" focusable="false">{inside}</svg>'
    )


def _short(attribute: re.Match[str]) -> str:
    """Coordinates to a tenth of a pixel."""
    return re.sub(r"(\d\.\d)\d+", r"\1", attribute[0])


_LEFT_OUT = (
    (r"<metadata>.*?</metadata>", ""),
    (r"<style.*?</style>", ""),
    (r"font-family: [^;\"]*; ", ""),
    (r' transform="rotate\(-0 [^)]*\)"', ""),
    (r"<g/>|<!--.*?-->", ""),
    (r"\s*\n\s*", "\n"),
)
"""What a page does without."""
