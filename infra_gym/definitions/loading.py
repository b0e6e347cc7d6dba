"""Reads a definition from its YAML file."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from infra_gym.definitions.models import Definition
from infra_gym.errors import DefinitionError


def load_definition(path: Path) -> Definition:
    """The definition that the file ``path`` holds.

    Raises:
        DefinitionError: The file cannot be read or says what it may not.
    """
    try:
        return Definition.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise DefinitionError(f"{path}: {error}") from error
