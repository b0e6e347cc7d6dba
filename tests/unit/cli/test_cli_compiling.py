"""Who waits for a simulator to be compiled is told, once."""

from __future__ import annotations

import sys

import numba

from infra_gym.cli.compiling import compiling


def test_it_is_told_once_when_the_first_function_is_compiled():
    told = []
    with compiling(told.append):
        for number in (21, 2.5):
            assert numba.njit(lambda given: 2 * given)(number) == 2 * number
    assert len(told) == 1
    assert "this once" in told[0]


def test_nothing_is_compiled_where_nothing_is_simulated(monkeypatch):
    monkeypatch.setitem(sys.modules, "infra_gym.simulators.compilation", None)  # no import of it
    with compiling(lambda _: None, simulated=False):
        pass
