"""An episode as text and as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from infra_gym.definitions.models import Definition
from infra_gym.task.task import Outcome

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH, _ROW_HEIGHT, _MARGIN = 640, 72, 12
_BACKGROUND, _LINE, _TEXT, _FAINT = "white", "#1f6feb", "#1f2328", "#d0d7de"


class Picture:
    """Every observed metric of the running episode, and its reward, over the steps."""

    def __init__(self, definition: Definition) -> None:
        self._title = f"{definition.id}: {definition.summary}"
        self._names = [entry.metric for entry in definition.observations if not entry.change]
        self._units = {
            name: definition.metrics[name].unit
            for name in self._names
            if name in definition.metrics
        }
        self._outcomes: list[Outcome] = []

    def begin(self, outcome: Outcome) -> None:
        """Forget the episode before."""
        self._outcomes = [outcome]

    def add(self, outcome: Outcome) -> None:
        """One more step."""
        self._outcomes.append(outcome)

    def text(self) -> str:
        """A line a metric: its name, a sparkline of the last steps, its value and unit."""
        history = self._history()
        width = max(len(name) for name in history)
        lines = [self._title]
        for name, values in history.items():
            shown = f"{values[-1]:.4g} {self._units.get(name, '')}".rstrip()
            lines.append(f"{name:>{width}} {sparkline(values[-40:]):<40} {shown}")
        return "\n".join(lines)

    def rgb(self) -> NDArray[np.uint8]:
        """The same as curves: uint8, shape (height, width, 3)."""
        height = _MARGIN * 3 + _ROW_HEIGHT * (len(self._names) + 1)
        image = Image.new("RGB", (_WIDTH, height), _BACKGROUND)
        draw = ImageDraw.Draw(image)
        draw.text((_MARGIN, _MARGIN), self._title, fill=_TEXT)
        for row, (name, values) in enumerate(self._history().items()):
            self._curve(draw, _MARGIN * 3 + row * _ROW_HEIGHT, name, values)
        return np.asarray(image, dtype=np.uint8)

    def _history(self) -> dict[str, list[float]]:
        history = {
            name: [outcome.metrics[name] for outcome in self._outcomes] for name in self._names
        }
        return {**history, "reward": [outcome.reward for outcome in self._outcomes]}

    def _curve(self, draw: ImageDraw.ImageDraw, top: int, name: str, values: list[float]) -> None:
        left, right = 200, _WIDTH - _MARGIN
        low, high = min(values), max(values)
        bottom = top + _ROW_HEIGHT - 16
        label = f"{name}\n{values[-1]:.4g} {self._units.get(name, '')}"
        draw.text((_MARGIN, top + 8), label, fill=_TEXT)
        draw.line([(left, bottom), (right, bottom)], fill=_FAINT)
        draw.text((left - 50, top), f"{high:.3g}", fill=_FAINT)
        draw.text((left - 50, bottom - 10), f"{low:.3g}", fill=_FAINT)
        step = (right - left) / max(1, len(values) - 1)
        span = (high - low) or 1.0
        points = [
            (left + index * step, bottom - (value - low) / span * (bottom - top))
            for index, value in enumerate(values)
        ]
        draw.line(points if len(points) > 1 else points * 2, fill=_LINE, width=2)


def sparkline(values: Sequence[float]) -> str:
    """One block a value, between the lowest and the highest of them."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1))] for value in values)
