"""What the siege engine makes of answers, and what it tells Prometheus."""

from __future__ import annotations

import re

import pytest

from infra_gym.apps.siege_engine import ControlError, Replicas, Tally, whole_answer


@pytest.mark.parametrize(
    ("answer", "ended", "code"),
    [
        (b"", True, None),
        (b"HTTP/1.1 200 OK\r\n", True, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwar", False, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwar", True, None),
        (b"HTTP/1.1 200 OK\r\ncontent-length:4\r\n\r\nwarm", False, "200"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", False, "503"),
        (b"HTTP/1.0 200 OK\r\n\r\nwarm", False, None),
        (b"HTTP/1.0 200 OK\r\n\r\nwarm", True, "200"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", True, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", True, None),
    ],
)
def test_an_answer_counts_when_it_is_whole(answer, ended, code):
    assert whole_answer(answer, ended=ended) == code


def test_every_usual_code_is_there_from_the_start():
    lines = Tally().lines()
    for code in ("200", "503", "timeout", "dropped", "refused"):
        assert f'siege_requests_total{{code="{code}"}} 0' in lines
        assert f'siege_request_duration_seconds_count{{code="{code}"}} 0' in lines


def test_counter_and_histogram_agree():
    tally = Tally()
    for code, latency in [("200", 0.25), ("200", 0.2501), ("timeout", 5.0), ("418", 0.1)]:
        tally.end(code, latency)
    lines = tally.lines()
    assert 'siege_requests_total{code="200"} 2' in lines
    assert 'siege_request_duration_seconds_bucket{code="200",le="0.25"} 1' in lines
    assert 'siege_request_duration_seconds_bucket{code="200",le="+Inf"} 2' in lines
    assert 'siege_request_duration_seconds_sum{code="200"} 0.5001' in lines
    assert 'siege_request_duration_seconds_bucket{code="timeout",le="5.0"} 1' in lines
    assert 'siege_requests_total{code="418"} 1' in lines
    sample = re.compile(r'[a-z_]+(\{([a-z]+="[^"]*",?)+\})? [0-9.e+-]+')
    assert all(line.startswith("# TYPE ") or sample.fullmatch(line) for line in lines)


@pytest.mark.parametrize(
    "url",
    ["https://a:1", "127.0.0.1:80", "http://:80", "http://a:x", "http://a:1-", "http://a:9-1"],
)
def test_a_target_that_cannot_be_is_refused(url):
    with pytest.raises(ControlError, match="target"):
        Replicas(url)
