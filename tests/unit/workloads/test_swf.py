"""Traces as they come, and what is said of those that cannot be used."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from infra_gym.errors import UsageError
from infra_gym.workloads.batch import episode_jobs, scheduling_jobs
from infra_gym.workloads.generated import SHIPPED_TRACE, generated_trace, swf_text
from infra_gym.workloads.swf import parse_swf, read_swf

REST = "-1 1 3 2 5 1 1 -1 -1"


def line(number, submit=0, run=10, allocated=-1, processors=1, requested=20, rest=REST):
    return f"{number} {submit} -1 {run} {allocated} -1 -1 {processors} {requested} {rest}"


def trace(*lines, head="; MaxProcs: 8"):
    return parse_swf("\n".join([head, *lines]), name="t.swf")


def test_tabs_blank_lines_comments_and_line_ends(tmp_path):
    text = f";\tMaxNodes: 4\r\n\r\n; a comment\r\n  \t{line(1)}\r\n\n{line(2, 5)}\t\r\n;end\n\n"
    path = tmp_path / "t.swf"
    path.write_bytes(text.replace("1 0 -1", "1\t0\t-1").encode())
    read = read_swf(path)
    assert read.headers == {"MaxNodes": "4"}
    assert read.field("submit time").tolist() == [0, 5]
    assert read.lines.tolist() == [4, 6]


def test_a_byte_order_mark_is_no_job(tmp_path):
    path = tmp_path / "t.swf"
    path.write_text(f"; MaxProcs: 1\n{line(1)}", encoding="utf-8-sig")
    assert read_swf(path).headers == {"MaxProcs": "1"}


def test_gzip_is_known_by_its_content(tmp_path):
    path = tmp_path / "t.swf"
    path.write_bytes(gzip.compress(SHIPPED_TRACE.read_bytes()))
    assert (read_swf(path).records == read_swf(SHIPPED_TRACE).records).all()
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UsageError, match=r"t\.swf cannot be read"):
        read_swf(path)


def test_the_shipped_trace_is_what_generates_it():
    assert SHIPPED_TRACE.read_text() == swf_text(generated_trace(1024))


def test_names_in_comments_may_be_in_any_encoding(tmp_path):
    path = tmp_path / "t.swf"
    path.write_bytes("; Acknowledge: Åke\n; MaxProcs: 1\n".encode("latin-1") + line(1).encode())
    assert len(scheduling_jobs(read_swf(path))) == 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("1 2 3", r"t\.swf:3: a job has 18 fields, this line 3"),
        (line(2) + " 4", r"t\.swf:3: a job has 18 fields, this line 19"),
        (line(2, "soon"), r"t\.swf:3: field 2 \(submit time\) must be a finite number, not 'soon'"),
        (line(2, run="nan"), r"t\.swf:3: field 4 \(run time\) must be a finite number, not 'nan'"),
        (line(2, requested="inf"), r"t\.swf:3: field 9 \(requested time\)"),
        (line(2, processors=1.5), r"field 8 \(requested processors\) must be a whole number"),
        (line(2.5), r"t\.swf:3: field 1 \(job number\) must be a whole number, not '2\.5'"),
        (line(1, 7), r"t\.swf:3: field 1 \(job number\) is 1, and so it is on line 2"),
    ],
)
def test_a_malformed_line_is_named(bad, message):
    with pytest.raises(UsageError, match=message):
        trace(line(1), bad)


@pytest.mark.parametrize("text", ["", "\n\n", "; MaxProcs: 8\n"])
def test_a_trace_without_jobs(text):
    with pytest.raises(UsageError, match="has no job"):
        parse_swf(text, name="t.swf")


def test_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_swf(tmp_path / "none.swf")


def test_the_parts_of_a_job_are_dropped_and_counted():
    parts = [line(1, rest=f"-1 {status} 3 2 5 1 1 -1 -1") for status in (2, 3)]
    jobs = scheduling_jobs(trace(line(1), *parts, line(2)))
    assert jobs.ids.tolist() == [1, 2]
    assert "2 jobs dropped: one part of a job that has a line for the whole." in jobs.notes


@pytest.mark.parametrize("make", [scheduling_jobs, episode_jobs])
def test_headers(make):
    assert make(trace(line(1), head="; MaxNodes: 4")).total_nodes == 4
    assert make(trace(line(1), head="; MaxProcs: 8\n; MaxNodes: -1")).total_nodes == 8
    with pytest.raises(UsageError, match="size is unknown"):
        make(trace(line(1), head="; Version: 2"))
    with pytest.raises(UsageError, match="MaxProcs is 'many'"):
        make(trace(line(1), head="; MaxProcs: many"))


@pytest.mark.parametrize("make", [scheduling_jobs, episode_jobs])
def test_a_job_larger_than_the_machine_is_named(make):
    with pytest.raises(UsageError, match=r"t\.swf:3: job 7 needs 9 .*the machine has 8"):
        make(trace(line(1), line(7, processors=9)))


def test_scheduling_falls_back_and_says_so():
    jobs = scheduling_jobs(
        trace(
            line(0, 100, allocated=3, processors=-1, requested=-1),
            line(5, 50, run=90, requested=30),
            line(6, run=-1),
            line(7, run=0),
            line(8, processors=-1),
            line(9, -1),
            line(10, 100),
        )
    )
    assert jobs.ids.tolist() == [5, 0, 10]
    assert jobs.submit.tolist() == [0, 50, 50]
    assert jobs.run.tolist() == [30, 10, 10]
    assert jobs.requested.tolist() == [30, 10, 20]
    assert jobs.nodes.tolist() == [1, 3, 1]
    assert jobs.notes == (
        "1 job dropped: no submit time (field 2).",
        "2 jobs dropped: no run time of a second or more (field 4).",
        "1 job dropped: no processors (fields 8 and 5).",
        "1 job with the processors of field 5, for field 8 has none.",
        "1 job with the requested time of field 4, for field 9 has none.",
        "1 job cut to the requested time, for field 4 is longer.",
        "2 jobs sorted, for the file is not in order of submit times.",
    )


def test_when_nothing_is_left_the_reasons_are_told():
    with pytest.raises(UsageError, match=r"no job is left. 1 job dropped: no run time"):
        scheduling_jobs(trace(line(1, run=-1)))


def test_episode_rules():
    jobs = episode_jobs(
        trace(
            line(3, 100, run=-1, allocated=5, processors=2),
            line(1, 70, run=50, requested=-1),
            line(2, 60, run=0),
            line(4, 200, run=90, requested=30),
            head="; MaxProcs: 8\n; MaxNodes: 4",
        )
    )
    assert jobs.ids.tolist() == [1, 3, 4]
    assert jobs.submit.tolist() == [70, 100, 200]
    assert jobs.run.tolist() == [50, 10, 90]
    assert jobs.requested.tolist() == [50, 20, 30]
    assert jobs.processors.tolist() == [1, 5, 1]
    assert jobs.nodes.tolist() == [1, 3, 1]
    assert (jobs.total_nodes, jobs.total_processors, jobs.longest_run) == (4, 8, 90)
    np.testing.assert_allclose(jobs.traits[0], [1, 1 - 1e-5, 1 - 1e-5, 1 - 1e-5])


def test_a_generated_trace():
    made = generated_trace(500, processors=32, load=0.7, seed=3)
    again = parse_swf(swf_text(made), name="again")
    assert (again.records == made.records).all()
    jobs = scheduling_jobs(made)
    assert jobs.run @ jobs.nodes / (jobs.submit[-1] * 32) == pytest.approx(0.7, rel=0.01)
    with pytest.raises(UsageError, match="at least one job"):
        generated_trace(0)
