"""The jobs of a batch scheduling run, made of a trace by one of two sets of rules.

The rules differ where the two simulators that they come from differ, see :func:`scheduling_jobs`
(CQSim) and :func:`episode_jobs` (RLScheduler). What is dropped or changed is counted and told in
:attr:`BatchJobs.notes`; a job that can never run is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra_gym.errors import UsageError
from infra_gym.workloads.swf import SwfTrace

UNKNOWN_RUN_TIME_S = 10.0
"""The run time that :func:`episode_jobs` gives a job whose own is unknown, seconds."""


@dataclass(frozen=True, eq=False)
class BatchJobs:
    """Jobs in the order in which they arrive; arrays of shape (jobs,).

    Attributes:
        name: The trace's.
        ids: Job numbers, int64.
        submit: Seconds, float64.
        run: Seconds that they run, float64.
        requested: Seconds that they asked for, float64.
        processors: What they asked for, int64.
        nodes: What they take of the machine, in the units in which it is allocated, int64.
        total_nodes: What the machine has of those units.
        total_processors: What the machine has of processors.
        longest_run: The longest run time of any record, seconds.
        traits: Requested memory, user, group and executable over the largest of each, 1 where
            unknown; float64 of shape (jobs, 4).
        notes: What was dropped or changed, a sentence each.
    """

    name: str
    ids: NDArray[np.int64]
    submit: NDArray[np.float64]
    run: NDArray[np.float64]
    requested: NDArray[np.float64]
    processors: NDArray[np.int64]
    nodes: NDArray[np.int64]
    total_nodes: int
    total_processors: int
    longest_run: float
    traits: NDArray[np.float64]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


def scheduling_jobs(trace: SwfTrace, *, processors: int | None = None) -> BatchJobs:
    """The jobs of ``trace`` by CQSim's rules.

    A processor is a node. Requested processors and time are fields 8 and 9, where unknown fields 5
    and 4; a run time longer than requested is cut. Jobs without submit time, run time or processors
    are dropped. The rest arrive in order of submit time, as in the file at equal times, and the
    first at 0.

    Args:
        trace: The trace.
        processors: How many the machine has; default: the header MaxProcs, else MaxNodes.

    Raises:
        UsageError: No job is left, the machine's size is unknown, or a job is larger than it.
    """
    total = processors or trace.header("MaxProcs") or trace.header("MaxNodes")
    if total is None:
        raise _no_size(trace)
    asked, allocated = trace.field("requested processors"), trace.field("allocated processors")
    limit, run = trace.field("requested time"), trace.field("run time")
    submit = trace.field("submit time")
    size = np.where(asked > 0, asked, allocated)
    requested = np.where(limit > 0, limit, run)
    reasons = {
        "no submit time (field 2)": submit < 0,
        "no run time of a second or more (field 4)": run < 1,
        "no processors (fields 8 and 5)": size < 1,
        "a requested time below a second (field 9)": requested < 1,
    }
    keep, notes = _kept(trace, reasons)
    _refuse_larger(trace, keep, size, total, "processors")
    _note(notes, keep & (asked <= 0), "with the processors of field 5, for field 8 has none")
    _note(notes, keep & (limit <= 0), "with the requested time of field 4, for field 9 has none")
    _note(notes, keep & (run > requested), "cut to the requested time, for field 4 is longer")
    order = np.flatnonzero(keep)
    by_submit = order[np.argsort(submit[order], kind="stable")]
    _note(notes, by_submit != order, "sorted, for the file is not in order of submit times")
    nodes = size[by_submit].astype(np.int64)
    return BatchJobs(
        name=trace.name,
        ids=trace.field("job number")[by_submit].astype(np.int64),
        submit=submit[by_submit] - submit[by_submit[0]],
        run=np.minimum(run, requested)[by_submit],
        requested=requested[by_submit],
        processors=nodes,
        nodes=nodes,
        total_nodes=total,
        total_processors=total,
        longest_run=float(run.max()),
        traits=_traits(trace)[by_submit],
        notes=tuple(notes),
    )


def episode_jobs(trace: SwfTrace) -> BatchJobs:
    """The jobs of ``trace`` by RLScheduler's rules.

    Processors are the greater of fields 5 and 8, the requested time is field 9, where unknown the
    run time; an unknown run time becomes :data:`UNKNOWN_RUN_TIME_S`, a job whose run time is 0 is
    dropped, and none is cut. Jobs are in order of job number, submit times are the trace's own. The
    machine is allocated in nodes of MaxProcs / MaxNodes processors; each stands in for the other.

    Raises:
        UsageError: No job is left, the machine's size is unknown, or a job is larger than it.
    """
    max_nodes = trace.header("MaxNodes") or trace.header("MaxProcs")
    total = trace.header("MaxProcs") or max_nodes
    if max_nodes is None or total is None:
        raise _no_size(trace)
    run, limit = trace.field("run time"), trace.field("requested time")
    size = np.maximum(trace.field("allocated processors"), trace.field("requested processors"))
    keep, notes = _kept(
        trace,
        {
            "a run time of 0 (field 4)": run == 0,
            "no processors (fields 8 and 5)": size < 1,
            "no submit time (field 2)": trace.field("submit time") < 0,
        },
    )
    nodes = np.ceil(size / (total / max_nodes))
    _refuse_larger(trace, keep, nodes, max_nodes, "nodes")
    mended = np.where(run < 0, UNKNOWN_RUN_TIME_S, run)
    _note(
        notes,
        keep & (run < 0),
        f"with a run time of {UNKNOWN_RUN_TIME_S:g} s, for field 4 has none",
    )
    _note(notes, keep & (limit < 0), "with the requested time of field 4, for field 9 has none")
    ids = trace.field("job number")
    order = np.flatnonzero(keep)
    by_id = order[np.argsort(ids[order], kind="stable")]
    return BatchJobs(
        name=trace.name,
        ids=ids[by_id].astype(np.int64),
        submit=trace.field("submit time")[by_id].copy(),
        run=mended[by_id],
        requested=np.where(limit < 0, mended, limit)[by_id],
        processors=size[by_id].astype(np.int64),
        nodes=nodes[by_id].astype(np.int64),
        total_nodes=max_nodes,
        total_processors=total,
        longest_run=float(run.max()),
        traits=_traits(trace)[by_id],
        notes=tuple(notes),
    )


def _kept(
    trace: SwfTrace, reasons: Mapping[str, NDArray[np.bool_]]
) -> tuple[NDArray[np.bool_], list[str]]:
    """Which jobs have none of the ``reasons`` to be dropped, and a note on each that some have."""
    keep = np.ones(len(trace.records), dtype=np.bool_)
    notes = [_counted(count, f"dropped: {reason}") for reason, count in trace.dropped.items()]
    for reason, holds in reasons.items():
        _note(notes, keep & holds, f"dropped: {reason}")
        keep &= ~holds
    if not keep.any():
        raise UsageError(f"{trace.name}: no job is left. " + " ".join(notes))
    return keep, notes


def _note(notes: list[str], which: NDArray[np.bool_], what: str) -> None:
    if which.any():
        notes.append(_counted(int(which.sum()), what))


def _counted(count: int, what: str) -> str:
    return f"{count} {'job' if count == 1 else 'jobs'} {what}."


def _refuse_larger(
    trace: SwfTrace,
    keep: NDArray[np.bool_],
    size: NDArray[np.float64],
    total: int,
    unit: str,
) -> None:
    larger = np.flatnonzero(keep & (size > total))
    if len(larger):
        first = larger[0]
        raise UsageError(
            f"{trace.name}:{trace.lines[first]}: job {trace.field('job number')[first]:.0f} needs "
            f"{size[first]:.0f} {unit}, and the machine has {total}"
            f"{f' ({len(larger)} such jobs)' if len(larger) > 1 else ''}.",
            next_command="take such jobs out of the trace, or mend MaxProcs and MaxNodes",
        )


def _no_size(trace: SwfTrace) -> UsageError:
    return UsageError(
        f"{trace.name}: the machine's size is unknown, for the trace has no header MaxProcs or "
        "MaxNodes with a number above 0.",
        next_command="write a line such as '; MaxProcs: 256' at the head of the trace, or for "
        "`infra-gym batch simulate` add --processors 256",
    )


def _traits(trace: SwfTrace) -> NDArray[np.float64]:
    columns = []
    for name in ("requested memory", "user", "group", "executable"):
        values = trace.field(name)
        share = np.minimum(values / max(1.0, float(values.max())), 1.0 - 1e-5)
        columns.append(np.where(values < 0, 1.0, share))
    return np.stack(columns, axis=1)
