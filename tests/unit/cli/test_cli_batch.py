"""infra-gym batch."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from infra_gym.cli.main import app
from infra_gym.simulators.batch import Policy, simulate
from infra_gym.workloads.batch import scheduling_jobs
from infra_gym.workloads.generated import SHIPPED_TRACE
from infra_gym.workloads.swf import read_swf

# One worker compiles, once, what all of these need.
pytestmark = pytest.mark.xdist_group("batch")

TRACE = str(SHIPPED_TRACE)


def run(*arguments):
    return CliRunner().invoke(app, ["batch", "simulate", *arguments])


@pytest.mark.parametrize("score", ["fcfs", "wfp", "w/z+l/t"])
@pytest.mark.parametrize("more", [[], ["--per-event"], ["--window", "3"]])
def test_it_writes_the_starts(tmp_path, score, more):
    path = tmp_path / "starts.csv"
    result = run(TRACE, "--score", score, "--backfill", "easy", "--starts", str(path), *more)
    assert result.exit_code == 0, result.output
    head, *rows = path.read_text().splitlines()
    jobs = scheduling_jobs(read_swf(TRACE))
    made = simulate(jobs, Policy(score, "easy", "--per-event" in more, 3 if "3" in more else 1))
    assert head == "job_id,start"
    assert [row.split(",") for row in rows] == [
        [str(number), str(int(start))]
        for number, start in zip(jobs.ids.tolist(), made.start.tolist(), strict=True)
    ]


def test_json_has_metrics_and_notes(tmp_path):
    path = tmp_path / "t.swf"
    path.write_text("; MaxNodes: 4\n1 0 -1 10 2 -1 -1 -1 -1 -1 1 1 1 1 1 1 -1 -1\n")
    result = run(str(path), "--json", "--quiet")
    document = json.loads(result.output)
    assert document["jobs"] == 1
    assert document["metrics"]["bounded_slowdown"] == 1
    assert len(document["notes"]) == 2


def test_cqsims_files(tmp_path):
    paths = [tmp_path / name for name in ("t.rst", "t.ult")]
    result = run(TRACE, "--rst", str(paths[0]), "--ult", str(paths[1]), "--quiet")
    assert result.exit_code == 0
    assert [len(path.read_text().splitlines()) for path in paths] == [1024, 2048]


def test_starts_on_standard_output_are_all_there_is():
    result = run(TRACE, "--starts", "-")
    assert result.stdout.startswith("job_id,start\n1,0\n")
    assert len(result.stdout.splitlines()) == 1025
    result = run(TRACE, "--rst", "-")
    assert [len(line.split(";")) for line in result.stdout.splitlines()] == [9] * 1024


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.swf"], "cannot be read"),
        ([TRACE, "--score", "fcsf"], "'fcsf' is not known"),
        ([TRACE, "--score", "exit(1)"], "'exit' is not a function"),
        ([TRACE, "--score", "1/(n-n)"], "of job 1 in"),
        ([TRACE, "--window", "20"], "window must be 1 to 8"),
        ([TRACE, "--processors", "2"], "needs"),
        ([TRACE, "--starts", "no/such/folder.csv"], "No such file"),
    ],
)
def test_what_is_wrong_is_said(arguments, message):
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert message in result.stderr.replace("\n", " ")
