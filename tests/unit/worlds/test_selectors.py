"""Selectors mean what they mean to Prometheus."""

from __future__ import annotations

import pytest

from infra_gym.simulators.webapp_counts import BUCKETS_S, CODES
from infra_gym.worlds.selectors import Selector


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("requests", ("200", "503", "timeout", "dropped", "refused")),
        ('requests{code="200"}', ("200",)),
        ('requests{code=~"200|timeout"}', ("200", "timeout")),
        ('requests{code=~"5.."}', ("503",)),
        ('requests{code=~"[0-9]{3}"}', ("200", "503")),
        ('requests{code=~"2.{0,2}", }', ("200",)),
        ('requests{code=~".+"}', ("200", "503", "timeout", "dropped", "refused")),
        ('requests{code="2.."}', ()),
        ('requests{code=~"2."}', ()),
        ('requests{code=~"("}', ()),
    ],
)
def test_codes(text, codes):
    assert Selector.parse(text).codes(CODES) == codes


@pytest.mark.parametrize(
    ("matcher", "bucket"),
    [
        ('le="0.25"', 9),
        ('le="0.250"', 9),
        ('le=~"0[.]25|0.25"', 9),
        ('le="+Inf"', 20),
        ('le="0.26"', None),
        ('le=~"0[.].*"', None),
        ('code="200"', None),
    ],
)
def test_buckets(matcher, bucket):
    assert Selector.parse(f"requests_bucket{{{matcher}}}").bucket(BUCKETS_S) == bucket


@pytest.mark.parametrize(
    ("text", "takes"),
    [
        ("calls", True),
        ('calls{job="gateway"}', True),
        ('calls{job=~"gate.*", code="200"}', True),
        ('calls{job="function"}', False),
        ('calls{pod="a"}', False),
    ],
)
def test_the_labels_that_a_series_has(text, takes):
    assert Selector.parse(text).asks_only(job="gateway", code=None) is takes


@pytest.mark.parametrize("text", ["sum(requests)", 'requests{code!="200"}', "requests[5m]", ""])
def test_what_is_no_bare_selector(text):
    assert Selector.parse(text) is None
