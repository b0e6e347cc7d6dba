"""The heater without a network: slots, queue, refusals, accounting."""

from __future__ import annotations

import heapq
import statistics

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra_gym.apps.heater import Heater, TimedWork, read_arguments, service_of


def heater_of(loop, *, slots=2, service=1.0, queue_limit=2, ready=True):
    work = TimedWork(loop, slots, lambda: service)
    return Heater(loop, slots=slots, queue_limit=queue_limit, work=work, ready=ready)


def serve_at(loop, heater, times):
    """Serve arrivals at ``times`` (s from now, ascending); returns (status, end) of each."""
    begin = loop.now
    ends = {}
    for index, arrival in enumerate(times):
        loop.advance(begin + arrival - loop.now)
        heater.serve(lambda status, index=index: ends.update({index: (status, loop.now - begin)}))
    loop.advance(1000)
    return [ends[index] for index in range(len(times))]


def first_come_first_served(times, slots, service):
    """When each request ends: Kiefer and Wolfowitz's recursion."""
    free = [0.0] * slots
    ends = []
    for arrival in times:
        end = max(arrival, heapq.heappop(free)) + service
        heapq.heappush(free, end)
        ends.append(end)
    return ends


@given(
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=30),
    slots=st.integers(1, 4),
    service=st.floats(0.01, 2),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_serves_first_come_first_served(loop, gaps, slots, service):
    times = [sum(gaps[: index + 1]) for index in range(len(gaps))]
    served = serve_at(loop, heater_of(loop, slots=slots, service=service, queue_limit=99), times)
    assert {status for status, _ in served} == {200}
    assert [end for _, end in served] == pytest.approx(
        first_come_first_served(times, slots, service)
    )


def test_a_late_loop_delays_no_later_request(loop):
    heater = heater_of(loop, slots=1)
    ends = []
    for _ in range(3):
        heater.serve(lambda _: ends.append(loop.now - 1000.0))
    loop.advance(10, late=0.25)
    assert ends == [1.25, 2.25, 3.25]


def test_refuses_when_the_queue_is_full(loop):
    statuses = [status for status, _ in serve_at(loop, heater_of(loop), [0, 0, 0, 0, 0, 1.0])]
    assert statuses == [200, 200, 200, 200, 503, 200]


def test_counts_each_request_once_and_busy_time_as_it_passes(loop):
    heater = heater_of(loop)
    for _ in range(5):
        heater.serve(lambda _: None)
    loop.advance(0.5)
    lines = heater.metrics().splitlines()
    assert "heater_busy_slots 2" in lines
    assert "heater_queue_length 2" in lines
    assert "heater_busy_seconds_total 0.5" in lines
    loop.advance(100)
    lines = heater.metrics().splitlines()
    assert 'heater_requests_total{code="200"} 4' in lines
    assert 'heater_requests_total{code="503"} 1' in lines
    assert "heater_request_duration_seconds_count 4" in lines
    assert "heater_request_duration_seconds_sum 6.0" in lines
    assert 'heater_request_duration_seconds_bucket{le="1.0"} 2' in lines
    assert "heater_busy_seconds_total 2.0" in lines


def test_takes_no_work_while_it_boots(loop):
    heater = heater_of(loop, ready=False)
    assert serve_at(loop, heater, [0.0]) == [(503, 0.0)]
    assert "heater_ready 0" in heater.metrics().splitlines()


@pytest.mark.parametrize(
    "arguments",
    [["--slots", "0"], ["--queue-limit", "-1"], ["--service-time", "-1"], ["--work", "sleep"], []],
)
def test_wrong_arguments_are_refused(arguments, capsys):
    port = ["--port", "1"] if arguments else []
    with pytest.raises(SystemExit) as caught:
        read_arguments([*port, *arguments])
    assert caught.value.code == 2
    assert "--" in capsys.readouterr().err


def test_exponential_services_have_the_mean_and_follow_the_seed():
    draw, again, other = (service_of("exponential", 0.1, seed) for seed in (1, 1, 2))
    drawn = [draw() for _ in range(20_000)]
    assert drawn == [again() for _ in range(20_000)] != [other() for _ in range(20_000)]
    # Four standard errors: 0.1 / sqrt(n) of the mean, 0.1 * sqrt(2 / n) of the deviation.
    assert statistics.fmean(drawn) == pytest.approx(0.1, abs=0.004)
    assert statistics.stdev(drawn) == pytest.approx(0.1, abs=0.004)
    assert service_of("constant", 0.1, 1)() == 0.1


def test_services_of_other_lengths_still_take_the_slot_that_is_free_first(loop):
    lengths = iter([3.0, 1.0, 1.0, 1.0])
    heater = Heater(loop, slots=2, queue_limit=9, work=TimedWork(loop, 2, lambda: next(lengths)))
    assert [end for _, end in serve_at(loop, heater, [0.0] * 4)] == [3.0, 1.0, 2.0, 3.0]
