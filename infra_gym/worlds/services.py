"""Which layers' outputs tell where Prometheus and the siege engine of a stack answer.

A layer of that name says so by its output ``url``; a layer that has them inside, as a swarm's
manager has, by ``prometheus_url`` and ``siege_engine_url``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infra_gym.definitions.catalog import find_layer
from infra_gym.definitions.models import short_name
from infra_gym.terraform.hcl import read_module

PROMETHEUS = "prometheus"
SENDER = "siege-engine"


@dataclass(frozen=True)
class Told:
    """An output of a layer, by its full name."""

    layer: str
    output: str


def find_services(layers: Sequence[str]) -> dict[str, Told]:
    """By :data:`PROMETHEUS` and :data:`SENDER`, who tells; what no layer tells of is left out."""
    found = {}
    for service in (PROMETHEUS, SENDER):
        inside = f"{service.replace('-', '_')}_url"
        for layer in layers:
            if short_name(layer) == service:
                found[service] = Told(layer, "url")
            elif inside in read_module(find_layer(layer)).outputs:
                found[service] = Told(layer, inside)
    return found
