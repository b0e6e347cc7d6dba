"""Knative's autoscaler on cases worked out from its documented algorithm."""

from __future__ import annotations

import gymnasium as gym
import pytest

import infra_gym  # noqa: F401 - registers the environments
from infra_gym.agents import make_agent
from infra_gym.agents.knative import KnativeScaler, KnativeSettings, ScaleToZero, Window
from infra_gym.errors import MetricsError, UsageError

# One replica is to have a concurrency of 7.
TEN = KnativeSettings(target=10)


@pytest.mark.parametrize(
    ("stable", "panic", "ready", "wanted"),
    [
        (0.0, 0.0, 1, 0),  # idle
        (0.1, 0.0, 1, 1),
        (7.0, 7.0, 1, 1),
        (7.1, 7.1, 1, 2),  # panic: wants 2 = 200 % of 1
        (13.0, 13.0, 2, 2),
        (21.0, 21.0, 2, 3),  # 150 %: no panic
        (7.0, 28.0, 2, 4),  # panic: the burst's number
        (35.0, 28.0, 2, 5),  # panic: never below the stable number
        (1.0, 1.0, 9, 4),  # at most halved
        (0.0, 0.0, 9, 4),
        (0.0, 0.0, 3, 1),
        (0.0, 0.0, 0, 0),  # nothing ready counts as one
        (30.0, 30.0, 0, 5),
        (10_000.0, 10_000.0, 1, 1000),  # at most 1000-fold
    ],
)
def test_the_number_wanted(stable, panic, ready, wanted):
    scaler = KnativeScaler(TEN, ready=1, now_s=0.0)
    assert scaler.wanted(stable, panic, ready, 2.0) == wanted


def test_the_target_is_seven_tenths_and_at_least_one():
    assert KnativeSettings().per_replica == pytest.approx(70)
    assert KnativeSettings(target=2).per_replica == pytest.approx(1.4)
    assert KnativeSettings(target=1).per_replica == 1


def test_panic_holds_for_a_stable_window_and_never_scales_down():
    scaler = KnativeScaler(TEN, ready=1, now_s=0.0)
    assert scaler.wanted(7, 70, 2, 10.0) == 10
    assert scaler.panicking
    assert scaler.wanted(7, 7, 10, 12.0) == 10  # the burst is over
    assert scaler.wanted(84, 84, 10, 30.0) == 12  # more is still given
    assert scaler.wanted(7, 7, 12, 70.0) == 12  # exactly a stable window since 10: not yet over
    assert scaler.wanted(7, 7, 12, 70.1) == 6
    assert not scaler.panicking


def test_a_burst_in_panic_prolongs_it():
    scaler = KnativeScaler(TEN, ready=1, now_s=0.0)
    scaler.wanted(7, 70, 2, 10.0)
    scaler.wanted(7, 280, 10, 60.0)
    assert scaler.wanted(7, 7, 40, 119.0) == 40
    assert scaler.wanted(7, 7, 40, 121.0) == 20


def test_with_several_replicas_it_begins_in_panic():
    scaler = KnativeScaler(TEN, ready=5, now_s=0.0)
    assert scaler.wanted(0, 0, 5, 30.0) == 5
    assert scaler.wanted(0, 0, 5, 61.0) == 2


def test_zero_takes_an_active_window_and_the_grace_period():
    to_zero = ScaleToZero(TEN, now_s=0.0)
    assert to_zero.limit(3, 1, 2.0) == 3
    assert to_zero.limit(0, 3, 40.0) == 1  # active for less than a stable window
    assert to_zero.limit(0, 1, 60.0) == 1  # idle from here
    assert to_zero.limit(0, 1, 89.0) == 1
    assert to_zero.limit(0, 1, 90.0) == 0
    assert to_zero.limit(1, 0, 95.0) == 1  # woken: active again
    assert to_zero.limit(0, 1, 100.0) == 1
    assert to_zero.limit(0, 1, 155.0) == 1
    assert to_zero.limit(0, 1, 185.0) == 0


def test_a_window_weighs_what_lies_in_it():
    window = Window(60.0)
    window.add(0.0, 30.0, 4.0)
    assert window.mean == 4.0
    window.add(30.0, 60.0, 8.0)
    assert window.mean == 6.0
    window.add(60.0, 75.0, 0.0)
    assert window.mean == pytest.approx((15 * 4 + 30 * 8) / 60)
    short = Window(6.0)
    short.add(0.0, 30.0, 4.0)
    short.add(30.0, 60.0, 8.0)
    assert short.mean == 8.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target", 0),
        ("utilisation", 1.5),
        ("panic_window_s", 0),
        ("stable_window_s", 5),
        ("panic_threshold", 1),
        ("max_scale_up_rate", 1),
        ("max_scale_down_rate", 0.5),
        ("grace_s", -1),
        ("grace_s", float("inf")),
    ],
)
def test_a_number_that_cannot_be_is_refused(name, value):
    with pytest.raises(UsageError, match=name):
        make_agent("knative", **{name: value})


class Env:
    """What the agent reads of an environment."""

    def __init__(self, **arguments):
        self.inner = gym.make("FaaSScaling-v0", target="sim", action="absolute", **arguments)
        self.unwrapped = self.inner.unwrapped


def told(time_s, concurrency, ready, *, empty=()):
    return {
        "time_s": time_s,
        "controls": {"replicas": ready},
        "metrics": {"concurrency": concurrency, "ready": float(ready)},
        "empty": list(empty),
    }


def test_the_agent_reads_slots_concurrency_and_the_modelled_clock():
    agent = make_agent("knative")
    agent.reset(1, Env())
    assert agent.act(None, told(0.0, 0.0, 1)) == 0  # nothing is known yet: keep 1
    # 2 slots: 1.4 each. 1.4 for the stable and the panic window alike.
    assert agent.act(None, told(30.0, 1.4, 1)) == 0
    # Stable (1.4 + 4.1) / 2 = 2.75: 2; panic 4.1: 3, 300 % of 1.
    assert agent.act(None, told(60.0, 4.1, 1)) == 2
    # Still in panic: not down.
    assert agent.act(None, told(90.0, 0.0, 3)) == 2
    # Never below the control's bound.
    for turn in range(8):
        action = agent.act(None, told(120.0 + 30 * turn, 0.0, 1))
    assert action == 0


def test_what_is_not_measured_is_an_error_and_no_zero():
    agent = make_agent("knative", target=2)
    agent.reset(1, Env())
    agent.act(None, told(0.0, 0.0, 1))
    with pytest.raises(MetricsError, match="no concurrency"):
        agent.act(None, told(30.0, 0.0, 1, empty=["concurrency"]))


def test_an_environment_without_concurrency_is_refused():
    with (
        gym.make("SimpleK8sWebApp-v0", target="sim") as env,
        pytest.raises(UsageError, match="concurrency"),
    ):
        make_agent("knative").reset(1, env)
