"""From controls to applies, against a stack that is only said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra_gym.definitions.catalog import find_definition
from infra_gym.errors import LayerFailedError, TerraformError
from infra_gym.worlds.actuator import Actuator

HEATER = "k8s/heater"


class SaidStack:
    """Remembers applies; fails as it is told, one entry an apply."""

    def __init__(self) -> None:
        self.failures: list[str | None] = []
        self.applies: list[tuple[dict[str, Any], bool]] = []

    def acquire(self) -> None:
        pass

    def apply(self, layers=None, *, inputs, refresh=True) -> None:
        pass

    def apply_layer(self, layer: str, inputs: dict[str, Any], *, refresh: bool) -> None:
        assert layer == HEATER
        self.applies.append((dict(inputs), refresh))
        said = self.failures.pop(0) if self.failures else None
        if said is not None:
            raise LayerFailedError("heater failed") from TerraformError("x", diagnostics=[said])


@pytest.fixture
def stack() -> SaidStack:
    return SaidStack()


@pytest.fixture
def actuator(stack) -> Actuator:
    made = Actuator(
        find_definition("SimpleK8sWebApp-v0"), "k8s", stack, repair_after=1, patience_s=5
    )
    made.clear("soft")
    made.reset({"replicas": 2}, {})
    return made


def test_a_server_that_was_away_is_asked_again_and_looked_at(stack, actuator):
    stack.failures = ['Patch "https://c:6443/apis": net/http: TLS handshake timeout', None]
    actuator.submit({"replicas": 3})
    actuator.wait(10)
    assert stack.applies == [({"replicas": 3}, False), ({"replicas": 3}, True)]


def test_another_failure_is_told_at_once(stack, actuator):
    stack.failures = ['deployments.apps "heater" is forbidden: exceeded quota', None]
    actuator.submit({"replicas": 3})
    with pytest.raises(LayerFailedError, match="heater failed"):
        actuator.wait(10)
    assert len(stack.applies) == 1


def test_what_the_cluster_counts_otherwise_is_told_and_mended_by_a_refresh(stack, actuator):
    assert actuator.mismatches({"replicas": 2}, {"replicas": 5.0}) == {
        "replicas": {"wanted": 2.0, "existing": 5.0}
    }
    assert actuator.submit({"replicas": 2}) == [HEATER]
    actuator.wait(10)
    assert stack.applies == [({"replicas": 2}, True)]
    assert actuator.mismatches({"replicas": 2}, {"replicas": 2.0}) == {}
    assert actuator.submit({"replicas": 2}) == []


def test_a_count_that_nobody_took_is_no_difference(actuator):
    assert actuator.mismatches({"replicas": 2}, {}) == {}


POOL = "do/managed-k8s"


class SlowStack:
    """Remembers applies; those of the pool last until they are let go."""

    def __init__(self) -> None:
        self.applies: list[tuple[str, dict[str, Any]]] = []
        self.destroyed: list[list[str] | None] = []
        self.go = threading.Semaphore(0)

    def acquire(self) -> None:
        pass

    def apply(self, layers=None, *, inputs, refresh=True) -> None:
        pass

    def apply_layer(self, layer: str, inputs: dict[str, Any], *, refresh: bool) -> None:
        self.applies.append((layer, dict(inputs)))
        if layer == POOL:
            assert self.go.acquire(timeout=30)

    def destroy(self, layers: list[str] | None = None) -> None:
        self.destroyed.append(layers)

    def release(self) -> None:
        pass


@pytest.fixture
def slow() -> SlowStack:
    return SlowStack()


@pytest.fixture
def pool(slow) -> Iterator[Actuator]:
    made = Actuator(find_definition("NodePoolK8sWebApp-v0"), "do", slow)
    made.clear("soft")
    made.reset({"replicas": 3, "nodes": 1}, {})
    yield made
    slow.go.release(10)
    made.close(keep=True)


def until(true: Callable[[], bool]) -> None:
    """Wait for it, half a minute at most."""
    ends = time.monotonic() + 30
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_pool_that_grows_holds_up_nothing_and_its_newest_target_counts(slow, pool):
    pool.submit({"replicas": 3, "nodes": 2})
    assert pool.wait(0.01) == 0.0
    assert pool.pending == (POOL,)
    pool.submit({"replicas": 4, "nodes": 3})
    pool.submit({"replicas": 4, "nodes": 4})
    until(lambda: pool.pending == (POOL,))
    slow.go.release(2)
    pool.wait(30)
    assert pool.pending == ()
    assert [inputs for layer, inputs in slow.applies if layer == POOL] == [
        {"nodes": 2},
        {"nodes": 4},
    ]
    assert (HEATER, {"replicas": 4}) in slow.applies


def test_closing_waits_for_the_pool_and_forgets_what_was_queued(slow, pool):
    pool.submit({"replicas": 3, "nodes": 2})
    pool.submit({"replicas": 3, "nodes": 3})
    closing = threading.Thread(target=pool.close, kwargs={"keep": False})
    closing.start()
    until(lambda: not pool._applies._queued)
    slow.go.release()
    closing.join(30)
    assert [inputs for layer, inputs in slow.applies if layer == POOL] == [{"nodes": 2}]
    assert slow.destroyed == [None]


def test_a_reset_of_layers_leaves_the_cluster_below_them(slow, pool):
    pool.clear("layer")
    assert slow.destroyed == [["k8s/heater", "k8s/siege-engine"]]
