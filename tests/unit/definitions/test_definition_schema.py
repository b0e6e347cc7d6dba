"""The JSON Schema that editors use."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from infra_gym.definitions import definition_ids, definitions_folder, json_schema, new_definition

COMMITTED = Path(__file__).parents[3] / "docs" / "reference" / "definition.schema.json"


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    Draft202012Validator.check_schema(json_schema())
    return Draft202012Validator(json_schema())


@pytest.fixture
def definition(tmp_path: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(new_definition("My-v1", tmp_path).read_text())
    return data


def test_the_committed_schema_is_up_to_date() -> None:
    assert json.loads(COMMITTED.read_text()) == json_schema(), (
        "run: python docs/reference/generate.py"
    )


@pytest.mark.parametrize("name", definition_ids())
def test_it_accepts_the_packages_definitions(validator: Draft202012Validator, name: str) -> None:
    data = yaml.safe_load((definitions_folder() / f"{name}.yaml").read_text())
    assert list(validator.iter_errors(data)) == []


def test_it_refuses_what_the_models_refuse(
    validator: Draft202012Validator, definition: dict[str, Any]
) -> None:
    assert validator.is_valid(definition)
    for key, value in [
        ("sumary", "x"),
        ("id", "no version"),
        ("max_episode_steps", 0),
        ("layers", {"moon": ["local/core"]}),
        ("layers", {"local": ["core"]}),
        ("metrics", {"a": {"conter": "x"}}),
        ("metrics", {"A": {"gauge": "x"}}),
        ("workload", {"profile": "dayly", "mean_rps": 1}),
        ("observations", []),
    ]:
        broken = {**copy.deepcopy(definition), key: value}
        assert not validator.is_valid(broken), key


def test_keys_are_described(validator: Draft202012Validator) -> None:
    properties = validator.schema["properties"]
    assert "modelled time" in properties["time_scale"]["description"]
    assert "US dollars" in properties["rewards"]["description"]
