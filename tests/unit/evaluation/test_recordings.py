"""Run logs that a twin can follow, and those that it cannot."""

from __future__ import annotations

import json

import numpy as np
import pytest

from infra_gym.definitions.catalog import definition_file
from infra_gym.errors import UsageError
from infra_gym.evaluation.recordings import (
    STAYED,
    read_recordings,
    same_environment,
    stayed_busy,
)


def edited(log, number, change):
    """``change`` one line of a log."""
    lines = log.read_text().splitlines()
    line = json.loads(lines[number])
    change(line)
    lines[number] = json.dumps(line)
    log.write_text("\n".join(lines) + "\n")
    return log


def test_a_recording_has_arrivals_actions_and_measurements(write_log):
    (recording,) = read_recordings(write_log(steps=12))
    assert recording.initial == 2
    assert recording.ticks == tuple(range(1, 13))
    assert len(recording.replicas) == 12
    assert recording.measured["requests"].shape == (12,)
    assert recording.scrape_interval_s == 1
    assert not recording.cut
    # All work is done by those who stay, unless somebody comes or leaves.
    same = np.diff((2, *recording.replicas)) == 0
    busy, stayed = recording.measured["busy"], recording.measured[STAYED]
    np.testing.assert_allclose(stayed[same], busy[same])
    assert np.all(stayed <= busy + 1e-9)
    came = np.diff((2, *recording.replicas)) > 0
    assert np.all(stayed[came] < busy[came])


def test_only_replicas_that_are_ready_before_and_after_have_stayed():
    utilisation = {"a": 0.5, "b": 0.25, "c": 0.125, "d": 0.0625}
    before, after = {"a": 1, "b": 1, "c": 0}, {"a": 1, "b": 0, "c": 1, "d": 1}
    assert stayed_busy(utilisation, before, after) == 0.5


def test_a_log_without_steps_is_refused(write_log):
    log = write_log(steps=0)
    with pytest.raises(UsageError, match="has no steps to learn from") as caught:
        read_recordings(log)
    assert caught.value.next_command.startswith("infra-gym probe SimpleK8sWebApp-v0 --target local")


def test_a_log_finds_the_file_that_its_environment_was_made_from(write_log, tmp_path):
    file = tmp_path / "my envs" / "Mine-v1.yaml"
    file.parent.mkdir()
    text = definition_file("SimpleK8sWebApp-v0").read_text(encoding="utf-8")
    file.write_text(text.replace("SimpleK8sWebApp-v0", "Mine-v1"), encoding="utf-8")

    def from_file(line):
        line["id"] = "Mine-v1"
        line["info"]["file"] = str(file)

    (recording,) = read_recordings(edited(write_log(steps=3), 0, from_file))
    assert recording.definition.id == "Mine-v1"
    with pytest.raises(UsageError) as caught:
        read_recordings(edited(write_log("short.jsonl", steps=0), 0, from_file))
    assert caught.value.next_command == f"infra-gym probe '{file}' --target local"


@pytest.mark.parametrize("file", ["gone.yaml", "", "a\0b.yaml", None])
def test_a_log_from_elsewhere_finds_its_environment_by_the_id(write_log, file):
    log = edited(write_log(steps=3), 0, lambda line: line["info"].update(file=file))
    (recording,) = read_recordings(log)
    assert recording.definition.id == "SimpleK8sWebApp-v0"
    edited(log, 0, lambda line: line.update(target="sim"))
    with pytest.raises(UsageError) as caught:
        read_recordings(log)
    assert caught.value.next_command == "infra-gym probe SimpleK8sWebApp-v0 --target local"


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "log").touch()
    with pytest.raises(UsageError, match="is not a run log"):
        read_recordings(tmp_path / "log")


def test_a_log_of_the_twin_itself_is_refused(write_log):
    with pytest.raises(UsageError, match="was recorded on the target sim"):
        read_recordings(write_log(target="sim"))


def test_a_log_cut_off_in_its_last_line_is_used_without_it(write_log):
    log = write_log(steps=10)
    whole = log.read_text().splitlines()
    log.write_text("\n".join(whole[:9]) + "\n" + whole[9][:40])
    (recording,) = read_recordings(log)
    assert recording.cut
    assert len(recording.ticks) == 7  # nine lines: header, reset, seven steps


def test_a_step_that_failed_is_left_out(write_log):
    log = write_log(steps=10)
    edited(log, 11, lambda line: line.update(metrics={}, terms={}, info={"invalid": "lost"}))
    (recording,) = read_recordings(log)
    assert len(recording.ticks) == 9


def test_other_inputs_of_a_layer_are_named(write_log):
    log = edited(
        write_log(), 0, lambda line: line["info"]["inputs"]["heater"].update(service_time_s=0.2)
    )
    with pytest.raises(UsageError, match=r"service_time_s=0\.2 of layer heater; .* it is 0\.1 now"):
        read_recordings(log)


def test_a_log_that_does_not_tell_its_inputs_is_refused(write_log):
    log = edited(write_log(), 0, lambda line: line["info"].pop("inputs"))
    with pytest.raises(UsageError, match="does not tell the inputs of the layers"):
        read_recordings(log)


def test_arrivals_that_cannot_be_made_again_are_told(write_log):
    log = edited(write_log(), 1, lambda line: line.update(schedule_sha256="0" * 64))
    with pytest.raises(UsageError, match="the arrivals of seed 1 cannot be made again"):
        read_recordings(log)


def test_an_unknown_environment_is_told(write_log):
    log = edited(write_log(), 0, lambda line: line.update(id="SimpleK8sWebApp-v9"))
    with pytest.raises(UsageError, match="Did you mean 'SimpleK8sWebApp-v0'"):
        read_recordings(log)


def test_logs_of_different_targets_do_not_belong_together(write_log):
    one, other = write_log("one"), write_log("other", target="k8s")
    found = [*read_recordings(one), *read_recordings(other)]
    with pytest.raises(UsageError, match=r"is of target local, .* of target k8s"):
        same_environment(found)
