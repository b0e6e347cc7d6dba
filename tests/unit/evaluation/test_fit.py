"""The fit finds parameters that are known, and says what it cannot know."""

from __future__ import annotations

import numpy as np
import pytest

from infra_gym.errors import UsageError
from infra_gym.evaluation.calibrate import calibrate
from infra_gym.evaluation.fit import NAMES, Distance, fit, sample_age
from infra_gym.evaluation.recordings import read_recordings
from infra_gym.simulators.webapp_parameters import WebAppParameters

TRUE = WebAppParameters(
    overhead_s=0.02, boot_s=1.5, drain_s=1.0, service_time_factor=1.2, apply_s=0.7
)


@pytest.fixture
def recordings(write_log, calibration_of):
    return read_recordings(write_log(steps=30, calibration=calibration_of(TRUE)))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_known_parameters_lie_in_their_intervals(recordings):
    found = fit(recordings)
    for name in NAMES:
        low, high = getattr(found.low, name), getattr(found.high, name)
        assert low <= getattr(TRUE, name) <= high, name
    assert found.parameters.service_time_factor == pytest.approx(1.2, abs=0.05)
    assert found.parameters.overhead_s == pytest.approx(0.02, abs=0.01)
    assert found.parameters.apply_s + found.parameters.boot_s == pytest.approx(2.2, abs=0.5)


def test_the_twin_is_nearest_at_the_true_parameters(recordings):
    (recording,) = recordings
    distance = Distance(recording, 0.0)
    distance.rescale(TRUE)
    others = [
        WebAppParameters(**{**_fields(TRUE), name: value})
        for name, value in [
            ("overhead_s", 0.05), ("boot_s", 4.0), ("service_time_factor", 1.0), ("apply_s", 3.0)
        ]
    ]  # fmt: skip
    true = distance.losses(TRUE).sum()
    assert all(distance.losses(other).sum() > true for other in others)


def test_the_age_of_the_samples_is_found(recordings):
    (recording,) = recordings
    assert sample_age(recording) == pytest.approx(0.0, abs=0.06)


def test_too_few_steps_are_refused(write_log):
    with pytest.raises(
        UsageError, match=r"9 steps are too few to fit 5 parameters to.* 0 more were disturbed"
    ):
        fit(read_recordings(write_log(steps=9)))


def test_a_log_cannot_be_fitted_to_and_held_out(write_log):
    log = write_log(steps=10)
    with pytest.raises(UsageError, match="is fitted to and held out"):
        calibrate([log], holdout=[log])


def _fields(parameters):
    return {name: getattr(parameters, name) for name in NAMES}


def test_losses_are_one_a_step(recordings):
    (recording,) = recordings
    losses = Distance(recording, 0.0).losses(TRUE)
    assert losses.shape == (30,)
    assert np.all(losses >= 0)
