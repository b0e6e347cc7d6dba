"""The compiled twin against an independent model: plain Python, one event after another."""

from __future__ import annotations

import bisect
import heapq
import math
from collections import Counter, deque
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra_gym.simulators.webapp import WebApp, draw_keys
from infra_gym.simulators.webapp_counts import BUCKETS_S, CODES
from infra_gym.simulators.webapp_parameters import WebAppParameters

# One worker compiles, once, what all of these need.
pytestmark = pytest.mark.xdist_group("webapp")


def splitmix64(key: int, number: int) -> float:
    golden, mask = 0x9E3779B97F4A7C15, 2**64 - 1

    def mixed(word):
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & mask
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB & mask
        return word ^ (word >> 31)

    return (mixed((mixed((key + golden) & mask) + number * golden) & mask) >> 11) / 2**53


class Replica:
    def __init__(self, number, wished, boot, predecessor=None):
        self.number, self.wished, self.boot, self.predecessor = number, wished, boot, predecessor
        self.gone = math.inf
        self.serving, self.waiting, self.last_end = 0, deque(), 0.0

    @property
    def started(self):
        return self.wished if self.predecessor is None else max(self.wished, self.predecessor.free)

    @property
    def ready(self):
        return self.started + self.boot

    @property
    def free(self):
        return math.inf if self.serving else max(self.gone, self.last_end)


class Model:
    """Every slot, queue and request is there, and every end is an event."""

    def __init__(self, arrivals, *, replicas, schedule, slots, service, exponential, limit,
                 timeout, cap, parameters, seed):  # fmt: skip
        self.arrivals, self.schedule = arrivals, schedule
        self.slots, self.service, self.exponential = slots, service, exponential
        self.limit, self.timeout, self.cap = limit, timeout, cap
        self.real = parameters
        self.keys = [int(key) for key in draw_keys(seed)]
        self.now, self.sent = 0.0, 0
        self.replicas = [Replica(number, 0.0, 0.0) for number in range(replicas)]
        self.all = list(self.replicas)
        self.events, self.order = [], 0
        self.open, self.in_time = set(), set()
        self.counted, self.services = Counter(), []

    def advance(self, until, wanted):
        since, self.counted = self.now, Counter()
        if wanted != len(self.replicas):
            self.run(min(self.now + self.real.apply_s, until))
            self.scale(wanted)
        self.run(until)
        return since

    def run(self, until):
        while self.next_arrival() < until:
            self.happen(self.next_arrival())
            self.now = self.next_arrival()
            self.send()
            self.sent += 1
        self.happen(until)
        self.now = until

    def next_arrival(self):
        lap, index = divmod(self.sent, max(1, len(self.arrivals)))
        if not len(self.arrivals) or (lap and self.schedule is None):
            return math.inf
        offset = 0.0
        for _ in range(lap):
            offset += self.schedule
        return self.arrivals[index] + offset

    def happen(self, until):
        while self.events and self.events[0][0] <= until:
            self.now, _, happens, *about = heapq.heappop(self.events)
            happens(*about)

    def at(self, time, happens, *about):
        self.order += 1
        heapq.heappush(self.events, (time, self.order, happens, *about))

    def send(self):
        ready = [replica for replica in self.replicas if replica.ready <= self.now]
        number = self.sent
        if len(self.open) >= self.cap:
            self.count("dropped", 0.0)
        elif not ready:
            self.count("refused", 0.0)
        else:
            self.open.add(number)
            replica = ready[int(splitmix64(self.keys[0], number) * len(ready))]
            service = self.service * self.real.service_time_factor
            if self.exponential:
                service *= -math.log1p(-splitmix64(self.keys[1], number))
            if replica.serving < self.slots:
                self.serve(replica, number, self.now, service)
            elif len(replica.waiting) < self.limit:
                replica.waiting.append((number, self.now, service))
                self.at(self.now + self.timeout, self.give_up, number)
            else:
                self.answer(number, self.now, "503", self.real.overhead_s)

    def serve(self, replica, number, sent, service):
        replica.serving += 1
        end = self.now + service
        self.services.append((replica.number, self.now, end))
        self.at(end, self.done, replica)
        latency = end + self.real.overhead_s - sent
        if latency <= self.timeout + 1e-9:  # the client does not give up at that very moment
            self.in_time.add(number)
            self.answer(number, sent, "200", latency)
        elif number in self.open:
            self.at(sent + self.timeout, self.give_up, number)

    def done(self, replica):
        replica.serving -= 1
        replica.last_end = self.now
        if replica.waiting:
            self.serve(replica, *replica.waiting.popleft())

    def answer(self, number, sent, code, latency):
        self.at(sent + latency, self.end, number, code, latency)

    def give_up(self, number):
        if number not in self.in_time:
            self.end(number, "timeout", self.timeout)

    def end(self, number, code, latency):
        if number in self.open:
            self.open.remove(number)
            self.count(code, latency)

    def count(self, code, latency):
        self.counted[code, bisect.bisect_left(BUCKETS_S, latency - 1e-9)] += 1

    def scale(self, wanted):
        while len(self.replicas) > wanted:
            replica = self.replicas.pop()
            if replica.started > self.now:
                self.all.remove(replica)
            else:
                replica.gone = self.now + self.real.drain_s
        while len(self.replicas) < wanted:
            number = len(self.replicas)
            before = [replica for replica in self.all if replica.number == number]
            last = before[-1] if before else None
            self.replicas.append(Replica(number, self.now, self.real.boot_s, last))
            self.all.append(self.replicas[-1])

    def seen(self):
        return {
            f"replica-{each.number}": (
                each.ready <= self.now and each.gone == math.inf,
                each.started,
            )
            for each in self.all
            if each.started <= self.now < each.gone
        }

    def busy(self, since, number):
        inside = (
            max(0.0, min(end, self.now) - max(start, since))
            for of, start, end in self.services
            if of == number
        )
        return math.fsum(inside) / self.slots


GRID = 1 / 64
"""Sums of its multiples are exact, so that ends, arrivals, boots and ticks often coincide."""


def times(most):
    return st.one_of(
        st.integers(0, int(most / GRID)).map(lambda number: number * GRID), st.floats(0, most)
    )


def positive(most):
    return times(most).filter(lambda number: number > 1e-3)


@st.composite
def cases(draw):
    seconds = draw(st.integers(2, 12))
    rate = draw(st.sampled_from([0, 3, 20, 100]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    arrivals = np.sort(rng.uniform(0, seconds, rng.poisson(rate * seconds)))
    if draw(st.booleans()):
        arrivals = np.floor(arrivals / GRID) * GRID
    return {
        "arrivals": arrivals,
        "steps": draw(st.lists(st.tuples(times(4), st.integers(0, 4)), min_size=1, max_size=12)),
        "replicas": draw(st.integers(0, 4)),
        "schedule": draw(st.sampled_from([None, float(seconds)])),
        "slots": draw(st.integers(1, 4)),
        "service": draw(positive(1.0)),
        "exponential": draw(st.booleans()),
        "limit": draw(st.integers(0, 6)),
        "timeout": draw(positive(2.0)),
        "cap": draw(st.sampled_from([0, 1, 5, 30, 512])),
        "seed": draw(st.integers(0, 1000)),
        "parameters": WebAppParameters(
            overhead_s=draw(times(0.1)),
            boot_s=draw(times(2.0)),
            drain_s=draw(times(3.0)),
            service_time_factor=draw(st.sampled_from([1.0, 0.5, 1.3])),
            apply_s=draw(times(2.0)),
        ),
    }


def both(case) -> tuple[WebApp, Model]:
    rest = {name: value for name, value in case.items() if name != "steps"}
    return compiled(**rest), Model(**rest)


def compiled(arrivals, *, schedule, service, exponential, limit, timeout, cap, **rest) -> WebApp:
    return WebApp(
        arrivals,
        max_replicas=4,
        schedule_s=schedule,
        service_time_s=service,
        service="exponential" if exponential else "constant",
        queue_limit=limit,
        timeout_s=timeout,
        max_in_flight=cap,
        **rest,
    )


@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_the_compiled_twin_counts_what_the_model_counts(case):
    twin, model = both(case)
    now = 0.0
    for seconds, replicas in case["steps"]:
        now += seconds
        since = model.advance(now, replicas)
        counts = twin.advance(now, replicas)
        assert (counts.since_s, counts.until_s) == (since, now)
        assert counts.latencies == {
            code: list(accumulate(model.counted[code, bucket] for bucket in range(len(BUCKETS_S))))
            for code in CODES
        }
        assert counts.in_flight == len(model.open)
        seen = model.seen()
        assert counts.ready == {name: ready for name, (ready, _) in seen.items()}
        assert counts.started_s == {name: started for name, (_, started) in seen.items()}
        for number in range(4):
            busy = counts.busy_s.get(f"replica-{number}", 0.0)
            assert busy == pytest.approx(model.busy(since, number), abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(case=cases())
def test_every_request_is_counted_once(case):
    twin, _ = both(case)
    ends = np.cumsum([seconds for seconds, _ in case["steps"]])
    ended = 0
    for now, (_, replicas) in zip(ends, case["steps"], strict=True):
        counts = twin.advance(float(now), replicas)
        ended += sum(counts.requests.values())
    laps = int(ends[-1] // case["schedule"]) + 1 if case["schedule"] else 1
    sent = sum(
        np.count_nonzero(case["arrivals"] + lap * (case["schedule"] or 0.0) < ends[-1])
        for lap in range(laps)
    )
    assert ended + counts.in_flight == sent


@settings(max_examples=30, deadline=None)
@given(case=cases())
def test_one_seed_makes_one_run(case):
    runs = []
    for _ in range(2):
        twin, _ = both(case)
        ends = np.cumsum([seconds for seconds, _ in case["steps"]])
        runs.append(
            [
                twin.advance(float(now), replicas)
                for now, (_, replicas) in zip(ends, case["steps"], strict=True)
            ]
        )
    assert runs[0] == runs[1]
