"""In which order layers are applied and destroyed. Pure.

A layer waits for others for two reasons only:

1. *Wiring.* One of its variables takes an output of the other.
2. *Providers.* In the declared order, a layer of one provider that follows layers of another waits
   for all of those: a Kubernetes layer needs the whole cluster that the cloud's layers make, though
   it reaches it by a kubeconfig and not by a variable.

That is a graph. A layer may start as soon as all it waits for are done, so layers that do not wait
for each other run at the same time, and the whole takes as long as the longest chain. Where several
may start, the declared order decides. Destroying walks the same graph with every arrow turned
round: a layer waits for those that use it.

When a layer fails, all that wait for it, directly or through others, are *blocked* and do not run;
the rest goes on. Two layers that wait for each other are a mistake in the definition, and so is
waiting for a layer that does not exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from graphlib import CycleError, TopologicalSorter

from infra_gym.errors import DefinitionError, did_you_mean


class Order:
    """What waits for what.

    Args:
        layers: The layers in declared order.
        uses: For each layer, the layers whose outputs it takes.

    Raises:
        DefinitionError: A layer uses one that is not there, or they wait for each other
            in a circle.
    """

    def __init__(self, layers: Sequence[str], uses: Mapping[str, Iterable[str]]) -> None:
        self.layers = tuple(layers)
        self.waits_for: dict[str, frozenset[str]] = {}
        for layer in self.layers:
            wired = frozenset(uses.get(layer, ()))
            for other in sorted(wired - {*self.layers}):
                raise DefinitionError(
                    f"layer {layer} uses {other}, which is not in the stack."
                    f"{did_you_mean(other, self.layers)}"
                )
            self.waits_for[layer] = wired | self._other_providers_before(layer, uses)
        try:
            TopologicalSorter(self.waits_for).prepare()
        except CycleError as error:
            circle = " -> ".join(reversed(error.args[1]))
            raise DefinitionError(f"layers wait for each other in a circle: {circle}.") from None

    def _other_providers_before(
        self, layer: str, uses: Mapping[str, Iterable[str]]
    ) -> frozenset[str]:
        before = self.layers[: self.layers.index(layer)]
        # Wiring wins where somebody wired against the declared order.
        return frozenset(
            other
            for other in before
            if _provider(other) != _provider(layer) and layer not in uses.get(other, ())
        )

    def reversed(self) -> Order:
        """The order of destroying: every layer waits for those that waited for it."""
        turned = Order((), {})
        turned.layers = tuple(reversed(self.layers))
        turned.waits_for = {
            layer: frozenset(other for other in self.layers if layer in self.waits_for[other])
            for layer in turned.layers
        }
        return turned

    def only(self, chosen: Set[str]) -> Order:
        """The same for some of the layers; what they wait for outside of these is there already."""
        part = Order((), {})
        part.layers = tuple(layer for layer in self.layers if layer in chosen)
        part.waits_for = {layer: self.waits_for[layer] & chosen for layer in part.layers}
        return part


class Progress:
    """How far a walk along an order has come."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._waiting = list(order.layers)
        self._done: set[str] = set()

    def start_ready(self) -> list[str]:
        """Layers that may start now, in declared order; each is returned once."""
        ready = [layer for layer in self._waiting if self._order.waits_for[layer] <= self._done]
        self._waiting = [layer for layer in self._waiting if layer not in ready]
        return ready

    def done(self, layer: str) -> None:
        """``layer`` has ended well."""
        self._done.add(layer)

    @property
    def waiting(self) -> tuple[str, ...]:
        """Layers that have not started; once nothing runs, these are blocked."""
        return tuple(self._waiting)


def on_top(layers: Sequence[str]) -> list[str]:
    """Those of ``layers`` on which no layer of another provider stands, in declared order."""
    providers = [_provider(layer) for layer in layers]
    return [
        layer for place, layer in enumerate(layers) if set(providers[place:]) == {providers[place]}
    ]


def _provider(layer: str) -> str:
    return layer.partition("/")[0]
