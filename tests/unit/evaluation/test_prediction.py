"""Predicted intervals, and the calibration as the command line makes it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from infra_gym.cli.main import app
from infra_gym.errors import UsageError
from infra_gym.evaluation.fit import NAMES, Fit
from infra_gym.evaluation.prediction import Predictor
from infra_gym.evaluation.recordings import read_recordings
from infra_gym.simulators.webapp_parameters import WebAppParameters

TRUE = WebAppParameters()
KNOWN = Fit(
    parameters=TRUE,
    low=TRUE,
    high=TRUE,
    takes=np.array([[getattr(TRUE, name) for name in NAMES]]),
    unseen=(),
)


def mark_disturbed(log, steps):
    """Have the environment mark these steps of a log."""
    lines = log.read_text().splitlines()
    for step in steps:
        line = json.loads(lines[1 + step])
        line["info"]["disturbed"] = ["host: woken 0.500 s late"]
        lines[1 + step] = json.dumps(line)
    log.write_text("\n".join(lines) + "\n")
    return log


def test_a_twin_predicts_itself(write_log):
    probed = read_recordings(write_log("probe.jsonl", steps=20))
    (other,) = read_recordings(write_log("other.jsonl", steps=20, seed=5, replicas=(3, 2, 4)))
    errors = Predictor(KNOWN, probed).predict(other).errors
    assert set(errors) == {"latency_p95", "slo_share", "requests"}
    for one in errors.values():
        assert one.steps == 20
        assert one.coverage >= 0.75
        assert one.low <= one.predicted <= one.high
    assert errors["requests"].measured == other.measured["requests"].sum()


def test_what_is_measured_elsewhere_lies_outside(write_log):
    probed = read_recordings(write_log("probe.jsonl", steps=20))
    (other,) = read_recordings(write_log("other.jsonl", steps=20, seed=5))
    other.measured["latency_p95"][:] += 2.0
    errors = Predictor(KNOWN, probed).predict(other).errors
    assert errors["latency_p95"].coverage == 0
    assert not errors["latency_p95"].inside
    assert errors["latency_p95"].mean_error == pytest.approx(2.0, abs=0.3)


def test_disturbed_steps_are_counted_apart(write_log):
    probed = read_recordings(write_log("probe.jsonl", steps=20))
    log = mark_disturbed(write_log("other.jsonl", steps=20, seed=5), [3, 4, 5])
    (other,) = read_recordings(log)
    other.measured["latency_p95"][2:5] = 9.0
    error = Predictor(KNOWN, probed).predict(other).errors["latency_p95"]
    assert (error.steps, error.disturbed, error.coverage_disturbed) == (17, 3, 0.0)
    assert error.mean_error < 1


def test_a_run_that_was_disturbed_throughout_is_refused(write_log):
    probed = read_recordings(write_log("probe.jsonl", steps=10))
    log = mark_disturbed(write_log("other.jsonl", steps=10), range(1, 11))
    with pytest.raises(UsageError, match=r"Every step of .* was disturbed"):
        Predictor(KNOWN, probed).predict(*read_recordings(log))


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_the_command_refuses_a_log_of_the_twin(write_log, tmp_path):
    out = tmp_path / "calibration.json"
    result = run("calibrate", write_log(target="sim"), "--out", out)
    assert result.exit_code == 2
    assert "was recorded on the target sim" in result.stderr
    assert not out.exists()


def test_the_command_refuses_an_empty_log(tmp_path):
    (tmp_path / "log").touch()
    result = run("calibrate", tmp_path / "log")
    assert result.exit_code == 2
    assert "is not a run log" in result.stderr


def test_the_twin_cannot_be_probed():
    result = run("probe", "SimpleK8sWebApp-v0", "--target", "sim")
    assert result.exit_code == 2
    assert "Next: infra-gym probe SimpleK8sWebApp-v0 --target local" in result.stderr
