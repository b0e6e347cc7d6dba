"""Holds exchanges with the fake against DigitalOcean's published OpenAPI description."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS30ReadValidator, OAS30WriteValidator
from referencing import Registry
from referencing.jsonschema import DRAFT4

DESCRIPTION = Path(__file__).resolve().parents[3] / "shared/data/digitalocean-openapi.json"
"""Beside the checkout; tests that need it are skipped where it is not."""


class Description:
    """The description; an instance is what ``FakeDigitalOcean(on_exchange=...)`` takes.

    ``problems`` collects what differs: unknown operations, statuses, and JSON that is not of the
    described form.
    """

    def __init__(self, path: Path = DESCRIPTION) -> None:
        self._whole = json.loads(path.read_text())
        resource = DRAFT4.create_resource(self._whole)
        self._registry: Any = Registry().with_resource("urn:description", resource)
        self._paths = [(_pattern(path), path) for path in self._whole["paths"]]
        self.problems: list[str] = []
        self.seen: set[str] = set()

    def __call__(self, method: str, path: str, status: int, asked: Any, answered: Any) -> None:
        found = self._operation(method, path)
        if found is None:
            self.problems.append(f"{method} {path} is not described")
            return
        pointer, operation = found
        self.seen.add(f"{method} {pointer}")
        where = ["paths", pointer, method.lower()]
        if asked is not None and "requestBody" in operation:
            schema = self._schema([*where, "requestBody"])
            # The provider writes null for what is not given.
            given = {key: value for key, value in asked.items() if value is not None}
            self._check(OAS30WriteValidator, schema, given, f"request of {method} {path}")
        if str(status) not in operation["responses"]:
            self.problems.append(f"{method} {path} never answers {status}")
        elif answered is not None:
            schema = self._schema([*where, "responses", str(status)])
            self._check(OAS30ReadValidator, schema, answered, f"answer to {method} {path}")

    def scopes(self, operation: str) -> set[str]:
        """What a token needs one of for an operation in ``seen``."""
        method, _, pointer = operation.partition(" ")
        wanted = self._whole["paths"][pointer][method.lower()]["security"]
        return {scope for one in wanted for scope in one["bearer_auth"]}

    def _operation(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        # A literal path such as /projects/default wins over one with a parameter.
        matching = [name for pattern, name in self._paths if pattern.fullmatch(path)]
        for name in sorted(matching, key=lambda name: name.count("{")):
            operation = self._whole["paths"][name].get(method.lower())
            if operation is not None:
                return name, operation
        return None

    def _schema(self, where: list[str]) -> dict[str, Any] | None:
        part = self._whole
        for key in where:
            part = part[key]
        while "$ref" in part:
            where = part["$ref"].removeprefix("#/").split("/")
            part = self._whole
            for key in where:
                part = part[key]
        if "application/json" not in part.get("content", {}):
            return None
        pointer = "/".join(_escaped(key) for key in [*where, "content", "application/json"])
        return {"$ref": f"urn:description#/{pointer}/schema"}

    def _check(self, validator: Any, schema: dict[str, Any] | None, value: Any, what: str) -> None:
        if schema is None:
            self.problems.append(f"{what}: no JSON is described")
            return
        for error in validator(schema, registry=self._registry).iter_errors(value):
            self.problems.append(f"{what}: {error.json_path}: {error.message[:200]}")


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{[^/]*?\\\}", "[^/]+", re.escape(path)))


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
