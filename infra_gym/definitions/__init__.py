"""Environments as data: what a definition says, where they and layers lie, how they are read."""

from infra_gym.definitions.catalog import (
    definition_ids,
    definitions_folder,
    find_definition,
    find_layer,
    layer_names,
    layers_folder,
)
from infra_gym.definitions.loading import load_definition
from infra_gym.definitions.models import Definition
from infra_gym.definitions.scaffold import new_definition, new_layer
from infra_gym.definitions.schema import json_schema

__all__ = [
    "Definition",
    "definition_ids",
    "definitions_folder",
    "find_definition",
    "find_layer",
    "json_schema",
    "layer_names",
    "layers_folder",
    "load_definition",
    "new_definition",
    "new_layer",
]
