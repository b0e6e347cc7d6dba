"""``infra-gym batch``: schedule the jobs of a trace by a rule."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra_gym.cli.output import Output, command, table

if TYPE_CHECKING:
    from infra_gym.simulators.batch import Schedule

app = typer.Typer(help="Simulate a batch scheduler on a trace of jobs.", no_args_is_help=True)


class _Backfill(StrEnum):
    NONE = "none"
    EASY = "easy"
    CONSERVATIVE = "conservative"


_UNITS = {
    "wait_s": "s, mean",
    "turnaround_s": "s, mean",
    "slowdown": "mean",
    "bounded_slowdown": "mean, of at least 10 s",
    "utilisation": "share of the nodes",
    "makespan_s": "s",
}


@command(app, "simulate")
def simulate(
    output: Output,
    trace: Annotated[
        Path,
        typer.Argument(metavar="TRACE", help="A trace in the Standard Workload Format, or gzip."),
    ],
    score: Annotated[
        str,
        typer.Option(
            metavar="fcfs|sjf|wfp|uni|f1|EXPR",
            help="Whose score is highest goes first: a name, or an expression over s submit time, "
            "t requested time, n processors, w time waited, z longest w, l least t.",
        ),
    ] = "fcfs",
    backfill: Annotated[
        _Backfill, typer.Option(help="What may start before a job that does not fit.")
    ] = _Backfill.NONE,
    per_event: Annotated[
        bool,
        typer.Option(
            "--per-event", help="Schedule after each event, not after all events of one time."
        ),
    ] = False,
    window: Annotated[
        int,
        typer.Option(
            metavar="K",
            help="Start the first K jobs in the order that ends soonest; 1: in the score's.",
        ),
    ] = 1,
    processors: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="The machine's; default: the trace's MaxProcs or MaxNodes.",
            show_default=False,
        ),
    ] = None,
    starts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", show_default=False,
            help="Write job_id,start as CSV; start in seconds after the first submit. - is stdout.",
        ),
    ] = None,
    rst: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write CQSim's .rst, a line a job.", show_default=False),
    ] = None,
    ult: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write CQSim's .ult, a line an event.", show_default=False
        ),
    ] = None,
) -> None:  # fmt: skip
    """Say when every job starts, and what its users and the machine's owner get from it."""
    from infra_gym.cli.compiling import compiling
    from infra_gym.simulators.batch import Policy
    from infra_gym.simulators.batch import simulate as schedule
    from infra_gym.workloads.batch import scheduling_jobs
    from infra_gym.workloads.swf import read_swf

    policy = Policy(score, backfill.value, per_event=per_event, window=window)
    jobs = scheduling_jobs(read_swf(trace), processors=processors)
    for note in jobs.notes:
        output.note(note)
    with compiling(output.note):
        found = schedule(jobs, policy)
    for path, lines in ((starts, _starts(found)), (rst, found.rst()), (ult, found.ult())):
        if path is not None:
            _write(path, lines)
    if Path("-") in (starts, rst, ult):
        return
    metrics = found.metrics()
    document = {
        "trace": str(trace),
        "jobs": len(jobs),
        "processors": jobs.total_processors,
        "metrics": metrics,
        "notes": jobs.notes,
    }
    title = f"{len(jobs)} jobs on {jobs.total_processors} processors"
    rows = [(name, f"{value:.6g}", _UNITS[name]) for name, value in metrics.items()]
    output.result(document, table("METRIC", ">VALUE", "UNIT", rows=rows, title=title))


def _starts(schedule: Schedule) -> Iterable[str]:
    yield "job_id,start"
    for job, start in zip(schedule.jobs.ids.tolist(), schedule.start.tolist(), strict=True):
        yield f"{job},{int(start) if start.is_integer() else start}"


def _write(path: Path, lines: Iterable[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    if path == Path("-"):
        typer.echo(text, nl=False)
    else:
        path.write_text(text, encoding="utf-8")
