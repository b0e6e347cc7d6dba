"""The simulated function once more, slowly: an event queue, calls and replicas as objects.

Nothing is shared with the simulator but its rules: services are begun and ended one by one where
the simulator works with a recursion, and a call learns of its timeout when it comes.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra_gym.simulators.faas_rules import Rules

# One worker compiles, once, what all of these need.
pytestmark = pytest.mark.xdist_group("faas")


@dataclass(eq=False)
class Call:
    since: float
    draw: float
    over: bool = False


@dataclass(eq=False)
class Replica:
    number: int
    born: float
    ready: float
    gone: float = float("inf")
    queue: list = field(default_factory=list)
    serving: list = field(default_factory=list)  # (start, call)
    worked: float = 0.0  # by services that have ended


class ByEvents:
    def __init__(self, rules, arrivals, draws, replicas):
        self.rules = rules
        self.now = 0.0
        self.replicas = [Replica(number, 0.0, 0.0) for number in range(replicas)]
        self.leaving = []
        self.held = []
        self.in_flight = 0
        self.call_seconds = 0.0
        self.started = self.not_sent = self.cold_starts = self.begun = 0
        self.cold_start_seconds = 0.0
        self.ended = {"200": [], "429": [], "504": []}
        self._order = itertools.count()
        self._events = []
        for time, draw in zip(arrivals, draws, strict=True):
            self.at(time, self.arrive, Call(time, draw))

    def at(self, time, action, *arguments):
        heapq.heappush(self._events, (time, next(self._order), action, arguments))

    def run(self, until):
        while self._events and self._events[0][0] < until:
            time, _, action, arguments = heapq.heappop(self._events)
            self._pass(time)
            action(*arguments)
        self._pass(until)

    def _pass(self, time):
        self.call_seconds += self.in_flight * (time - self.now)
        self.now = time

    def scale(self, wanted):
        for replica in [r for r in self.replicas if r.number >= wanted]:
            self.replicas.remove(replica)
            if replica.born <= self.now:
                replica.gone = self.now + self.rules.drain_s
                self.leaving.append(replica)
        for number in range(len(self.replicas), wanted):
            before = [r for r in self.leaving if r.number == number]
            born = max([self.now, *(max(r.gone, self.last_end(r)) for r in before)])
            replica = Replica(number, born, born + self.rules.boot_s)
            self.replicas.append(replica)
            self.at(replica.ready, self.warm, replica)

    def last_end(self, replica):
        free = [start + self.rules.service_time_s for start, _ in replica.serving]
        last = max(free, default=0.0)
        heapq.heapify(free)
        for _ in replica.queue:
            last = heapq.heappop(free) + self.rules.service_time_s
            heapq.heappush(free, last)
        return last

    def arrive(self, call):
        if self.in_flight >= self.rules.max_in_flight:
            self.not_sent += 1
            return
        self.started += 1
        self.in_flight += 1
        self.at(call.since + self.rules.timeout_s, self.give_up, call)
        if not self.pass_on(call):
            self.held.append(call)

    def pass_on(self, call):
        ready = [r for r in self.replicas if r.ready <= self.now]
        if ready:
            self.accept(ready[int(call.draw * len(ready))], call)
        return bool(ready)

    def warm(self, replica):
        if replica in self.replicas:
            released, self.held = self.held, []
            for call in released:
                self.cold_starts += 1
                self.cold_start_seconds += self.now - call.since
                self.pass_on(call)

    def accept(self, replica, call):
        if len(replica.serving) < self.rules.slots:
            self.serve(replica, call)
        elif len(replica.queue) < self.rules.queue_limit:
            replica.queue.append(call)
        else:
            self.at(self.now + self.rules.overhead_s, self.end, call, "429")

    def serve(self, replica, call):
        self.begun += 1
        service = (self.now, call)
        replica.serving.append(service)
        self.at(self.now + self.rules.service_time_s, self.served, replica, service)

    def served(self, replica, service):
        replica.serving.remove(service)
        replica.worked += self.rules.service_time_s
        self.at(self.now + self.rules.overhead_s, self.end, service[1], "200")
        if replica.queue:
            self.serve(replica, replica.queue.pop(0))

    def give_up(self, call):
        if call in self.held:
            self.held.remove(call)
        self.end(call, "504")

    def end(self, call, code):
        if not call.over:
            call.over = True
            self.in_flight -= 1
            self.ended[code].append(self.now - call.since)

    def busy(self):
        """Slot-seconds worked so far, by number."""
        total = {}
        for replica in [*self.leaving, *self.replicas]:
            running = sum(self.now - start for start, _ in replica.serving)
            total[replica.number] = total.get(replica.number, 0.0) + replica.worked + running
        return total


@st.composite
def scenes(draw):
    seed = draw(st.integers(0, 10_000))
    rate = draw(st.floats(1, 25))
    rules = Rules(
        slots=draw(st.integers(1, 4)),
        queue_limit=draw(st.integers(0, 6)),
        # Odd numbers, so that no two things happen at exactly the same time.
        service_time_s=draw(st.sampled_from([0.1337, 0.5071, 1.0973])),
        timeout_s=draw(st.sampled_from([0.71113, 3.1717, 50.0])),
        max_in_flight=draw(st.sampled_from([5, 40, 512])),
        boot_s=draw(st.sampled_from([0.7301, 2.1907, 6.4447])),
        drain_s=draw(st.sampled_from([0.3119, 1.0303])),
        overhead_s=0.00357,
    )
    wanted = draw(st.lists(st.integers(0, 4), min_size=3, max_size=8))
    rng = np.random.default_rng(seed)
    seconds = 4.0 * len(wanted)
    arrivals = np.sort(rng.uniform(0, seconds, rng.poisson(rate * seconds)))
    return rules, arrivals, wanted, seed


@settings(max_examples=120, deadline=None)
@given(scene=scenes())
def test_it_does_what_a_model_by_events_does(function_class, scene):
    rules, arrivals, wanted, seed = scene
    simulated = function_class(rules, arrivals, replicas=wanted[0], max_replicas=4, seed=seed)
    draws = np.random.default_rng(seed).random(len(arrivals))
    model = ByEvents(rules, arrivals.tolist(), draws.tolist(), wanted[0])
    ended = {"200": 0, "429": 0, "504": 0}
    totals = dict.fromkeys(
        ("started", "not_sent", "cold_starts", "cold_start_seconds", "inflight_seconds", "cpu"), 0.0
    )
    seconds = dict.fromkeys(ended, 0.0)
    worked: dict[str, float] = {}
    for tick, replicas in enumerate(wanted, start=1):
        model.scale(replicas)
        model.run(4.0 * tick)
        counts = simulated.advance(4.0 * tick, replicas)
        for code in ended:
            ended[code] += counts.ended[code]
            seconds[code] += counts.seconds[code]
        for name in totals:
            totals[name] += getattr(counts, name, 0.0)
        for name, busy in counts.busy_s.items():
            worked[name] = worked.get(name, 0.0) + busy * rules.slots
        assert ended == {code: len(lasted) for code, lasted in model.ended.items()}
        assert counts.in_flight == model.in_flight
        assert counts.held == len(model.held)
        ready = {f"replica-{r.number}" for r in model.replicas if r.ready <= model.now}
        assert {name for name, up in counts.ready.items() if up} == ready
    assert totals["started"] == model.started
    assert totals["not_sent"] == model.not_sent
    assert totals["cold_starts"] == model.cold_starts
    assert totals["cold_start_seconds"] == pytest.approx(model.cold_start_seconds)
    assert totals["inflight_seconds"] == pytest.approx(model.call_seconds)
    assert sum(seconds.values()) == pytest.approx(sum(map(sum, model.ended.values())))
    for number, busy in model.busy().items():
        assert worked.get(f"replica-{number}", 0.0) == pytest.approx(busy)
