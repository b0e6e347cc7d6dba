"""The meter of an account: from looks at what stands to dollars."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from infra_gym.cost import AccountMeter, Bill, Standing

T = datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp()
HOUR = 3600.0


def node(since: float | None, key: str = "node", rate: float = 0.04) -> Standing:
    return Standing(key, "a node", rate, since)


def test_a_thing_costs_from_its_beginning_until_the_look_that_misses_it() -> None:
    meter = AccountMeter()
    assert meter.look(T + 100, [node(T)])
    assert not meter.look(T + HOUR, [node(T)])
    assert meter.bill(T + HOUR).usd == pytest.approx(0.04)
    assert meter.look(T + 2 * HOUR, [])
    assert meter.bill(T + 9 * HOUR).usd == pytest.approx(0.08)
    assert meter.bill(T + 9 * HOUR).usd_per_hour == 0


def test_what_is_not_in_service_costs_nothing_and_waits() -> None:
    meter = AccountMeter()
    meter.look(T, [node(None)])
    bill = meter.bill(T + HOUR)
    assert (bill.usd, bill.usd_per_hour, bill.waiting) == (0, 0, 1)
    assert bill.reserve_usd(600) == 0.01


def test_what_went_before_it_was_seen_in_service_costs_a_cent() -> None:
    meter = AccountMeter()
    meter.look(T, [node(None)])
    meter.look(T + 60, [])
    assert meter.bill(T + HOUR) == Bill(usd=0.01, usd_per_hour=0, waiting=0)


def test_a_beginning_lies_between_the_two_looks_that_saw_it() -> None:
    meter = AccountMeter()
    meter.look(T, [node(None)])
    meter.look(T + 10, [node(T - 500)])  # the account tells nonsense
    meter.look(T + 20, [node(T + 15)])  # or touched it again
    (line,) = meter.lines
    assert line.since_s == T


@pytest.mark.parametrize(("seconds", "rate"), [(1, 0.04), (59, 0.04), (600, 0.04), (1, 0.5)])
def test_the_least_is_a_cent(seconds: float, rate: float) -> None:
    meter = AccountMeter()
    meter.look(T, [node(T, rate=rate)])
    meter.look(T + seconds, [])
    assert meter.bill(T + HOUR).usd == 0.01


def test_the_least_is_a_minute() -> None:
    meter = AccountMeter()
    meter.look(T, [node(T, rate=3.0)])
    meter.look(T + 1, [])
    assert meter.bill(T + HOUR).usd == pytest.approx(0.05)


def test_a_calendar_month_costs_672_hours_at_most() -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    meter = AccountMeter()
    meter.look(begin, [node(begin)])
    january = meter.bill(begin + 31 * 24 * HOUR).usd
    assert january == pytest.approx(672 * 0.04)
    # Three days more are February's first three.
    assert meter.bill(begin + 34 * 24 * HOUR).usd == pytest.approx(january + 72 * 0.04)


def test_another_price_begins_another_line() -> None:
    meter = AccountMeter()
    meter.look(T, [node(T)])
    meter.look(T + HOUR, [node(T, rate=0.08)])
    assert meter.bill(T + 2 * HOUR).usd == pytest.approx(0.12)
    assert meter.bill(T + 2 * HOUR).usd_per_hour == 0.08


def test_a_meter_goes_on_from_its_state() -> None:
    meter = AccountMeter()
    meter.look(T, [node(T), node(T, "gone")])
    meter.look(T + HOUR, [node(T)])
    again = AccountMeter(meter.state())
    again.look(T + 3 * HOUR, [node(T)])
    assert again.bill(T + 3 * HOUR).usd == pytest.approx(0.04 * 4)


def test_steps_add_up_to_the_bill() -> None:
    meter, steps, before = AccountMeter(), [], 0.0
    for tick in range(60):
        now = T + 60 * tick
        meter.look(now, [node(T), *([node(T + 1200, "second")] if 20 <= tick < 40 else [])])
        steps.append(meter.bill(now).usd - before)
        before += steps[-1]
    assert min(steps) >= 0
    assert sum(steps) == pytest.approx(meter.bill(T + 60 * 59).usd)
