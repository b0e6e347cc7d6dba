"""An episode of Scaling-v0 as a picture: instances, queue, load and influx over the last steps."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from infra_gym.simulators.scaling import (
    INFLUX,
    INSTANCES,
    LOAD_SHARE,
    QUEUE,
    Array,
)

_STEPS = 300
_WIDTH, _HEIGHT, _MARGIN, _TEXT_HEIGHT = 640, 400, 12, 16
_COLUMNS, _ROWS = 80, 20
_BACKGROUND, _FRAME, _TEXT = "white", "#d0d7de", "#1f2328"
_RESET = "\x1b[0m"


class ScalingPicture:
    """The last 300 steps of the running episode.

    Influx and queue share one scale, so that one sees when the queue outgrows what comes in;
    instances and load have one of their own each.
    """

    def __init__(self) -> None:
        self._steps: deque[tuple[float, float, float, float]] = deque(maxlen=_STEPS)

    def begin(self, state: Array) -> None:
        """Forget the episode before.

        Args:
            state: The simulator's, shape (FIELDS, 1).
        """
        self._steps.clear()
        self.add(state)

    def add(self, state: Array) -> None:
        """One more step.

        Args:
            state: The simulator's, shape (FIELDS, 1).
        """
        instances, queue, load, influx = state[[INSTANCES, QUEUE, LOAD_SHARE, INFLUX], 0].tolist()
        self._steps.append((instances, queue, 100 * load, influx))

    def rgb(self) -> NDArray[np.uint8]:
        """Curves with a legend: shape (400, 640, 3)."""
        image = Image.new("RGB", (_WIDTH, _HEIGHT), _BACKGROUND)
        draw = ImageDraw.Draw(image)
        for row, (label, colour, _, _) in enumerate(self._curves()):
            draw.text((_MARGIN, _MARGIN + row * _TEXT_HEIGHT), label, fill=colour)
        top = 2 * _MARGIN + 4 * _TEXT_HEIGHT
        self._draw(draw, (_MARGIN, top, _WIDTH - _MARGIN, _HEIGHT - _MARGIN), width=2)
        return np.asarray(image, dtype=np.uint8)

    def terminal(self) -> str:
        """The same curves for a terminal of 24-bit colour: two pixels in each character."""
        image = Image.new("RGB", (_COLUMNS, 2 * _ROWS), _BACKGROUND)
        self._draw(ImageDraw.Draw(image), (0, 0, _COLUMNS - 1, 2 * _ROWS - 1), width=1)
        pixels = np.asarray(image).tolist()
        lines = [
            "".join(_character(*pair) for pair in zip(upper, lower, strict=True)) + _RESET
            for upper, lower in zip(pixels[::2], pixels[1::2], strict=True)
        ]
        legend = [
            f"\x1b[38;2;{';'.join(str(part) for part in colour)}m█{_RESET} {label}"
            for label, colour, _, _ in self._curves()
        ]
        return "\n".join([*lines, *legend])

    def _curves(self) -> list[tuple[str, tuple[int, int, int], tuple[float, ...], float]]:
        """Label, colour, values and the value at the upper edge of each curve."""
        instances, queue, load, influx = zip(*self._steps, strict=True)
        messages = max(*influx, *queue, 1.0)
        return [
            (_label("influx", influx, messages), (31, 35, 40), influx, messages),
            (_label("queue", queue, messages), (207, 34, 46), queue, messages),
            (_label("instances", instances), (26, 127, 55), instances, max(instances)),
            (_label("load", load, 100.0, " %"), (31, 111, 235), load, 100.0),
        ]

    def _draw(
        self, draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], *, width: int
    ) -> None:
        left, top, right, bottom = box
        draw.rectangle(box, outline=_FRAME)
        for _, colour, values, highest in self._curves():
            points = [
                (
                    left + (right - left) * place / (_STEPS - 1),
                    bottom - (bottom - top) * value / highest,
                )
                for place, value in enumerate(values)
            ]
            draw.line(points if len(points) > 1 else points * 2, fill=colour, width=width)


def _label(
    name: str, values: tuple[float, ...], highest: float | None = None, unit: str = ""
) -> str:
    top = max(values) if highest is None else highest
    return f"{name} {values[-1]:,.0f}{unit} (upper edge {top:,.0f}{unit})"


def _character(upper: list[int], lower: list[int]) -> str:
    """A half block: the upper pixel in front, the lower one behind."""
    front, behind = (";".join(str(part) for part in pixel) for pixel in (upper, lower))
    return f"\x1b[38;2;{front};48;2;{behind}m▀"
