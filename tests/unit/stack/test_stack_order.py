import pytest

from infra_gym.errors import DefinitionError
from infra_gym.stack.order import Order, Progress, on_top


def walk(order: Order) -> list[list[str]]:
    """The layers that could run at once, when each takes as long."""
    progress, groups = Progress(order), []
    while ready := progress.start_ready():
        groups.append(ready)
        for layer in ready:
            progress.done(layer)
    return groups


WEB = Order(
    ["local/core", "local/heater", "local/siege-engine", "local/prometheus"],
    {
        "local/heater": ["local/core"],
        "local/siege-engine": ["local/heater", "local/core"],
        "local/prometheus": ["local/core"],
    },
)


def test_independent_layers_run_at_once():
    assert walk(WEB) == [
        ["local/core"],
        ["local/heater", "local/prometheus"],
        ["local/siege-engine"],
    ]


def test_destroying_goes_the_other_way():
    assert walk(WEB.reversed()) == [
        ["local/prometheus", "local/siege-engine"],
        ["local/heater"],
        ["local/core"],
    ]


def test_a_part_waits_only_for_what_is_in_it():
    assert walk(WEB.only({"local/siege-engine", "local/prometheus"})) == [
        ["local/siege-engine", "local/prometheus"]
    ]


def test_a_layer_waits_for_all_of_another_provider_before_it():
    order = Order(
        ["do/core", "do/cluster", "k8s/core", "k8s/app"],
        {"do/cluster": ["do/core"], "k8s/app": ["k8s/core"]},
    )
    assert walk(order) == [["do/core"], ["do/cluster"], ["k8s/core"], ["k8s/app"]]
    assert walk(order.reversed()) == [["k8s/app"], ["k8s/core"], ["do/cluster"], ["do/core"]]


def test_wiring_may_turn_the_declared_order_round():
    order = Order(["do/dns", "k8s/app"], {"do/dns": ["k8s/app"]})
    assert walk(order) == [["k8s/app"], ["do/dns"]]


def test_a_failure_blocks_what_waits_for_it():
    progress = Progress(WEB)
    progress.start_ready()
    progress.done("local/core")
    assert progress.start_ready() == ["local/heater", "local/prometheus"]
    progress.done("local/prometheus")  # the heater has failed
    assert progress.start_ready() == []
    assert progress.waiting == ("local/siege-engine",)


def test_a_circle_is_told():
    with pytest.raises(DefinitionError, match=r"in a circle: \S+ -> \S+ -> \S+"):
        Order(["x/a", "x/b"], {"x/a": ["x/b"], "x/b": ["x/a"]})


def test_an_unknown_layer_is_told():
    with pytest.raises(DefinitionError, match="Did you mean 'x/heater'"):
        Order(["x/heater", "x/b"], {"x/b": ["x/haeter"]})


def test_on_top_is_what_carries_no_layer_of_another_provider():
    assert on_top(["do/core", "do/managed-k8s", "k8s/core", "k8s/heater"]) == [
        "k8s/core",
        "k8s/heater",
    ]
    assert on_top(["do/core", "do/swarm-worker"]) == ["do/core", "do/swarm-worker"]
