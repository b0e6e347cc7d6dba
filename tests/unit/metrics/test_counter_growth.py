"""The steps' differences sum to the run's, whatever the series do and however time is cut."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra_gym.errors import MetricsError
from infra_gym.metrics import Counters, Growth, Series

# One series' life: for every scrape, None (no sample) or how much was counted since the scrape
# before, and whether the program started anew in between.
life = st.lists(
    st.one_of(st.none(), st.tuples(st.integers(0, 1000), st.booleans())), min_size=1, max_size=30
)


def series_of(name: str, samples: dict[float, float]) -> Series:
    return Series({"instance": name}, tuple(samples), tuple(samples.values()))


def scraped(events: list[tuple[int, bool] | None]) -> dict[float, float]:
    """The samples of a life; scrape number n lies at second n."""
    value, samples = 0, {}
    for second, event in enumerate(events):
        if event is not None:
            grown, restarted = event
            value = grown if restarted else value + grown
            samples[float(second)] = float(value)
    return samples


def expected_rise(samples: dict[float, float], base: float | None) -> float:
    """What Prometheus's ``increase`` adds up, without its extrapolation, from a base."""
    total, before = 0.0, base if base is not None else 0.0
    for value in samples.values():
        total += value - before if value >= before else value
        before = value
    return total


def advance_all(counters: Counters, series: list[Series], step_s: float = 10.0) -> list[Growth]:
    growths = counters.growths(series, step_s=step_s)
    counters.rebase(series)
    return growths


@given(
    lives=st.lists(life, min_size=1, max_size=4),
    cuts=st.sets(st.integers(0, 31), max_size=8),
    lookback=st.integers(0, 5),
    late=st.integers(0, 2),
)
def test_the_steps_sum_to_the_run(
    lives: list[list[tuple[int, bool] | None]], cuts: set[int], lookback: int, late: int
) -> None:
    counters = Counters()
    everything = {str(number): scraped(events) for number, events in enumerate(lives)}
    counters.rebase(
        series_of(name, {0.0: samples[0.0]})
        for name, samples in everything.items()
        if 0.0 in samples
    )
    total, last = 0.0, 0.0
    for at in [*sorted(cuts - {0}), 40]:
        # Samples of the last ``late`` seconds are not visible yet; a later reading finds them.
        window = {
            name: {
                t: v
                for t, v in samples.items()
                if last - lookback - late < t <= at - late * (at < 40)
            }
            for name, samples in everything.items()
        }
        growths = advance_all(
            counters,
            [series_of(name, samples) for name, samples in window.items() if samples],
            at - last,
        )
        total += sum(growth.difference for growth in growths)
        last = float(at)
    assert total == pytest.approx(
        sum(
            expected_rise({t: v for t, v in samples.items() if t > 0}, samples.get(0.0))
            for samples in everything.values()
        )
    )


def advance(counters: Counters, samples: dict[float, float], step_s: float = 10.0):
    (growth,) = advance_all(counters, [series_of("a", samples)], step_s)
    return growth


def test_a_rate_divides_by_the_samples_own_times() -> None:
    counters = Counters()
    counters.rebase([series_of("a", {0.4: 100.0})])
    growth = advance(counters, {4.4: 160.0, 9.4: 190.0})
    assert growth.difference == 90
    assert growth.rate == growth.own_rate == pytest.approx(10.0)


def test_a_new_series_begins_at_zero_and_counts_over_the_whole_step() -> None:
    counters = Counters()
    counters.rebase([])
    growth = advance(counters, {7.0: 6.0, 9.0: 10.0})
    assert (growth.difference, growth.rate, growth.own_rate) == (10.0, 1.0, 2.0)


def test_a_new_series_with_one_sample_has_no_rate_of_its_own() -> None:
    counters = Counters()
    counters.rebase([])
    assert advance(counters, {9.0: 5.0}).own_rate is None


def test_two_restarts_in_one_step_lose_nothing_that_was_scraped() -> None:
    counters = Counters()
    counters.rebase([series_of("a", {0.0: 50.0})])
    assert advance(counters, {2.0: 60.0, 4.0: 5.0, 6.0: 9.0, 8.0: 2.0}).difference == 10 + 9 + 2


def test_a_replica_under_an_old_name_is_not_averaged_over_its_absence() -> None:
    counters = Counters()
    counters.rebase([series_of("a", {0.0: 50.0})])
    growth = advance(counters, {301.0: 0.25, 303.0: 1.25})
    assert growth.difference == 1.25
    assert growth.own_rate == pytest.approx(0.5)


def test_a_target_that_was_out_of_reach_brings_back_only_what_it_counted_since() -> None:
    counters = Counters()
    counters.rebase([series_of("a", {0.0: 50.0})])
    assert advance_all(counters, []) == []
    counters.rebase([])
    assert advance(counters, {25.0: 80.0}).difference == 30


def test_a_series_without_a_later_sample_says_nothing() -> None:
    counters = Counters()
    counters.rebase([series_of("a", {5.0: 50.0})])
    assert advance_all(counters, [series_of("a", {4.0: 45.0, 5.0: 50.0})]) == []


def test_vanished_series_are_told_once() -> None:
    counters = Counters()
    a, b = series_of("a", {1.0: 1.0}), series_of("b", {9.0: 1.0})
    assert counters.vanished([a, b], since=0.0) == []
    assert counters.vanished([a, b], since=5.0) == [{"instance": "a"}]
    assert counters.vanished([b], since=5.0) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_what_no_counter_can_have_is_an_error(value: float) -> None:
    with pytest.raises(MetricsError, match="which no counter has"):
        Counters().growths([series_of("a", {1.0: value})], step_s=1)
