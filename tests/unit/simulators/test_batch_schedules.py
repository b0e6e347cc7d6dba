"""What holds for every schedule, and what a schedule says of itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra_gym.errors import ExpressionError, SettingsError
from infra_gym.simulators.batch import SCORES, Policy, play, simulate
from infra_gym.simulators.batch_arrays import window_permutations
from infra_gym.workloads.batch import episode_jobs, scheduling_jobs
from infra_gym.workloads.generated import generated_trace
from infra_gym.workloads.swf import parse_swf

# One worker compiles, once, what all of these need.
pytestmark = pytest.mark.xdist_group("batch")

jobs = st.builds(
    lambda count, seed, load, processors: scheduling_jobs(
        generated_trace(count, processors=processors, load=load, seed=seed)
    ),
    st.integers(1, 120),
    st.integers(0, 10**6),
    st.floats(0.2, 3.0),
    st.sampled_from([1, 2, 7, 64]),
)
policies = st.builds(
    Policy,
    st.sampled_from([*SCORES, "w/z+l/t", "-n", "s*0"]),
    st.sampled_from(["none", "easy", "conservative"]),
    per_event=st.booleans(),
    window=st.integers(1, 4),
)


@settings(max_examples=80, deadline=None)
@given(jobs, policies)
def test_nodes_are_never_over_committed_and_work_is_conserved(jobs, policy):
    made = simulate(jobs, policy)
    assert (made.start >= jobs.submit).all()
    ends = made.start + jobs.run
    for time in made.start:
        assert jobs.nodes[(made.start <= time) & (time < ends)].sum() <= jobs.total_nodes
    assert (np.diff(made.times) >= 0).all()
    busy = made.events[:, 2]
    assert (busy >= 0).all()
    assert (busy <= jobs.total_nodes).all()
    assert np.diff(made.times) @ busy[:-1] == pytest.approx(jobs.run @ jobs.nodes)
    assert made.events[-1, 2:].tolist() == [0, 0, 0]
    assert sorted(made.finished) == list(range(len(jobs)))


@settings(max_examples=60, deadline=None)
@given(jobs, policies)
def test_the_same_run_twice(jobs, policy):
    one, other = simulate(jobs, policy), simulate(jobs, policy)
    assert (one.start == other.start).all()
    assert (one.events == other.events).all()


@settings(max_examples=80, deadline=None)
@given(jobs)
def test_the_head_of_easy_is_never_delayed(jobs):
    """A blocked head starts no later than it was first promised by requested times."""
    start = simulate(jobs, Policy("fcfs", "easy")).start
    for job in range(1, len(jobs)):
        became = max(jobs.submit[job], start[:job].max())
        started = (start < became) | ((start == became) & (np.arange(len(jobs)) < job))
        running = started & (start + jobs.run > became)
        free = jobs.total_nodes - jobs.nodes[running].sum()
        promise = became
        for release in sorted((start + jobs.requested)[running]):
            if free >= jobs.nodes[job]:
                break
            promise = release
            free = jobs.total_nodes - jobs.nodes[running & (start + jobs.requested > release)].sum()
        assert start[job] <= promise


@settings(max_examples=40, deadline=None)
@given(jobs)
def test_backfilling_needs_a_job_that_does_not_fit(jobs):
    """On a machine that is large enough nobody waits, whatever the policy."""
    room = scheduling_jobs_on(jobs, int(jobs.nodes.sum()))
    for backfill in ("none", "easy", "conservative"):
        assert (simulate(room, Policy("sjf", backfill)).start == jobs.submit).all()


def scheduling_jobs_on(jobs, nodes):
    return type(jobs)(**{**vars(jobs), "total_nodes": nodes, "total_processors": nodes})


SMALL = """; MaxProcs: 4
1 10 -1 100 -1 -1 -1 2 200 -1 1 1 1 1 1 1 -1 -1
2 20 -1 50 -1 -1 -1 4 60 -1 1 1 1 1 1 1 -1 -1
3 30 -1 40 -1 -1 -1 2 90 -1 1 1 1 1 1 1 -1 -1
4 40 -1 10 -1 -1 -1 1 300 -1 1 1 1 1 1 1 -1 -1
"""


def small():
    return scheduling_jobs(parse_swf(SMALL, name="small"))


def test_a_golden_trace_by_hand():
    """Job 2 needs all; it is promised 200. EASY lets 3 go before it (until 110), but not 4."""
    assert simulate(small(), Policy("fcfs", "none")).start.tolist() == [0, 100, 150, 150]
    assert simulate(small(), Policy("fcfs", "easy")).start.tolist() == [0, 100, 20, 150]
    # Shortest first: at 100, when job 1 ends, job 2 asks for less than job 4.
    assert simulate(small(), Policy("sjf", "none")).start.tolist() == [0, 100, 150, 150]


def test_the_files_of_cqsim():
    made = simulate(small(), Policy("fcfs", "easy"))
    assert list(made.rst()) == [
        "3;2;2;90.0;40.0;0.0;20.0;20.0;60.0",
        "1;2;2;200.0;100.0;0.0;0.0;0.0;100.0",
        "2;4;4;60.0;50.0;90.0;10.0;100.0;150.0",
        "4;1;1;300.0;10.0;120.0;30.0;150.0;160.0",
    ]
    assert list(made.ult())[:4] == [
        "0;S;0.0;uti=0.5 waitNum=0 waitSize=0",
        "10;S;10.0;uti=0.5 waitNum=1 waitSize=4",
        "20;S;20.0;uti=1.0 waitNum=1 waitSize=4",
        "30;S;30.0;uti=1.0 waitNum=2 waitSize=5",
    ]
    assert [line for line in made.ult(monitor_s=50) if ";Q;" in line] == [
        "0;Q;0;uti=0.5 waitNum=0 waitSize=0",
        "50;Q;50;uti=1.0 waitNum=2 waitSize=5",
        "100;Q;100;uti=1.0 waitNum=1 waitSize=1",
        "150;Q;150;uti=0.25 waitNum=0 waitSize=0",
    ]


def test_metrics_by_hand():
    metrics = simulate(small(), Policy("fcfs", "easy")).metrics()
    assert metrics["wait_s"] == (0 + 90 + 0 + 120) / 4
    assert metrics["turnaround_s"] == (100 + 140 + 40 + 130) / 4
    assert metrics["bounded_slowdown"] == (1 + 140 / 50 + 1 + 13) / 4
    assert metrics["makespan_s"] == 160
    assert metrics["utilisation"] == (200 + 200 + 80 + 10) / (160 * 4)


def test_scheduling_once_per_time_spares_nodes_for_who_comes_at_that_time():
    """Job 1 ends at 100, when job 3 arrives, which goes before job 2."""
    text = """; MaxProcs: 4
    1 0 -1 100 -1 -1 -1 4 100 -1 1 1 1 1 1 1 -1 -1
    2 10 -1 10 -1 -1 -1 1 50 -1 1 1 1 1 1 1 -1 -1
    3 100 -1 10 -1 -1 -1 4 50 -1 1 1 1 1 1 1 -1 -1
    """
    jobs = scheduling_jobs(parse_swf(text, name="equal times"))
    assert simulate(jobs, Policy("n")).start.tolist() == [0, 110, 100]
    assert simulate(jobs, Policy("n", per_event=True)).start.tolist() == [0, 100, 110]


def test_the_window_tries_its_orders_as_written():
    rows = ["".join(map(str, row)) for row in window_permutations(3).tolist()]
    assert rows == ["012", "102", "021", "201", "120", "210"]
    assert window_permutations(5)[:6, :3].tolist() == window_permutations(3).tolist()


def test_a_score_plays_an_episode():
    jobs = episode_jobs(generated_trace(300, seed=5))
    start = play(jobs, "sjf", start=20, length=100)
    assert start.shape == (100,)
    assert (start >= jobs.submit[20:120]).all()
    with pytest.raises(ExpressionError, match="of job"):
        play(jobs, "1/(n-n)", start=0, length=50)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ("fcsf", "'fcsf' is not known"),
        ("w/q", "'q' is not known"),
        ("open(w)", "'open' is not a function"),
        ("w.real", "not allowed"),
        ("__import__('os')", "not allowed"),
        ("", "empty"),
        ("w +", "invalid syntax"),
    ],
)
def test_a_score_that_cannot_be(score, message):
    with pytest.raises(ExpressionError, match=message):
        Policy(score)


@pytest.mark.parametrize("score", ["w/(n-n)", "log(-t)", "n/(s-s)"])
def test_a_score_that_is_no_number_names_the_job(score):
    with pytest.raises(ExpressionError, match="of job 1 in small is no finite number"):
        simulate(small(), Policy(score))


@pytest.mark.parametrize("arguments", [{"backfill": "lazy"}, {"window": 0}, {"window": 9}])
def test_a_policy_that_cannot_be(arguments):
    with pytest.raises(SettingsError, match="must be"):
        Policy(**arguments)
