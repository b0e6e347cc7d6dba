"""From controls to applies, against a stack that is only said."""

from __future__ import annotations

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
