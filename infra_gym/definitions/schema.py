"""The JSON Schema of a definition, for editors that complete and check YAML."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from infra_gym.definitions.models import Definition


class _Generator(GenerateJsonSchema):
    """Refuses keys that do not match the pattern of their mapping's keys, as the models do."""

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        result = super().dict_schema(schema)
        if "patternProperties" in result:
            result["additionalProperties"] = False
        return result


def json_schema() -> dict[str, Any]:
    """The schema of an environment's YAML file (JSON Schema, draft 2020-12).

    It knows the form: keys, types and ranges. That names agree is checked on loading only.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Definition.model_json_schema(schema_generator=_Generator),
        "title": "An infra-gym environment",
    }
