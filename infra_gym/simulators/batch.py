"""Batch scheduling as CQSim does it: which job starts when, event by event.

After every event (or, by default, after all events of one time) the waiting jobs are scored and
sorted, the highest first and equals as they were; jobs start from the head while they fit; at the
first that does not, jobs behind it may be backfilled. A job holds its nodes for its run time, and
reservations are made for the requested one.

What CQSim does otherwise and should not: it reserves for a waiting job's actual run time, which
breaks EASY's promise that the blocked job is never delayed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from infra_gym.errors import ExpressionError, SettingsError, did_you_mean
from infra_gym.expressions import Program, postfix
from infra_gym.workloads.batch import BatchJobs

Backfill = Literal["none", "easy", "conservative"]
Reward = Literal["bounded_slowdown", "slowdown", "turnaround", "utilisation", "wait"]
Decision = Literal["head", "queue"]

NAMES = ("s", "t", "n", "w", "z", "l")
"""What a score may use, of a job: submit time, requested time, processors, whole seconds waited; of
the queue: longest wait (1 if 0), least requested time. Times in seconds."""

SCORES = {
    "fcfs": "w",
    "sjf": "-t",
    "wfp": "(w / t) ** 3 * n",
    "uni": "(w + 1e-15) / (log(n + 1e-15) / log(2) * t)",
    "f1": "-(log(max(t, 0.1)) / log(10) * n + 870 * log(max(s, 0.1)) / log(10))",
}
"""Scores with a name: first come first served; shortest job first; WFP3 and UNICEF (Tang et al.,
CLUSTER 2009); F1 (Carastan-Santos and de Camargo, SC'17)."""

MOST_IN_WINDOW = 8
"""The start window's greatest size: every order of its jobs is tried."""

_SHORTEST_RUN_S = 10.0


@dataclass(frozen=True)
class Policy:
    """How jobs are chosen.

    Args:
        score: One of :data:`SCORES`, or an expression over :data:`NAMES`; higher goes first.
        backfill: What may start before a job that does not fit.
        per_event: Schedule after each event instead of after all events of one time.
        window: So many jobs at the queue's head start in the order that ends soonest by requested
            time; 1 keeps the score's order.

    Raises:
        ExpressionError: The score is malformed or uses another name.
        SettingsError: No such backfill, or a window that cannot be.
    """

    score: str = "fcfs"
    backfill: Backfill = "none"
    per_event: bool = False
    window: int = 1

    def __post_init__(self) -> None:
        one_of("backfill", self.backfill, get_args(Backfill))
        if not 1 <= self.window <= MOST_IN_WINDOW:
            raise SettingsError(f"window must be 1 to {MOST_IN_WINDOW}, not {self.window!r}.")
        score_program(self.score)


@dataclass(frozen=True, eq=False)
class Schedule:
    """What happened to every job; arrays of shape (jobs,) in the jobs' order, times in seconds.

    Attributes:
        jobs: The jobs.
        start: When each started, float64.
        events: One row an event: 0 submit or 1 end, the job's place, busy nodes, waiting jobs,
            their nodes; int64 of shape (2 x jobs, 5).
        times: The events' times, float64 of shape (2 x jobs,).
    """

    jobs: BatchJobs
    start: NDArray[np.float64]
    events: NDArray[np.int64]
    times: NDArray[np.float64]

    @property
    def finished(self) -> NDArray[np.int64]:
        """The jobs' places in the order in which they ended."""
        return np.asarray(self.events[self.events[:, 0] == 1, 1])

    def metrics(self) -> dict[str, float]:
        """Means over the jobs: ``wait_s``, ``turnaround_s``, ``slowdown``, ``bounded_slowdown``
        (at least 1, of at least 10 s); ``utilisation`` of the nodes from the first submit to the
        last end, a ratio; ``makespan_s``, the time between these.
        """
        return schedule_metrics(self.jobs, self.start)

    def rst(self) -> Iterator[str]:
        """CQSim's ``.rst``, a line a job in the order of their ends:
        id;procs;procs;requested;run;wait;submit;start;end.
        """
        jobs = self.jobs
        for job in self.finished.tolist():
            size, start, submit = (
                int(jobs.processors[job]),
                float(self.start[job]),
                jobs.submit[job],
            )
            numbers = (
                jobs.requested[job],
                jobs.run[job],
                start - submit,
                submit,
                start,
                start + jobs.run[job],
            )
            rest = ";".join(str(float(number)) for number in numbers)
            yield f"{jobs.ids[job]};{size};{size};{rest}"

    def ult(self, *, monitor_s: int | None = None) -> Iterator[str]:
        """CQSim's ``.ult``, a line an event: int(time);S|E|Q;time;uti=... waitNum=... waitSize=...

        Args:
            monitor_s: Also a line ``Q`` at every multiple of so many seconds.
        """
        following = np.append(self.times[1:], self.times[-1]).tolist()
        for time, after, event in zip(
            self.times.tolist(), following, self.events.tolist(), strict=True
        ):
            kind, _, busy, waiting, nodes = event
            state = f"uti={busy / self.jobs.total_nodes} waitNum={waiting} waitSize={nodes}"
            yield f"{int(time)};{'SE'[kind]};{time};{state}"
            if monitor_s is not None:
                first = -int(-time // monitor_s) * monitor_s
                for moment in range(first, int(-(-after // 1)), monitor_s):
                    yield f"{moment};Q;{moment};{state}"


def simulate(jobs: BatchJobs, policy: Policy) -> Schedule:
    """Schedule all jobs.

    Args:
        jobs: The jobs, in the order of their submit times.
        policy: How.

    Raises:
        ExpressionError: The score of a job is no number (a division by zero, say); names the job.
    """
    from infra_gym.simulators import batch_arrays as arrays
    from infra_gym.simulators.batch_machine import empty_machine
    from infra_gym.simulators.batch_scheduler import Log, schedule_all

    score = arrays.compiled_score(policy.score, len(jobs))
    machine = arrays.new_machine(jobs, len(jobs))
    empty_machine(machine, jobs.total_nodes, 0, len(jobs))
    room = len(jobs) + len(machine.ends) + 2
    log = Log(
        np.empty(2 * len(jobs), dtype=np.float64), np.empty((2 * len(jobs), 5), dtype=np.int64)
    )
    failed = schedule_all(
        arrays.compiled_jobs(jobs),
        machine,
        score,
        get_args(Backfill).index(policy.backfill),
        policy.per_event,
        arrays.window_permutations(policy.window),
        arrays.new_profile(room),
        arrays.new_profile(room),
        log,
    )
    if failed >= 0:
        raise no_score(jobs, policy.score, failed)
    return Schedule(jobs, machine.start, log.states, log.times)


def play(
    jobs: BatchJobs, score: str, *, start: int, length: int, backfill: Backfill = "none"
) -> NDArray[np.float64]:
    """The start times of an episode in which a score chooses the head, see BatchScheduling-v0.

    Args:
        jobs: The jobs by RLScheduler's rules.
        score: One of :data:`SCORES`, or an expression over :data:`NAMES`; of equals the first wins.
        start: The place of the episode's first job.
        length: How many jobs it has.
        backfill: ``none`` or ``easy``.

    Raises:
        ExpressionError: The score is malformed, or of some job no number.
    """
    from infra_gym.simulators import batch_arrays as arrays
    from infra_gym.simulators.batch_episode import begin_episode, play_rule

    machine, packed = arrays.new_machine(jobs, length), arrays.compiled_jobs(jobs)
    rules = arrays.compiled_rules(jobs, "head", backfill, "bounded_slowdown")
    begin_episode(packed, machine, rules, jobs.total_nodes, start, start + length)
    failed = play_rule(packed, machine, rules, arrays.compiled_score(score, length))
    if failed >= 0:
        raise no_score(jobs, score, failed)
    return machine.start


def score_jobs(
    jobs: BatchJobs, score: str, some: NDArray[np.int64], now: float
) -> NDArray[np.float64]:
    """The scores of waiting jobs.

    Args:
        jobs: All jobs.
        score: One of :data:`SCORES`, or an expression over :data:`NAMES`.
        some: The places in ``jobs`` of those that wait, int64.
        now: The time in seconds.

    Raises:
        ExpressionError: The score is malformed, or of some job no number; names the job.
    """
    from infra_gym.simulators import batch_arrays as arrays
    from infra_gym.simulators.batch_machine import Jobs
    from infra_gym.simulators.batch_score import evaluate

    queue = Jobs(
        jobs.submit[some],
        jobs.run[some],
        jobs.requested[some],
        jobs.processors[some],
        jobs.nodes[some],
        np.empty((0, 6), dtype=np.float32),
    )
    number = len(some)
    scores = evaluate(
        arrays.compiled_score(score, number), queue, np.arange(number), number, float(now)
    )
    unknown = np.flatnonzero(np.isnan(scores))
    if len(unknown):
        raise no_score(jobs, score, int(some[unknown[0]]))
    return scores


def schedule_metrics(
    jobs: BatchJobs, start: NDArray[np.float64], *, first: int = 0
) -> dict[str, float]:
    """See :meth:`Schedule.metrics`; ``start`` is that of the jobs from the place ``first`` on."""
    some = slice(first, first + len(start))
    submit, run = jobs.submit[some], jobs.run[some]
    wait = start - submit
    makespan = float((start + run).max() - submit.min())
    bounded = np.maximum(1.0, (wait + run) / np.maximum(run, _SHORTEST_RUN_S))
    return {
        "wait_s": float(wait.mean()),
        "turnaround_s": float((wait + run).mean()),
        "slowdown": float(((wait + run) / run).mean()),
        "bounded_slowdown": float(bounded.mean()),
        "utilisation": float((run * jobs.nodes[some]).sum() / (makespan * jobs.total_nodes)),
        "makespan_s": makespan,
    }


def score_program(score: str) -> Program:
    """The program of a score: one of :data:`SCORES`, or an expression over :data:`NAMES`.

    Raises:
        ExpressionError: It is malformed or uses another name.
    """
    try:
        return postfix(_text(score), NAMES)
    except ExpressionError as error:
        raise ExpressionError(
            f"The score {score!r}: {error.message} Scores with a name: {', '.join(SCORES)}."
        ) from error


def _text(score: str) -> str:
    """The expression of a score; names are taken in any case, and WFP3 for WFP."""
    name = score.strip().lower()
    return SCORES.get("wfp" if name == "wfp3" else name, score)


def no_score(jobs: BatchJobs, score: str, job: int) -> ExpressionError:
    """The error for a job whose score is no number."""
    asked = f"{jobs.requested[job]:g} s on {jobs.processors[job]} processors"
    return ExpressionError(
        f"The score {_text(score)!r} of job {jobs.ids[job]} in {jobs.name} is no "
        f"finite number; it asks for {asked}.",
        next_command="guard it, as in w / max(t, 1)",
    )


def one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a value that a setting cannot have.

    Raises:
        SettingsError: ``value`` is not one of ``allowed``.
    """
    if value not in allowed:
        raise SettingsError(
            f"{name} must be one of {', '.join(allowed)}, not {value!r}."
            f"{did_you_mean(str(value), allowed)}"
        )
