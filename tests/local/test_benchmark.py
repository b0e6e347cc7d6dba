"""A benchmark on real processes, whose logs are then scored again."""

import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra_gym.cli.main import app


def invoke(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_live_benchmark_keeps_its_logs_and_is_scored_again(tmp_path, monkeypatch, binary):
    if shutil.which(os.environ.get("INFRA_GYM_PROMETHEUS", "prometheus")) is None:
        pytest.skip("prometheus is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INFRA_GYM_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("INFRA_GYM_BINARY", binary)
    answer = invoke(
        "benchmark", "--target", "local", "--agents", "hpa,random", "--workloads", "own",
        "--seeds", 1, "--steps", 2, "--out", "live.json",
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    document = json.loads(Path("live.json").read_text(encoding="utf-8"))
    assert list(document["agents"]) == ["hpa", "random", "hpa again"]
    assert [each["pairs"] for each in document["noise"]] == [1]
    assert [each["path"] for each in document["logs"]] == ["live-own.jsonl"]
    checked = invoke("validate", "live.json")
    assert checked.exit_code == 0, checked.output
    assert "scored again from the recordings" in checked.stdout
    log = Path("live-own.jsonl")
    log.write_text(log.read_text(encoding="utf-8").replace('"seed"', '"seed" ', 1), "utf-8")
    refused = invoke("validate", "live.json")
    assert refused.exit_code == 1
    assert "was changed after it was written" in refused.stderr
