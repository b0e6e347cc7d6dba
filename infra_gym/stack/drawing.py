"""An order of layers as a picture. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra_gym.stack.order import Order
from infra_gym.stack.wiring import wires_in


def drawing(order: Order, wired: Mapping[str, Mapping[str, Any]]) -> str:
    """Which layer waits for which, in the DOT language.

    Args:
        order: The layers.
        wired: Their inputs; the outputs among them are the labels. Dashed: no output is taken.
    """
    lines = [f'  "{layer}";' for layer in order.layers]
    for layer, others in order.waits_for.items():
        for other in sorted(others):
            found = {one.output for one in wires_in(wired[layer]) if one.layer == other}
            label = f'label="{", ".join(sorted(found))}"' if found else "style=dashed"
            lines.append(f'  "{other}" -> "{layer}" [{label}];')
    return "\n".join(["digraph stack {", "  rankdir=LR;", *lines, "}", ""])
