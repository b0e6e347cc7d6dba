"""Who tells where Prometheus and the siege engine answer."""

from __future__ import annotations

from infra_gym.definitions.catalog import find_definition
from infra_gym.worlds.services import PROMETHEUS, SENDER, Told, find_services


def test_layers_of_their_name_tell():
    layers = find_definition("SimpleK8sWebApp-v0").layers["k8s"]
    assert find_services(layers) == {
        PROMETHEUS: Told("k8s/prometheus", "url"),
        SENDER: Told("k8s/siege-engine", "url"),
    }


def test_a_layer_that_has_them_inside_tells():
    layers = find_definition("SwarmWebApp-v0").layers["do"]
    assert find_services(layers) == {
        PROMETHEUS: Told("do/swarm-manager", "prometheus_url"),
        SENDER: Told("do/swarm-manager", "siege_engine_url"),
    }


def test_what_nobody_tells_of_is_left_out():
    assert find_services(["local/core"]) == {}
