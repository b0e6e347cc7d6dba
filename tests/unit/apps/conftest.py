"""A clock that tests turn by hand."""

from __future__ import annotations

import heapq
from itertools import count

import pytest


class Timer:
    def __init__(self):
        self.cancelled = False

    def cancel(self):
        self.cancelled = True


class ManualLoop:
    """The part of an event loop that keeps time."""

    def __init__(self):
        self.now = 1000.0
        self._timers = []
        self._order = count()

    def time(self):
        return self.now

    def call_at(self, when, callback, *arguments):
        timer = Timer()
        heapq.heappush(self._timers, (when, next(self._order), timer, callback, arguments))
        return timer

    def advance(self, seconds, *, late=0.0):
        """Let time pass; each callback runs ``late`` seconds after its time."""
        end = self.now + seconds
        while self._timers and self._timers[0][0] + late <= end:
            when, _, timer, callback, arguments = heapq.heappop(self._timers)
            self.now = max(self.now, when + late)
            if not timer.cancelled:
                callback(*arguments)
        self.now = max(self.now, end)


@pytest.fixture
def loop():
    return ManualLoop()
