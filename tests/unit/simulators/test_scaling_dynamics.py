"""Scaling-v0's transition: a trace by hand, what always holds, and the random influx."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra_gym.errors import SettingsError
from infra_gym.simulators import scaling
from infra_gym.simulators.scaling import Rules

DEFAULTS = {
    "max_instances": 100.0,
    "min_instances": 2.0,
    "capacity_per_instance": 87,
    "change_rate": 1,
    "offset": 500,
    "cost_per_instance_per_hour": 0.192,
}


def begun(rules: Rules, series: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    state = np.zeros((scaling.FIELDS, 1))
    table = np.array([series], dtype=np.float64)
    array = rules.array(scaling.SERIES)
    scaling.begin(state, np.array([0]), np.array([0]), array, table)
    return state, array, table


def test_a_trace_by_hand():
    """Four instances of 10 at most, so 2 to begin with, and 20 messages a step."""
    rules = Rules(
        **DEFAULTS | {"max_instances": 4, "min_instances": 1, "capacity_per_instance": 10}
    )
    state, array, series = begun(rules, [20, 15, 29, 40, 0])
    assert state[: scaling.OBSERVATION, 0].tolist() == [0.5, 0.0, 20.0, 20.0, 0.0]
    steps = [
        # change, then: instances, load, capacity, influx, queue, reward
        (+1, [0.50, 0.75, 20.0, 15.0, 0.0], -0.25 * 0.5),
        (+1, [0.75, 1.00, 20.0, 29.0, 9.0], -9 / 10),
        (+1, [1.00, 1.00, 30.0, 40.0, 19.0], -19 / 20),
        (-4, [1.00, 0.48, 40.0, 0.0, 0.0], -0.52 * 1.0 - 0.1),  # a fifth cannot be
        (0, [1.00, 0.00, 40.0, 0.0, 0.0], -1.0 - 0.1),  # nor can none
        (0, [1.00, 0.00, 40.0, 0.0, 0.0], -1.0),
    ]
    for change, observation, reward in steps:
        got, ended, usd = scaling.step_one(state, change, array, series)
        assert state[: scaling.OBSERVATION, 0].tolist() == observation
        assert got == pytest.approx(reward, abs=1e-15)
        assert not ended
        assert usd == pytest.approx(observation[2] / 10 * 0.192 / 12)


def test_the_end_is_a_queue_of_more_than_ten_times_the_highest_influx():
    rules = Rules(**DEFAULTS)
    state, array, series = begun(rules, [0, 4350 + 43_500, 4351])
    assert scaling.step_one(state, 0, array, series)[1] is False
    assert state[scaling.QUEUE, 0] == 43_500
    assert scaling.step_one(state, 0, array, series)[1] is True


numbers = st.floats(0, 1e6, allow_subnormal=False)


@settings(deadline=None)  # the first example may compile
@given(
    instances=st.integers(1, 300),
    pending=st.integers(-400, 400),
    queue=numbers,
    influx=numbers,
    most=st.integers(2, 300),
    least=st.integers(1, 300),
    capacity=st.floats(0.01, 1e4),
)
def test_what_always_holds(instances, pending, queue, influx, most, least, capacity):
    after, share, load, total, left, reward = scaling.transition(
        float(instances), float(pending), queue, influx, float(most), float(least), capacity
    )
    assert total == instances * capacity
    assert left >= 0
    assert left == max(0.0, influx + queue - total)  # nothing is lost, nothing comes from nowhere
    assert 0 <= load <= 1
    assert load * 100 == pytest.approx(round(load * 100))
    assert after in (instances, instances + pending)
    assert (after == instances + pending) or not least <= instances + pending <= most
    assert share == after / most
    assert reward <= 0.0 or share > 1  # outside the bounds, only where an episode begins there


@given(key=st.integers(0, scaling.KEYS - 1), number=st.integers(0, scaling.KEYS - 1))
def test_draws_are_splitmix64(key, number):
    """Against Python's exact integers."""
    golden, mask = 0x9E3779B97F4A7C15, 2**64 - 1

    def mixed(word: int) -> int:
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & mask
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB & mask
        return word ^ (word >> 31)

    word = mixed((mixed((key + golden) & mask) + number * golden) & mask)
    assert scaling.uniform(float(key), float(number)) == (word >> 11) / 2**53


def test_random_influx_is_even_and_uncorrelated():
    values = np.array([scaling.random_influx(k, 7.0, 500.0, 4350.5) for k in np.arange(50_000.0)])
    assert values.min() == 500
    assert values.max() == 4350
    assert np.array_equal(values, np.round(values))
    counts, _ = np.histogram(values, bins=11, range=(500, 4351))  # 3851 levels = 11 times 350.1
    assert np.allclose(counts / len(values), 1 / 11, atol=0.006)
    centred = values - values.mean()
    for lag in (1, 2, 10):
        assert abs(np.mean(centred[lag:] * centred[:-lag])) < 0.02 * values.var()
    others = [scaling.random_influx(0.0, key, 500.0, 4350.0) for key in np.arange(20_000.0)]
    assert np.mean(others) == pytest.approx(2425, abs=40)


def test_sine_influx_is_numpys():
    """The original calls NumPy's sine, which may differ from the C library's in the last bit."""
    steps = np.arange(0.0, 200_000.0)
    expected = np.ceil((np.sin(steps * 0.01) + 1) * 4350 / 2)
    assert [scaling.sine_influx(step, 4350.0) for step in steps] == expected.tolist()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_instances", 1.9),
        ("max_instances", math.nan),
        ("max_instances", math.inf),
        ("max_instances", "many"),
        ("min_instances", 0),
        ("min_instances", -1),
        ("min_instances", None),
        ("capacity_per_instance", 0),
        ("capacity_per_instance", -87),
        ("capacity_per_instance", [87]),
        ("change_rate", 0),
        ("change_rate", 1.5),
        ("change_rate", True),
        ("offset", -1),
        ("offset", 0.5),
        ("cost_per_instance_per_hour", -0.1),
        ("cost_per_instance_per_hour", math.nan),
    ],
)
def test_a_number_that_cannot_be_is_refused(name, value):
    with pytest.raises(SettingsError, match=name):
        Rules(**DEFAULTS | {name: value})


def test_bounds_must_fit_each_other():
    with pytest.raises(SettingsError, match=r"at least min_instances \(20\)"):
        Rules(**DEFAULTS | {"max_instances": 10, "min_instances": 20})
    with pytest.raises(SettingsError, match="lower offset"):
        Rules(**DEFAULTS | {"max_instances": 10}).array(scaling.RANDOM)
    small = Rules(**DEFAULTS | {"max_instances": 10})
    assert small.array(scaling.SINE)[scaling.MAX_INFLUX] == small.max_influx == 435
