from __future__ import annotations

import threading

import pytest

from infra_gym.errors import LayerFailedError
from infra_gym.worlds.applies import BackgroundApplies, Job


class Gate:
    """An apply that waits until it is let through, and remembers what it was asked."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.seen: list[Job] = []

    def __call__(self, job: Job) -> None:
        self.seen.append(job)
        if not self.open.wait(10):
            raise TimeoutError


def test_the_newest_target_replaces_a_queued_one():
    gate = Gate()
    applies = BackgroundApplies(gate)
    for replicas in (3, 4, 5):
        applies.submit(Job("local/heater", {"replicas": replicas}))
    assert applies.pending == ("local/heater",)
    gate.open.set()
    assert applies.wait(10)
    assert [job.inputs["replicas"] for job in gate.seen] == [3, 5]
    assert applies.pending == ()


def test_layers_do_not_wait_for_each_other():
    gate = Gate()
    done = threading.Event()

    def apply(job: Job) -> None:
        if job.layer == "do/pool":
            gate(job)
        else:
            done.set()

    applies = BackgroundApplies(apply)
    applies.submit(Job("do/pool", {}))
    applies.submit(Job("k8s/heater", {}))
    assert done.wait(10)
    assert not applies.wait(0.01)
    gate.open.set()
    assert applies.wait(10)


def test_a_failure_is_raised_once_and_drops_what_was_queued():
    gate = Gate()

    def apply(job: Job) -> None:
        gate(job)
        raise LayerFailedError("no room")

    applies = BackgroundApplies(apply)
    applies.submit(Job("local/heater", {"replicas": 3}))
    applies.submit(Job("local/heater", {"replicas": 4}))
    gate.open.set()
    assert applies.wait(10)
    with pytest.raises(LayerFailedError, match="no room"):
        applies.raise_failure()
    applies.raise_failure()
    assert len(gate.seen) == 1


def test_a_thread_that_cannot_be_started_is_not_awaited(monkeypatch):
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    applies = BackgroundApplies(lambda job: None)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        applies.submit(Job("local/heater", {}))
    assert applies.wait(0.1)


def test_the_longest_apply_is_told_once():
    applies = BackgroundApplies(lambda job: None)
    applies.submit(Job("local/heater", {}))
    assert applies.wait(10)
    assert applies.take_seconds() > 0
    assert applies.take_seconds() == 0


def test_a_failure_that_nobody_raised_is_told_to_the_reset():
    def apply(job: Job) -> None:
        raise LayerFailedError("no room")

    applies = BackgroundApplies(apply)
    applies.submit(Job("local/heater", {}))
    assert applies.wait(10)
    assert applies.forget_failures()
    assert not applies.forget_failures()
