from __future__ import annotations

import errno
import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra_gym.errors import InfraGymError, MetricsError, UsageError
from infra_gym.recording import Header, RunLog, read_run

HEADER = Header(
    id="SimpleK8sWebApp-v0",
    target="sim",
    definition_sha256="d" * 64,
    package_version="0.1.0",
    interval_s=15,
    time_scale=4,
    info={"agent": "hpa"},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "run.jsonl"


def begin(log: RunLog, seed: int = 1) -> None:
    log.reset(
        seed=seed,
        schedule_sha256="s" * 64,
        observation=np.array([2, 0.5], dtype=np.float32),
        metrics={"ready": np.float64(2)},
    )


def step(log: RunLog, number: int, **changes: Any) -> None:
    fields: dict[str, Any] = {
        "step": number,
        "time_s": 60.0 * number,
        "action": np.int64(2),
        "observation": np.array([3, 0.25], dtype=np.float32),
        "reward": np.float32(-0.5),
        "terms": {"cost": -0.25, "slo": -0.25},
        "metrics": {"ready": 3.0},
        "info": {"empty": frozenset({"b", "a"}), "seconds": {"apply": np.float32(0.5)}},
    }
    log.step(**(fields | changes))


def test_what_is_written_is_read(path: Path) -> None:
    with RunLog(path, HEADER) as log:
        for seed in (1, 2):
            begin(log, seed)
            step(log, 1)
            step(log, 2, truncated=True)
    run = read_run(path)
    assert run.header == HEADER
    assert [episode.reset.seed for episode in run.episodes] == [1, 2]
    assert [len(episode.steps) for episode in run.episodes] == [2, 2]
    last = run.episodes[1].steps[1]
    assert (last.action, last.observation, last.reward) == (2, (3.0, 0.25), -0.5)
    assert last.info == {"empty": ["a", "b"], "seconds": {"apply": 0.5}}
    assert last.truncated
    assert run.closed is not None
    assert run.closed.reason == "closed"
    assert not run.cut


@pytest.mark.parametrize("action", [1, 0.5, [0.25, 0.75]])
def test_actions_of_every_space(path: Path, action: Any) -> None:
    with RunLog(path, HEADER) as log:
        begin(log)
        step(log, 1, action=np.array(action))
    read = read_run(path).episodes[0].steps[0].action
    assert read == (tuple(action) if isinstance(action, list) else action)


def test_every_line_is_on_its_way_at_once(path: Path) -> None:
    log = RunLog(path, HEADER)
    begin(log)
    for number in (1, 2):
        step(log, number)
        assert len(path.read_text().splitlines()) == 2 + number
    log.close()


def test_closing_twice_is_harmless(path: Path) -> None:
    log = RunLog(path, HEADER)
    log.close("budget spent")
    log.close()
    run = read_run(path)
    assert run.closed is not None
    assert run.closed.reason == "budget spent"


def test_an_error_is_the_reason(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunLog(path, HEADER):
        raise ZeroDivisionError("division")
    run = read_run(path)
    assert run.closed is not None
    assert run.closed.reason == "ZeroDivisionError: division"


@pytest.mark.parametrize(
    "changes",
    [
        {"reward": math.nan},
        {"observation": np.array([math.inf, 0])},
        {"metrics": {"ready": math.nan}},
        {"terms": {"cost": -math.inf}},
        {"info": {"seconds": {"apply": math.nan}}},
    ],
)
def test_what_is_not_finite_is_refused_and_nothing_written(
    path: Path, changes: dict[str, Any]
) -> None:
    with RunLog(path, HEADER) as log:
        begin(log)
        with pytest.raises(MetricsError, match="run log takes"):
            step(log, 1, **changes)
        step(log, 1)
    assert len(read_run(path).episodes[0].steps) == 1


def test_a_log_is_never_overwritten(path: Path) -> None:
    RunLog(path, HEADER).close()
    with pytest.raises(UsageError, match="exists already"):
        RunLog(path, HEADER)
    assert read_run(path).closed is not None


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfraGymError, match="cannot be written"):
        RunLog(tmp_path / "file" / "run.jsonl", HEADER)


def test_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = RunLog(path, HEADER)

    class Full:
        closed = False

        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            self.closed = True

    log._file.close()
    monkeypatch.setattr(log, "_file", Full())
    with pytest.raises(InfraGymError, match="No space left on device"):
        begin(log)
    with pytest.raises(InfraGymError):
        log.close()
    log.close()


@given(st.data())
def test_a_log_cut_anywhere_reads_up_to_its_last_whole_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cut") / "run.jsonl"
    with RunLog(path, HEADER) as log:
        begin(log)
        step(log, 1, info={"note": "schöne Grüße"})
        step(log, 2)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    cut = data.draw(st.integers(first, len(whole)))
    path.write_bytes(whole[:cut])
    run = read_run(path)
    lines = whole[:cut].count(b"\n")
    assert run.cut == (whole[cut - 1 : cut] != b"\n")
    assert sum(len(episode.steps) for episode in run.episodes) == min(max(lines - 2, 0), 2)
    assert (run.closed is None) == (lines < 5)


def written(path: Path, *lines: Any) -> Path:
    path.parent.mkdir()
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_newer_log_is_refused(path: Path) -> None:
    written(path, {"kind": "header", "version": 99, "new": "things"})
    with pytest.raises(UsageError, match=r"version 99.*reads up to 1"):
        read_run(path)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "is not a run log"),
        ([{"kind": "close", "reason": "x"}], "is not a run log"),
        (["text"], ":1 is not a line"),
        (["[" * 100_000], ":1 is not a line"),
        ([HEADER.model_dump(), {"kind": "leap"}], ":2 is not a line"),
        ([HEADER.model_dump(), HEADER.model_dump()], ":2: a header line has no place"),
    ],
)
def test_what_is_no_run_log_is_said(path: Path, lines: list[Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_run(written(path, *lines))


def test_no_file(path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_run(path)


def test_a_killed_writer_leaves_whole_lines(path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", ENDLESS, str(path)])
    try:
        deadline = time.monotonic() + 60
        while not path.exists() or path.stat().st_size < 20_000:
            assert writer.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        writer.kill()
        writer.wait()
    run = read_run(path)
    assert run.closed is None
    (episode,) = run.episodes
    assert [one.step for one in episode.steps] == list(range(1, len(episode.steps) + 1))
    assert len(episode.steps) > 50


ENDLESS = """
import itertools, sys
from infra_gym.recording import Header, RunLog

header = Header(id="A-v0", target="sim", definition_sha256="d", package_version="1",
                interval_s=15, time_scale=4)
log = RunLog(sys.argv[1], header)
log.reset(seed=1, schedule_sha256="s", observation=[0.0], metrics={})
for number in itertools.count(1):
    log.step(step=number, time_s=number, action=1, observation=[0.0], reward=0.0, terms={},
             metrics={"latency_p95": 0.125})
"""


def test_pandas_reads_it_in_one_line(path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    with RunLog(path, HEADER) as log:
        begin(log)
        step(log, 1)
        step(log, 2)
    read = pandas.read_json(path, lines=True)
    assert list(read.kind) == ["header", "reset", "step", "step", "close"]
    steps = pandas.json_normalize(read[read.kind == "step"].to_dict("records"))
    assert list(steps["metrics.ready"]) == [3.0, 3.0]
    assert list(steps["terms.cost"]) == [-0.25, -0.25]
