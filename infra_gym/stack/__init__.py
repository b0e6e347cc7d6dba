"""Stacks of layers: order, wiring, ledger, lock; plan, apply, change and destroy."""

from infra_gym.stack.ledger import LayerRecord, StackRecord
from infra_gym.stack.lock import Owner
from infra_gym.stack.opening import open_stack, unique_name
from infra_gym.stack.stack import Stack
from infra_gym.stack.status import LayerStatus, StackStatus

__all__ = [
    "LayerRecord",
    "LayerStatus",
    "Owner",
    "Stack",
    "StackRecord",
    "StackStatus",
    "open_stack",
    "unique_name",
]
