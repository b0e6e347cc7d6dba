"""The web app's twin against an independent recursion and cases by hand."""

from __future__ import annotations

import bisect
import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra_gym.errors import UsageError
from infra_gym.simulators.draws import uniform
from infra_gym.simulators.webapp import WebApp, draw_keys
from infra_gym.simulators.webapp_counts import BUCKETS_S
from infra_gym.simulators.webapp_parameters import WebAppParameters

# One worker compiles, once, what all of these need.
pytestmark = pytest.mark.xdist_group("webapp")

REAL = [field.name for field in fields(WebAppParameters)]


def web_app(arrivals_s, **arguments) -> WebApp:
    """A twin, whose :class:`WebAppParameters` are given among the rest; changes come at once."""
    real = {name: arguments.pop(name) for name in REAL if name in arguments}
    return WebApp(arrivals_s, parameters=WebAppParameters(**{"apply_s": 0.0} | real), **arguments)


def poisson(rate: float, seconds: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(0, seconds, rng.poisson(rate * seconds)))


def kiefer_wolfowitz(arrivals, replica_of, slots, service, queue_limit):
    """Latencies (``None``: rejected) by the ordered vector of the slots' remaining work.

    Another form than the twin's: the vector of Kiefer and Wolfowitz, aged at each arrival. Work
    that waits is whole services, so the number waiting follows from what lies in the vector.
    """
    work = {replica: np.zeros(slots) for replica in set(replica_of)}
    last = dict.fromkeys(work, 0.0)
    latencies = []
    for now, replica in zip(arrivals, replica_of, strict=True):
        aged = np.sort(np.maximum(work[replica] - (now - last[replica]), 0.0))
        last[replica] = now
        in_system = int(np.sum(np.ceil(np.round(aged / service, 9))))
        if in_system >= slots + queue_limit:
            latencies.append(None)
        else:
            latencies.append(aged[0] + service)
            aged[0] += service
        work[replica] = aged
    return latencies


def histogram(latencies) -> list[int]:
    ascending = sorted(latency - 1e-9 for latency in latencies)
    return [bisect.bisect_right(ascending, bound) for bound in BUCKETS_S]


@settings(max_examples=40, deadline=None)
@given(
    rate=st.floats(5, 120),
    slots=st.integers(1, 5),
    replicas=st.integers(1, 4),
    queue_limit=st.integers(0, 20),
    service=st.floats(0.01, 0.3),
    seed=st.integers(0, 1000),
)
def test_latencies_and_rejections_equal_an_independent_recursion(
    rate, slots, replicas, queue_limit, service, seed
):
    arrivals = poisson(rate, 10.0, seed)
    twin = web_app(
        arrivals,
        replicas=replicas,
        slots=slots,
        service_time_s=service,
        queue_limit=queue_limit,
        timeout_s=1e6,
        max_in_flight=10**6,
        overhead_s=0.0,
        seed=seed,
    )
    counts = twin.advance(1e5, replicas)
    key = draw_keys(seed)[0]
    draws = np.array([uniform(int(key), number) for number in range(len(arrivals))])
    expected = kiefer_wolfowitz(
        arrivals, (draws * replicas).astype(int).tolist(), slots, service, queue_limit
    )
    served = [latency for latency in expected if latency is not None]
    assert counts.latencies["200"] == histogram(served)
    assert counts.requests["503"] == len(expected) - len(served)
    assert counts.requests["timeout"] == counts.requests["dropped"] == 0
    assert sum(counts.busy_s.values()) == pytest.approx(len(served) * service / slots)
    assert counts.in_flight == 0


def test_added_replicas_shorten_the_wait():
    arrivals = poisson(76, 200, seed=1)
    shares = []
    for replicas in (2, 3, 4, 6):
        counts = WebApp(arrivals, replicas=replicas).advance(200, replicas)
        shares.append(counts.within(0.25) / sum(counts.requests.values()))
    assert shares == sorted(shares)
    assert shares[0] < 0.9 < 0.99 < shares[-1]


def one_by_one(**parameters) -> WebApp:
    """One replica with one slot and no queue, a request each 0.1 s served for 0.95 s."""
    defaults = {
        "replicas": 1,
        "slots": 1,
        "service_time_s": 0.95,
        "queue_limit": 0,
        "overhead_s": 0.0,
    }
    return web_app(np.arange(20) * 0.1, **(defaults | parameters))


def test_a_request_counts_at_its_end_and_a_full_queue_answers_503():
    twin = one_by_one()
    first = twin.advance(0.5, 1)
    assert first.requests == {"200": 0, "503": 4, "timeout": 0, "dropped": 0, "refused": 0}
    assert first.in_flight == 1
    assert first.busy_s == {"replica-0": pytest.approx(0.5)}
    second = twin.advance(1.2, 1)
    assert second.requests["200"] == 1
    assert (second.within(0.75), second.within(1.0)) == (0, 1)
    assert second.requests["503"] == 6  # at 0.5 to 0.9, and at 1.1
    assert (second.since_s, second.until_s) == (0.5, 1.2)
    assert second.busy_s == {"replica-0": pytest.approx(0.45 + 0.2)}


def test_borders_belong_to_what_ends_and_what_is_ready():
    """An end at a tick counts before it, an arrival after it; a replica ready then takes it."""
    twin = web_app(
        np.array([0.0, 0.5]),
        replicas=0,
        slots=1,
        service_time_s=0.5,
        boot_s=0.5,
        overhead_s=0.0,
    )
    counts = twin.advance(1.0, 1)
    assert (counts.requests["refused"], counts.requests["200"]) == (1, 1)
    assert counts.in_flight == 0
    assert WebApp(np.array([1.0]), replicas=1).advance(1.0, 1).in_flight == 0


def test_the_client_gives_up_after_its_timeout_and_the_work_is_done_all_the_same():
    twin = one_by_one(timeout_s=0.5)
    counts = twin.advance(0.95, 1)
    assert counts.requests["timeout"] == 1
    assert [counts.within(bound, "timeout") for bound in (0.4, 0.5)] == [0, 1]
    assert counts.busy_s["replica-0"] == pytest.approx(0.95)


def test_requests_past_the_cap_are_dropped():
    counts = one_by_one(queue_limit=64, max_in_flight=3).advance(0.9, 1)
    assert counts.requests["dropped"] == 6
    assert counts.in_flight == 3


def test_without_a_ready_replica_requests_are_refused_and_boots_take_time():
    twin = one_by_one(replicas=0, boot_s=0.55, queue_limit=64)
    assert twin.advance(0.2, 0).requests["refused"] == 2
    booting = twin.advance(0.7, 2)
    assert booting.requests["refused"] == 5
    assert booting.ready == {"replica-0": False, "replica-1": False}
    assert booting.started_s == {"replica-0": 0.2, "replica-1": 0.2}
    up = twin.advance(1.0, 2)
    assert up.requests["refused"] == 1  # at 0.7: they are ready at 0.75
    assert up.ready == {"replica-0": True, "replica-1": True}
    assert up.in_flight == 2


def test_the_highest_number_drains_and_loses_nothing_in_flight():
    twin = web_app(
        np.array([0.0] * 8 + [1.0] * 8),
        replicas=2,
        slots=8,
        service_time_s=2.0,
        boot_s=0.5,
        drain_s=0.25,
        overhead_s=0.0,
        seed=5,
    )
    twin.advance(0.5, 2)
    draining = twin.advance(0.7, 1)
    assert draining.ready == {"replica-0": True, "replica-1": False}
    gone = twin.advance(1.5, 1)
    assert gone.ready == {"replica-0": True}
    assert gone.busy_s["replica-1"] > 0  # it finishes what it has
    successor = twin.advance(1.9, 2)  # waits until the drained one has ended, at 2.0
    assert successor.ready == {"replica-0": True}
    done = twin.advance(10.0, 2)
    assert done.started_s["replica-1"] == 2.0
    assert done.ready == {"replica-0": True, "replica-1": True}
    assert done.requests["200"] == 16
    assert done.busy_s["replica-1"] == pytest.approx(0.1 * gone.busy_s["replica-1"] / 0.8)


def test_a_successor_that_is_taken_back_before_it_starts_never_existed():
    twin = one_by_one(drain_s=5.0, replicas=2)
    twin.advance(1.0, 1)
    twin.advance(2.0, 2)
    assert twin.advance(3.0, 1).ready == {"replica-0": True, "replica-1": False}
    assert twin.advance(20.0, 1).ready == {"replica-0": True}


def test_steps_sum_to_the_run_whatever_their_length():
    arrivals = poisson(80, 60, seed=2)
    whole = WebApp(arrivals, replicas=2, seed=1)
    at_once = whole.advance(1000.0, 2)
    stepped = WebApp(arrivals, replicas=2, seed=1)
    parts = [stepped.advance(until, 2) for until in [*np.arange(0.7, 60, 0.7), 1000.0]]
    for code, counts in at_once.latencies.items():
        assert counts == [
            sum(column) for column in zip(*(p.latencies[code] for p in parts), strict=True)
        ]
    assert sum(at_once.requests.values()) == len(arrivals)
    for name, seconds in at_once.busy_s.items():
        assert seconds == pytest.approx(sum(part.busy_s[name] for part in parts))


def test_one_seed_makes_one_run():
    def run(seed):
        twin = WebApp(poisson(60, 30, seed=4), replicas=2, seed=seed)
        return [twin.advance(until, 2 + int(until) % 3) for until in range(2, 30, 2)]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_a_schedule_with_a_length_repeats_and_one_without_ends():
    arrivals = np.array([0.0, 0.25])
    ends = WebApp(arrivals, replicas=1).advance(10.0, 1)
    repeats = WebApp(arrivals, replicas=1, schedule_s=0.5).advance(10.05, 1)
    assert ends.requests["200"] == 2
    assert repeats.requests["200"] + repeats.in_flight == 41
    assert WebApp(np.array([]), replicas=1, schedule_s=5.0).advance(9.0, 1).in_flight == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"arrivals_s": np.array([1.0, 0.5])},
        {"arrivals_s": np.array([-1.0])},
        {"arrivals_s": np.array([0.0, math.nan])},
        {"schedule_s": 0.1},
        {"schedule_s": 0.0},
        {"slots": 0},
        {"service_time_s": 0.0},
        {"timeout_s": math.nan},
        {"queue_limit": -1},
        {"replicas": -1},
        {"boot_s": -0.1},
        {"drain_s": math.nan},
        {"service_time_factor": 0.0},
        {"service": "uniform"},
        {"replicas": 5, "max_replicas": 4},
        {"queue_limit": 10**9},
    ],
)
def test_wrong_parameters_are_refused(wrong):
    parameters = {"arrivals_s": np.array([0.0, 0.2]), "replicas": 1} | wrong
    with pytest.raises(UsageError):
        web_app(**parameters)


@pytest.mark.parametrize(("until", "replicas"), [(0.5, 1), (math.nan, 1), (math.inf, 1), (2.0, -1)])
def test_wrong_steps_are_refused(until, replicas):
    twin = one_by_one()
    twin.advance(1.0, 1)
    with pytest.raises(UsageError, match=r"stands at 1\.0 s|-1 replicas"):
        twin.advance(until, replicas)


def test_only_a_bucket_s_bound_can_be_asked_for():
    counts = one_by_one().advance(1.0, 1)
    with pytest.raises(UsageError, match="bucket"):
        counts.within(0.26)
