"""What a stack will cost, from what its layers say and what an agent may do."""

from __future__ import annotations

import pytest

from infra_gym.cost import LISTED, Estimate
from infra_gym.cost.estimate import part
from infra_gym.definitions.billed import BilledThing, billed_things
from infra_gym.definitions.catalog import find_layer, layer_names
from infra_gym.errors import DefinitionError, SettingsError
from infra_gym.terraform.hcl import read_module

DO = [name for name in layer_names() if name.startswith("do/")]
BILLED_RESOURCES = {
    "digitalocean_droplet": "droplet",
    "digitalocean_kubernetes_cluster": "node",
    "digitalocean_kubernetes_node_pool": "node",
    "digitalocean_loadbalancer": "load_balancer",
    "digitalocean_volume": "volume",
}
VALUES = {"size": "s-2vcpu-4gb", "nodes": 2, "ha": True, "name": "x"}


def made(thing: BilledThing, bounds=None):
    return part("do/x", thing, VALUES, bounds or {}, LISTED)


def test_an_agents_bounds_are_a_range():
    thing = BilledThing(kind="node", size="size", count="nodes + 1")
    assert (made(thing).low, made(thing).high) == (3, 3)
    free = made(thing, {"nodes": (1, 5)})
    assert (free.low, free.high, free.what) == (2, 6, "node s-2vcpu-4gb")


def test_a_condition_is_a_number():
    ha = made(BilledThing(kind="ha", count="ha"))
    assert (ha.high, ha.usd_per_hour) == (1, 40 / 672)


def test_a_volume_costs_by_its_size():
    found = made(BilledThing(kind="volume", gib="nodes * 10"))
    assert found.usd_per_hour == pytest.approx(20 * 0.10 / 672)


@pytest.mark.parametrize(
    ("thing", "error", "words"),
    [
        (BilledThing(kind="node", size="name"), SettingsError, "'x' has no price"),
        (BilledThing(kind="node", size="nodes"), DefinitionError, "nodes holds no size"),
        (BilledThing(kind="ha", count="other"), DefinitionError, "other has no number"),
    ],
    ids=["price", "size", "number"],
)
def test_what_cannot_be_known_is_told(thing, error, words):
    with pytest.raises(error, match=words):
        made(thing)


def test_an_episode_costs_its_steps_at_least_and_everything_at_most():
    thing = BilledThing(kind="node", size="size", count="nodes")
    found = Estimate((made(thing, {"nodes": (1, 3)}),), source="here", episode_s=3600)
    low, high = found.episode_usd
    assert low == pytest.approx(0.03571)
    assert high == pytest.approx(3 * 0.03571 * (3600 + 480 + 600) / 3600)
    assert found.usd_per_month == pytest.approx((0.03571 * 672, 3 * 0.03571 * 672))


def test_a_moment_costs_a_cent_for_each_thing():
    thing = BilledThing(kind="node", size="size", count="nodes")
    found = Estimate((made(thing),), source="here", episode_s=1)
    assert found.episode_usd == (0.02, pytest.approx(2 * 0.03571 * 1081 / 3600))


@pytest.mark.parametrize("layer", DO)
def test_every_layer_tells_all_that_is_billed(layer):
    folder = find_layer(layer)
    text = "".join(file.read_text() for file in folder.glob("*.tf"))
    things = billed_things(folder)
    assert things is not None, f"{layer} has no cost.yaml"
    for resource, kind in BILLED_RESOURCES.items():
        blocks = text.count(f'resource "{resource}"')
        told = sum(thing.kind == kind for thing in things)
        assert told >= blocks or (kind == "node" and told >= 1), (layer, resource)
    variables = read_module(folder).variables
    named = {thing.size for thing in things if thing.size}
    assert named <= variables.keys()
