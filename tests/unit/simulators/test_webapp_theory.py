"""The twin against queueing theory: M/D/c, M/M/c, and loss systems with either service.

Each figure is measured in 20 independent runs with fixed seeds, each of 20,000 requests after a
warm-up that is not counted. Their mean is compared with theory; the tolerance is the half width of
its 99.9 % confidence interval, Student's t with 19 degrees of freedom: 3.883 standard errors.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from infra_gym.simulators.webapp import WebApp
from infra_gym.simulators.webapp_counts import BUCKETS_S
from infra_gym.simulators.webapp_parameters import WebAppParameters

# One worker compiles, once, what all of these need.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("webapp")]

RUNS, REQUESTS, LOOKS, T_999 = 20, 20_000, 300, 3.883
SERVICE_S = 0.1
BOUNDS_S = (0.1, 0.2, 0.3, 0.4, 0.5)
WIDEST = 0.02
"""No interval may be wider: a test that accepts everything shows nothing."""
NEARLY_ALL = 0.9999
"""What is rarer than one in ten thousand is too rare here for a normal distribution."""


def agrees(measured: list[float], expected: float, widest: float = WIDEST) -> bool:
    tolerance = T_999 * np.std(measured, ddof=1) / math.sqrt(len(measured))
    assert tolerance < widest
    return bool(abs(np.mean(measured) - expected) <= tolerance)


@functools.cache
def runs(load: float, slots: int, service: str, queue_limit: int = 10**6):
    """Of each run: shares of answers within BOUNDS_S, share of 503, mean number in flight."""
    found = []
    rate = load * slots / SERVICE_S
    warm_s, seconds = 4000 / rate, (4000 + REQUESTS) / rate
    for seed in range(RUNS):
        rng = np.random.default_rng([seed, slots])
        arrivals = np.sort(rng.uniform(0, seconds, rng.poisson(rate * seconds)))
        twin = WebApp(
            arrivals,
            replicas=1,
            max_replicas=1,
            slots=slots,
            service_time_s=SERVICE_S,
            service=service,
            queue_limit=queue_limit,
            timeout_s=1e5,
            max_in_flight=10**6,
            parameters=WebAppParameters(overhead_s=0.0),
            seed=seed,
        )
        twin.advance(warm_s, 1)
        # At odd distances, so that the looks are not in step with the services.
        looks = [twin.advance(at, 1) for at in np.linspace(warm_s, seconds, LOOKS + 1)[1:]]
        ended = np.sum([[look.requests["200"], look.requests["503"]] for look in looks], axis=0)
        within = [sum(look.within(bound) for look in looks) / ended[0] for bound in BOUNDS_S]
        in_flight = np.mean([look.in_flight for look in looks])
        found.append((within, ended[1] / ended.sum(), in_flight))
    return found


def crommelin(load: float, slots: int) -> np.ndarray:
    """Stationary number of requests in an M/D/c queue (Crommelin, 1932).

    Within one service time D all that was served leaves and nothing that arrives does, so the
    number seen every D is a chain: n' = max(n - c, 0) + Poisson(c * load).
    """
    size = 400
    mean = load * slots
    logs = np.arange(size) * math.log(mean) - mean
    arrive = np.exp(logs - np.array([math.lgamma(k + 1) for k in range(size)]))
    chance = np.full(size, 1 / size)
    for _ in range(3000):
        stays = np.concatenate(([chance[: slots + 1].sum()], chance[slots + 1 :]))
        chance = np.convolve(stays, arrive)[:size]
        chance /= chance.sum()
    return chance


def erlang_b(offered: float, slots: int) -> float:
    """Share of requests that find all slots busy, where nobody waits (Erlang, 1917)."""
    blocked = 1.0
    for slot in range(1, slots + 1):
        blocked = offered * blocked / (slot + offered * blocked)
    return blocked


def erlang_c(offered: float, slots: int) -> float:
    """Share of requests that wait in an M/M/c queue."""
    blocked = erlang_b(offered, slots)
    return blocked / (1 - offered / slots * (1 - blocked))


def sojourn_within(seconds: float, offered: float, slots: int) -> float:
    """Share of requests that are through an M/M/c queue in that time."""
    free = slots - 1 - offered
    services = seconds / SERVICE_S
    waits = erlang_c(offered, slots) * (1 - math.exp(-services * free)) / free
    return 1 - math.exp(-services) * (1 + waits)


CASES = [(0.5, 1), (0.8, 1), (0.6, 4), (0.8, 4)]


@pytest.mark.parametrize(("load", "slots"), CASES)
def test_constant_services_are_m_d_c(load, slots):
    within, _, in_flight = zip(*runs(load, slots, "constant"), strict=True)
    in_system = crommelin(load, slots)
    for services, measured in enumerate(zip(*within, strict=True), start=1):
        # Latency at most k D: fewer than k c requests were there on arrival.
        expected = in_system[: services * slots].sum()
        assert agrees(measured, expected) or expected > NEARLY_ALL
    assert agrees(in_flight, np.arange(len(in_system)) @ in_system, widest=0.3)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_one_slot_has_the_mean_of_pollaczek_and_khinchine(load):
    *_, in_flight = zip(*runs(load, 1, "constant"), strict=True)
    assert agrees(in_flight, load + load**2 / (2 * (1 - load)), widest=0.3)


@pytest.mark.parametrize(("load", "slots"), CASES)
def test_exponential_services_are_m_m_c(load, slots):
    within, _, in_flight = zip(*runs(load, slots, "exponential"), strict=True)
    offered = load * slots
    for bound, measured in zip(BOUNDS_S, zip(*within, strict=True), strict=True):
        assert agrees(measured, sojourn_within(bound, offered, slots), widest=0.03)
    mean = offered + erlang_c(offered, slots) * load / (1 - load)
    assert agrees(in_flight, mean, widest=0.6)


@pytest.mark.parametrize("service", ["constant", "exponential"])
def test_without_a_queue_the_loss_is_erlang_s_whatever_the_service(service):
    _, lost, _ = zip(*runs(0.9, 4, service, queue_limit=0), strict=True)
    assert agrees(lost, erlang_b(0.9 * 4, 4))


def test_latencies_are_told_in_the_siege_engine_s_buckets():
    assert set(BOUNDS_S) <= set(BUCKETS_S)
