"""The JSON Schema of a definition, for editors that complete and check YAML."""

from __future__ import annotations

from typing import Any

from infra_gym.definitions.models import Definition


def json_schema() -> dict[str, Any]:
    """The schema of an environment's YAML file (JSON Schema, draft 2020-12).

    It knows the form: keys, types and ranges. That names agree is checked on loading only.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Definition.model_json_schema(),
        "title": "An infra-gym environment",
    }
