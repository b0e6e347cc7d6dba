"""The simulated function for Python: a batch of one, with names for its numbers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from infra_gym.simulators.faas_rules import CODES


@pytest.fixture(scope="session")
def function_class():
    """A class: one function under one schedule of calls."""
    from infra_gym.simulators.faas_reading import Functions

    class Function:
        def __init__(self, rules, arrivals, *, replicas, max_replicas, schedule_s=None, seed=0):
            self.batch = Functions(
                rules, functions=1, max_replicas=max_replicas, schedule_s=schedule_s
            )
            self.batch.begin(0, np.asarray(arrivals, float), replicas=replicas, seed=seed)

        def advance(self, until_s, replicas):
            self.batch.advance(np.array([float(until_s)]), np.array([replicas]), np.array([False]))
            counts, seen = self.batch.counts(), self.batch.replicas(0)
            ended = counts.durations[0].sum(axis=1).tolist()
            told = {
                name: getattr(counts, name)[0]
                for name in counts.__slots__
                if name not in ("durations", "code_seconds")
            }
            return SimpleNamespace(
                **{
                    **told,
                    "ended": dict(zip(CODES, ended, strict=True)),
                    "seconds": dict(zip(CODES, counts.code_seconds[0].tolist(), strict=True)),
                    "durations": dict(zip(CODES, counts.durations[0].tolist(), strict=True)),
                    "ready": {name: bool(up) for name, up in seen.ready.items()},
                    "started_s": seen.started_s,
                    "busy_s": seen.busy_s,
                }
            )

    return Function
