"""What an account is billed for in a layer, as the layer's ``cost.yaml`` says it.

Before anything is made, this is all that tells what an apply will cost; afterwards the account
itself does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from infra_gym.definitions.parts import Formula, Identifier
from infra_gym.errors import DefinitionError
from infra_gym.settings.strict import Strict, problems_in

FILE_NAME = "cost.yaml"


class BilledThing(Strict):
    """Some things of one kind."""

    kind: Literal["node", "droplet", "ha", "load_balancer", "volume"]
    """``ha`` is a cluster's highly available control plane."""
    size: Identifier | None = None
    """The variable that holds the size of a node or droplet."""
    count: Formula = "1"
    """How many: a formula over the layer's variables, in which true is 1 and false 0."""
    gib: Formula = "1"
    """How large a volume is: a formula as well."""


_THINGS = TypeAdapter(tuple[BilledThing, ...])


def billed_things(folder: Path) -> tuple[BilledThing, ...] | None:
    """What a layer makes that is billed; ``None``: it does not tell.

    Args:
        folder: The layer's.

    Raises:
        DefinitionError: The file cannot be understood.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        return _THINGS.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")) or ())
    except ValidationError as error:
        told = "; ".join(f"{problem.path}: {problem.text}" for problem in problems_in(error))
        raise DefinitionError(f"{path}: {told}") from error
    except yaml.YAMLError as error:
        raise DefinitionError(f"{path}: cannot be read: {error}") from error
