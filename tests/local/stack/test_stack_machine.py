"""A stack's life as Hypothesis likes it: apply, modify, crash, resume, destroy, in any order."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from infra_gym.settings import Settings
from infra_gym.stack import Stack

LAYERS = ["local/alpha", "local/beta"]
SIZES = st.integers(1, 3)


class Life(RuleBasedStateMachine):
    """What is known for sure is in ``up``; ``None``: a crash has left something, or nothing."""

    lives: ClassVar
    terraform: ClassVar
    layer_folder: ClassVar
    left_behind: ClassVar
    up: dict[str, int] | None

    def __init__(self) -> None:
        super().__init__()
        self.data_folder = Path(tempfile.mkdtemp(prefix="stack-machine-"))
        self.stack = Stack(
            layers=LAYERS,
            target="local",
            settings=Settings(data_folder=self.data_folder),
            project="p",
            environment="e",
            terraform=self.terraform,
            layer_folder=self.layer_folder,
        )
        self.expect({})

    def expect(self, resources: dict[str, int]) -> None:
        self.up = resources

    @rule(size=SIZES, replicas=SIZES)
    def apply(self, size: int, replicas: int) -> None:
        self.stack.apply(inputs={"alpha": {"size": size}, "beta": {"replicas": replicas}})
        self.expect({"local/alpha": size, "local/beta": replicas})

    @precondition(lambda self: self.up)
    @rule(replicas=SIZES)
    def modify(self, replicas: int) -> None:
        with self.stack:
            self.stack.apply_layer("beta", {"replicas": replicas}, refresh=False)
        self.expect({**self.up, "local/beta": replicas})

    @rule(
        action=st.sampled_from(["apply", "modify", "destroy"]),
        size=SIZES,
        point=st.integers(1, 60),
    )
    def crash(self, action: str, size: int, point: int) -> None:
        actions = {
            "apply": [["apply", {"alpha": {"size": size}}]],
            "modify": [["apply", {}], ["apply_layer", "beta", {"replicas": size}]],
            "destroy": [["destroy"]],
        }
        self.lives.run(self.data_folder, LAYERS, actions[action], die_at=point)
        self.up = None

    @precondition(lambda self: self.up is None)
    @rule()
    def resume(self) -> None:
        self.stack.apply()
        recorded = {one.layer: one.resources for one in self.stack.status().layers}
        assert all(recorded.values())
        self.expect(recorded)

    @rule()
    def destroy(self) -> None:
        assert self.stack.destroy() == ()
        assert self.left_behind(self.data_folder) == []
        self.expect({})

    @invariant()
    def status_tells_the_truth(self) -> None:
        status = self.stack.status()
        assert not status.owner_alive
        if self.up is None:
            return
        known = {one.layer: one for one in status.layers}
        for layer in LAYERS:
            expected = "applied" if layer in self.up else "absent"
            assert known[layer].status == expected
            assert known[layer].resources == self.up.get(layer, 0)

    def teardown(self) -> None:
        self.stack.destroy()
        assert self.left_behind(self.data_folder) == []
        shutil.rmtree(self.data_folder)


def run(machine_class, *, examples: int, steps: int, derandomize: bool) -> None:
    run_state_machine_as_test(
        machine_class,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=derandomize,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
def life(lives, terraform, layer_folder, left_behind):
    known = {
        "lives": lives,
        "terraform": terraform,
        "layer_folder": staticmethod(layer_folder),
        "left_behind": staticmethod(left_behind),
    }
    return type("BoundLife", (Life,), known)


@pytest.mark.slow
def test_a_short_life(life):
    run(life, examples=3, steps=5, derandomize=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_long_lives(life):
    run(life, examples=20, steps=12, derandomize=False)
