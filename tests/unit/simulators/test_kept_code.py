"""What is compiled is kept until any of the sources changes."""

from __future__ import annotations

import pytest

from infra_gym.simulators.batch_machine import start_job
from infra_gym.simulators.batch_scheduler import schedule_all

# One worker compiles, once, what all of these need.
pytestmark = pytest.mark.xdist_group("batch")


def test_kept_code_knows_every_source():
    stamps = {
        each._cache._cache_file._source_stamp  # numba has no public way to it
        for each in (start_job, schedule_all)
    }
    assert [len(stamp) for stamp in stamps] == [64]
