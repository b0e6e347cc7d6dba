"""What the compiled twin measures, against its counts and Prometheus's way with histograms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infra_gym.definitions.catalog import find_definition
from infra_gym.metrics import quantile_of_rising
from infra_gym.simulators.webapp import WebApp
from infra_gym.simulators.webapp_counts import BUCKETS_S, CODES
from infra_gym.worlds.measures import WebAppMeasures

DEFINITION = find_definition("SimpleK8sWebApp-v0")
TIMEOUT_S, OVERHEAD_S, STARVED_S = 0.9, 0.008, 5.0

# One worker compiles, once, what all of these need.
pytestmark = pytest.mark.xdist_group("webapp")


def expected(counts, seconds) -> dict[str, float]:
    requests = counts.requests

    def quantile(share: float) -> float:
        rising = np.array(counts.latencies["200"]) + counts.latencies["timeout"]
        if rising[-1]:
            return quantile_of_rising(share, BUCKETS_S, rising.tolist())
        return STARVED_S if any(requests.values()) else 0.0

    return {
        "requests": sum(requests.values()),
        "ok": requests["200"],
        "within_slo": counts.within(0.25),
        "request_rate": sum(requests.values()) / seconds,
        "latency_p50": quantile(0.5),
        "latency_p95": quantile(0.95),
        "backlog": counts.in_flight,
        "existing": len(counts.ready),
        "ready": sum(counts.ready.values()),
        "busy": math.fsum(counts.busy_s.values()) / seconds,
    }


@pytest.mark.parametrize(
    ("rate", "max_in_flight"), [(0.2, 512), (60, 512), (150, 512), (150, 40)],
    ids=["idle", "busy", "full", "capped"],
)  # fmt: skip
def test_they_are_what_the_counts_say(rate, max_in_flight):
    rng = np.random.default_rng(1)
    arrivals = np.sort(rng.uniform(0, 60, int(60 * rate)))
    rest = {"timeout_s": TIMEOUT_S, "max_in_flight": max_in_flight, "seed": 3, "max_replicas": 4}
    counted, measured = (WebApp(arrivals, replicas=2, **rest) for _ in range(2))
    measures = WebAppMeasures(DEFINITION, timeout_s=TIMEOUT_S)
    asked, seen = measures.asked(OVERHEAD_S), set()
    for step in range(1, 25):
        replicas = int(rng.integers(0, 5))
        counts = counted.advance(2.5 * step, replicas)
        values, by_label, empty = measures.single(measured.measure(2.5 * step, replicas, asked))
        assert values == pytest.approx(expected(counts, 2.5), rel=1e-12)
        assert by_label["replica_ready"] == {name: float(up) for name, up in counts.ready.items()}
        assert by_label["replica_started"] == counts.started_s
        for name, share in by_label["replica_utilisation"].items():
            assert share == counts.busy_s[name] / 2.5
        assert ("latency_p95" in empty) == (sum(counts.requests.values()) == 0)
        seen |= {code for code in CODES if counts.requests[code]}
    assert "200" in seen
    assert ("dropped" in seen) == (max_in_flight == 40)
