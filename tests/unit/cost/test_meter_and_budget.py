from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra_gym.cost import Budget, Meter
from infra_gym.definitions.parts import Prices
from infra_gym.errors import SettingsError

METER = Meter(Prices(replica_usd_per_hour=0.018))


def test_replicas_are_paid_for_by_the_hour() -> None:
    assert METER.cost_usd(4, 3600) == pytest.approx(0.072)
    assert METER.cost_usd(10, 60) == pytest.approx(0.003)
    assert METER.cost_usd(0, 60) == METER.cost_usd(5, 0) == 0


@given(st.floats(0, 1000), st.floats(0, 1e6), st.floats(0, 1e6))
def test_steps_cost_what_the_run_costs(replicas: float, one: float, other: float) -> None:
    assert METER.cost_usd(replicas, one) + METER.cost_usd(replicas, other) == pytest.approx(
        METER.cost_usd(replicas, one + other)
    )


@pytest.mark.parametrize(("replicas", "seconds"), [(-1, 1), (1, -1)])
def test_nothing_is_paid_back(replicas: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        METER.cost_usd(replicas, seconds)


def test_no_limit() -> None:
    assert Budget().exceeded(usd=1e9, seconds=1e9) is None


def test_what_the_end_costs_is_kept() -> None:
    budget = Budget(usd=1.5)
    assert budget.exceeded(usd=1.2, seconds=0, reserve_usd=0.29) is None
    told = budget.exceeded(usd=1.2, seconds=0, reserve_usd=0.31)
    assert told == "budget spent: $1.2000 of $1.5, and $0.3100 are kept for the end"


def test_limits_hold_until_they_are_reached() -> None:
    budget = Budget(usd=1.5, seconds=600)
    assert budget.exceeded(usd=1.49, seconds=599.9) is None
    assert budget.exceeded(usd=1.5, seconds=0) == "budget spent: $1.5000 of $1.5"
    assert budget.exceeded(usd=0, seconds=612) == "time used up: 612 of 600 s"


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan")])
def test_a_limit_is_positive(wrong: float) -> None:
    with pytest.raises(SettingsError, match="budget_usd"):
        Budget(usd=wrong)
    with pytest.raises(SettingsError, match="max_seconds"):
        Budget(seconds=wrong)
