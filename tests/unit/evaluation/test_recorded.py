"""The fit against what target local really did: a probe, and the HPA under a bursty load.

Recorded on 2 cores that other work kept busy (load average 4 to 8). The numbers are rounded, what
tells of the machine is left out, and the probe's header was given the inputs, which logs did not
have yet, and the schedules their hash of today.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from infra_gym.evaluation.calibrate import calibrate
from infra_gym.evaluation.fit import Distance, sample_age
from infra_gym.evaluation.recordings import read_recordings
from infra_gym.simulators.webapp_parameters import WebAppParameters

FOLDER = Path(__file__).parent / "recorded"
PROBE, OTHER = FOLDER / "probe.jsonl", FOLDER / "hpa-bursty.jsonl"


def test_the_twin_counts_the_very_requests_that_were_counted():
    (recording,) = read_recordings(OTHER)
    distance = Distance(recording, sample_age(recording))
    (run,) = distance.runs(WebAppParameters(), 1)
    misses = abs(run - distance.measured)[:, distance.names.index("requests")]
    assert recording.measured["requests"].sum() == 12_461
    assert misses.mean() < 5  # of 312 a step


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_probe_predicts_another_policy_under_another_load():
    found = calibrate([PROBE], holdout=[OTHER])
    assert found.target == "local"
    assert found.low.service_time_factor < 1 < found.high.service_time_factor
    assert 0.002 < found.parameters.overhead_s < 0.02
    assert 0.3 < found.parameters.apply_s + found.parameters.boot_s < 1.6
    (held,) = found.holdout
    for name, one in held.metrics.items():
        assert one.coverage >= 0.8, name
    assert held.metrics["latency_p95"].predicted == pytest.approx(0.176, rel=0.1)
    assert held.metrics["slo_share"].predicted == pytest.approx(0.976, abs=0.015)
    assert held.metrics["requests"].predicted == pytest.approx(12_461, rel=0.01)
