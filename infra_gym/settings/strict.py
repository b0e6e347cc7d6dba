"""Models that refuse what they do not know, and their refusals in plain words.

Settings, workloads and definitions are all written by hand. Pydantic finds what is wrong with
them; this module makes each finding one line: which key, what is wrong, what is allowed, and the
nearest right word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, core_schema

from infra_gym.errors import did_you_mean, nearest

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the outermost mapping down."""


class MisplacedError(ValueError):
    """Raised by a validator that found problems below the value that it was given.

    Args:
        problems: Paths from that value down, each with what is wrong there.
    """

    def __init__(self, problems: Iterable[tuple[KeyPath, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{_dotted(path)}: {text}" for path, text in self.problems))


class Strict(BaseModel):
    """A frozen model without NaN or infinity; an unknown key is answered with the nearest one."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _knows_all_keys(cls, data: Any) -> Any:
        refuse_unknown_keys(cls, data)
        return data


def refuse_unknown_keys(model: type[BaseModel], data: Any) -> None:
    """Checks that ``data``, if it is a mapping, has only keys that are fields of ``model``.

    Raises:
        MisplacedError: It has others.
    """
    if not isinstance(data, Mapping):
        return
    known = list(model.model_fields)
    unknown = [key for key in data if key not in known]
    if unknown:
        raise MisplacedError(
            ((str(key),), f"there is no such key.{did_you_mean(str(key), known)}")
            for key in unknown
        )


@dataclass(frozen=True)
class Pattern:
    """Marks a string type that must match a pattern; ``words`` tell people what that means."""

    pattern: str
    words: str

    def matches(self, value: str) -> bool:
        """Whether all of ``value`` matches."""
        return re.fullmatch(self.pattern, value) is not None

    def check(self, value: str) -> str:
        """``value`` itself.

        Raises:
            ValueError: It does not match.
        """
        if not self.matches(value):
            raise ValueError(f"{value!r} is not allowed: write {self.words}")
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^{self.pattern}$"}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: Where, as pydantic tells it: beside keys and indices it may hold names of types.
        text: What, in plain words, one line, without a full stop.
        missing: The last part of ``path`` is a key that should be there and is not.
    """

    path: KeyPath
    text: str
    missing: bool = False


def problems_in(error: ValidationError) -> list[Problem]:
    """All that ``error`` found, in its order."""
    problems = []
    for detail in error.errors(include_url=False):
        context = detail.get("ctx", {})
        path = detail["loc"]
        if isinstance(context.get("error"), MisplacedError):
            problems += [Problem(path + below, text) for below, text in context["error"].problems]
            continue
        if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
            path += (context["discriminator"].strip("'"),)
        missing = detail["type"] in ("missing", "union_tag_not_found")
        problems.append(Problem(path, "is missing" if missing else _words(detail), missing))
    return problems


def _words(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    given = detail["input"]
    match detail["type"]:
        case "literal_error":
            return _not_among(given, context["expected"])
        case "union_tag_invalid":
            return _not_among(context["tag"], context["expected_tags"])
        case "model_type" | "dict_type" | "model_attributes_type":
            return f"a mapping (key: value) is needed, not {_short(given)}"
        case "tuple_type" | "list_type":
            return f"a list is needed, not {_short(given)}"
        case "too_short":
            return f"at least {context['min_length']} are needed, not {context['actual_length']}"
        case "invalid-json-value":
            return f"text, number, list or mapping is needed, not {_short(given)}; quote a date"
        case "value_error":
            return str(context["error"])
    wish, _, _ = detail["msg"].removeprefix("Input ").partition(",")
    return f"{wish}, not {_short(given)}"


def _not_among(given: Any, expected: str) -> str:
    allowed = re.findall(r"'([^']*)'", expected)
    if not allowed:
        return f"{_short(given)} is not allowed; write {expected}"
    hint = did_you_mean(str(given), allowed) if nearest(str(given), allowed) else ""
    return f"{_short(given)} is not allowed.{hint} Allowed: {', '.join(allowed)}."


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))
