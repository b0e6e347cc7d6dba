"""Every start time equals that of a slow model, written from the semantics alone.

It keeps whole lists, rebuilds everything at every scan and shares nothing with the package.
"""

from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from infra_gym.simulators.batch import SCORES, Policy, simulate
from infra_gym.workloads.batch import BatchJobs, scheduling_jobs
from infra_gym.workloads.generated import generated_trace
from infra_gym.workloads.swf import read_swf

# One worker compiles, once, what all of these need.
pytestmark = pytest.mark.xdist_group("batch")

TRACES = Path(__file__).parents[4] / "shared" / "data" / "swf"
real = pytest.mark.skipif(
    not TRACES.is_dir(), reason="../shared/data/swf is not beside the checkout"
)

FORMULAS = {
    "w": lambda s, t, n, w, z, least: w,
    "-t": lambda s, t, n, w, z, least: -t,
    "(w/t)**3*n": lambda s, t, n, w, z, least: (w / t) ** 3 * n,
    "w/z+l/t": lambda s, t, n, w, z, least: w / z + least / t,
    "-n": lambda s, t, n, w, z, least: -n,
    "min(w, 7200) % 3600 - 0.1*n": lambda s, t, n, w, z, least: min(w, 7200) % 3600 - 0.1 * n,
    "1 if w > 3600 or n < 4 else -n": lambda s, t, n, w, z, least: 1 if w > 3600 or n < 4 else -n,
}
NAMED = {"w": "fcfs", "-t": "sjf", "(w/t)**3*n": "wfp"}


class Model:
    """CQSim's semantics with reservations for the requested time."""

    def __init__(self, jobs, formula, backfill, per_event, window):
        self.submit, self.run = jobs.submit.tolist(), jobs.run.tolist()
        self.asked, self.size = jobs.requested.tolist(), jobs.processors.tolist()
        self.total = self.free = jobs.total_processors
        self.formula, self.backfill, self.window = formula, backfill, window
        self.waiting, self.running, self.starts = [], [], {}
        self.started = 0
        events = [(time, 1, place, job) for place, (job, time) in enumerate(enumerate(self.submit))]
        while events or self.running:
            ends = [(self.starts[job] + self.run[job], 0, turn, job) for turn, job in self.running]
            self.now, kind, _, job = min([*events[:1], *ends])
            if kind == 1:
                self.waiting.append(job)
                events = events[1:]
            else:
                self.free += self.size[job]
                self.running = [each for each in self.running if each[1] != job]
            if per_event or not self.more(events):
                self.scan()

    def more(self, events):
        soon = [self.starts[job] + self.run[job] for _, job in self.running]
        return self.now in soon or (events and events[0][0] == self.now)

    def start(self, job):
        assert self.size[job] <= self.free
        self.free -= self.size[job]
        self.waiting.remove(job)
        self.starts[job] = self.now
        self.running.append((self.started, job))
        self.started += 1

    def scan(self):
        if not self.waiting:
            return
        waits = [self.now - self.submit[job] for job in self.waiting]
        longest, least = max(waits) or 1, min(self.asked[job] for job in self.waiting)
        score = {
            job: self.formula(
                self.submit[job], self.asked[job], self.size[job], int(wait), longest, least
            )
            for job, wait in zip(self.waiting, waits, strict=True)
        }
        self.waiting.sort(key=score.__getitem__, reverse=True)  # stable also when reversed
        for job in self.in_window(list(self.waiting)):
            if self.size[job] > self.free:
                break
            self.start(job)
        else:
            return
        if self.backfill != "none" and len(self.waiting) > 1:
            self.fill()

    def in_window(self, queue):
        head, rest = queue[: self.window], queue[self.window :]
        orders = sorted(permutations(range(len(head))), key=lambda row: row[::-1], reverse=True)
        best = min(orders, key=lambda row: self.makespan([head[place] for place in row]))
        return [head[place] for place in best] + rest

    def makespan(self, jobs):
        steps, place, ends = self.profile(), 0, []
        for job in jobs:
            place = self.reserve(steps, job, place)
            ends.append(steps[place][0] + self.asked[job])
        return max(ends)

    def profile(self):
        steps, free = [[self.now, self.free]], self.free
        releases = sorted(
            (self.starts[job] + self.asked[job], self.size[job]) for _, job in self.running
        )
        for time in sorted({time for time, _ in releases}):
            free += sum(size for when, size in releases if when == time)
            steps.append([time, free])
        return steps

    def fits(self, steps, job, place):
        end = steps[place][0] + self.asked[job]
        return all(free >= self.size[job] for time, free in steps[place:] if time < end)

    def reserve(self, steps, job, place=0):
        while not self.fits(steps, job, place):
            place += 1
        end = steps[place][0] + self.asked[job]
        if end not in [time for time, _ in steps[place:]]:
            last = max(index for index, (time, _) in enumerate(steps) if time < end)
            steps.insert(last + 1, [end, steps[last][1]])
        for step in steps[place:]:
            if step[0] < end:
                step[1] -= self.size[job]
        return place

    def fill(self):
        steps, chosen = self.profile(), []
        self.reserve(steps, self.waiting[0])
        for job in self.waiting[1:]:
            now = self.fits(steps, job, 0)
            if now:
                chosen.append(job)
            if now or self.backfill == "conservative":
                self.reserve(steps, job)
        for job in chosen:
            self.start(job)


def model_starts(jobs: BatchJobs, formula: str, backfill: str, per_event: bool, window: int = 1):
    starts = Model(jobs, FORMULAS[formula], backfill, per_event, window).starts
    return np.array([starts[job] for job in range(len(jobs))])


def generated(count: int, seed: int, *, load: float = 0.9, grain: int = 1) -> BatchJobs:
    """A grain of minutes makes many events fall on the same time."""
    trace = generated_trace(count, processors=64, load=load, seed=seed)
    for column in (1, 3, 8):
        trace.records[:, column] = np.ceil(trace.records[:, column] / grain) * grain
    return scheduling_jobs(trace)


def first(jobs: BatchJobs, count: int) -> BatchJobs:
    fields = {
        name: value[:count] if isinstance(value, np.ndarray) else value
        for name, value in vars(jobs).items()
    }
    return BatchJobs(**fields)


@pytest.mark.parametrize("per_event", [False, True])
@pytest.mark.parametrize("backfill", ["none", "easy", "conservative"])
@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("grain", [1, 900])
def test_every_policy_in_both_modes(formula, backfill, per_event, grain):
    for seed, load in ((1, 0.8), (2, 1.1)):
        jobs = generated(200, seed, load=load, grain=grain)
        ours = simulate(jobs, Policy(NAMED.get(formula, formula), backfill, per_event=per_event))
        np.testing.assert_array_equal(
            ours.start, model_starts(jobs, formula, backfill, per_event), f"seed {seed}"
        )


@pytest.mark.parametrize("per_event", [False, True])
@pytest.mark.parametrize("backfill", ["none", "easy", "conservative"])
@pytest.mark.parametrize(("formula", "window"), [("w", 5), ("(w/t)**3*n", 4), ("-t", 2)])
def test_the_start_window(formula, window, backfill, per_event):
    jobs = generated(200, 3, load=1.0, grain=600)
    ours = simulate(jobs, Policy(formula, backfill, per_event=per_event, window=window))
    np.testing.assert_array_equal(
        ours.start, model_starts(jobs, formula, backfill, per_event, window)
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("backfill", ["none", "easy", "conservative"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_long_traces(formula, backfill):
    for count in (1000, 5000):
        jobs = generated(count, 4, load=0.8)
        ours = simulate(jobs, Policy(formula, backfill, per_event=True))
        np.testing.assert_array_equal(ours.start, model_starts(jobs, formula, backfill, True))


@real
@pytest.mark.slow
@pytest.mark.parametrize("per_event", [False, True])
@pytest.mark.parametrize("backfill", ["none", "easy", "conservative"])
@pytest.mark.parametrize("formula", ["w", "-t", "w/z+l/t"])
@pytest.mark.parametrize("name", ["lublin_256", "lublin_256_new2", "HPC2N-2002-2.2-cln"])
def test_real_traces(name, formula, backfill, per_event):
    jobs = first(scheduling_jobs(read_swf(TRACES / f"{name}.swf.gz")), 200)
    ours = simulate(jobs, Policy(formula, backfill, per_event=per_event))
    np.testing.assert_array_equal(ours.start, model_starts(jobs, formula, backfill, per_event))


@real
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("backfill", ["none", "easy"])
@pytest.mark.parametrize("name", ["lublin_256", "HPC2N-2002-2.2-cln"])
def test_long_real_traces(name, backfill):
    jobs = first(scheduling_jobs(read_swf(TRACES / f"{name}.swf.gz")), 5000)
    ours = simulate(jobs, Policy("wfp", backfill, per_event=True))
    np.testing.assert_array_equal(ours.start, model_starts(jobs, "(w/t)**3*n", backfill, True))


def test_named_scores_are_formulas_of_the_model():
    for formula, name in NAMED.items():
        assert SCORES[name].replace(" ", "") == formula


def test_the_order_of_permutations_is_the_written_one():
    rows = sorted(permutations(range(3)), key=lambda row: row[::-1], reverse=True)
    assert [" ".join(map(str, row)) for row in rows] == [
        "0 1 2", "1 0 2", "0 2 1", "2 0 1", "1 2 0", "2 1 0",
    ]  # fmt: skip
    assert math.factorial(3) == len(rows)
