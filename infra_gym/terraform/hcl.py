"""Read what a module asks for and gives: variables, outputs, providers."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal

from infra_gym.errors import TerraformError


class Required(Enum):
    """The type of :data:`REQUIRED`."""

    REQUIRED = "required"


REQUIRED: Final[Literal[Required.REQUIRED]] = Required.REQUIRED
"""The default of a variable that has none (``null`` is a default)."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable's declaration."""

    name: str
    type: str
    """As written, such as ``map(list(string))``; ``any`` when left out."""
    description: str
    default: Any
    """A JSON value, or :data:`REQUIRED`."""
    sensitive: bool
    ephemeral: bool

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class OutputDeclaration:
    """An output's declaration."""

    name: str
    description: str
    sensitive: bool


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider that must be installed."""

    name: str
    source: str
    """Such as ``hashicorp/kubernetes``."""
    version: str
    """The constraint; empty when there is none."""


@dataclass(frozen=True, slots=True)
class Module:
    """What a folder of ``.tf`` files declares."""

    folder: Path
    variables: Mapping[str, Variable]
    outputs: Mapping[str, OutputDeclaration]
    providers: Mapping[str, Provider]


def read_module(folder: Path) -> Module:
    """Read a module's ``.tf`` files.

    Raises:
        TerraformError: There are none, or one is not HCL: file, line and column.
    """
    files = sorted(folder.glob("*.tf"))
    if not files:
        raise TerraformError(f"{folder} is no Terraform module: it has no .tf file.")
    documents = [_parse(file, file.stat().st_mtime_ns) for file in files]
    return Module(
        folder=folder,
        variables={name: _variable(name, body) for name, body in _named("variable", documents)},
        outputs={
            name: OutputDeclaration(
                name, _text(body.get("description")), bool(body.get("sensitive", False))
            )
            for name, body in _named("output", documents)
        },
        providers={provider.name: provider for provider in _providers(documents)},
    )


# The parser holds where it is in one place for all threads.
_PARSING = threading.Lock()


@functools.lru_cache(maxsize=256)
def _parse(file: Path, modified_ns: int) -> dict[str, Any]:  # noqa: ARG001  part of the cache's key
    # Here, for loading the parser takes a tenth of a second.
    import hcl2
    from lark.exceptions import LarkError, UnexpectedInput

    options = hcl2.SerializationOptions(
        with_comments=False, explicit_blocks=False, preserve_heredocs=False
    )
    try:
        with file.open(encoding="utf-8") as stream, _PARSING:
            parsed: dict[str, Any] = hcl2.load(stream, serialization_options=options)
    except UnexpectedInput as error:
        context = error.get_context(file.read_text(encoding="utf-8")).rstrip()
        # Where something is missing at the end, there is nothing to show but the mark.
        shown = f"this is not HCL:\n{context}" if context.strip("\n ^") else "it ends too early"
        raise TerraformError(f"{file}:{error.line}:{error.column}: {shown}") from error
    except (LarkError, OSError, UnicodeDecodeError) as error:
        raise TerraformError(f"{file} cannot be read: {error}") from error
    return parsed


def _named(kind: str, documents: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for document in documents:
        for block in document.get(kind, []):
            for name, body in block.items():
                yield _text(name), body


def _variable(name: str, body: Mapping[str, Any]) -> Variable:
    return Variable(
        name=name,
        type=_expression(body.get("type", "any")),
        description=_text(body.get("description")),
        default=_value(body["default"]) if "default" in body else REQUIRED,
        sensitive=bool(body.get("sensitive", False)),
        ephemeral=bool(body.get("ephemeral", False)),
    )


def _providers(documents: list[dict[str, Any]]) -> Iterator[Provider]:
    for document in documents:
        for settings in document.get("terraform", []):
            for required in settings.get("required_providers", []):
                for name, entry in required.items():
                    yield Provider(
                        name=name,
                        source=_text(entry.get("source")) or f"hashicorp/{name}",
                        version=_text(entry.get("version")),
                    )


def _expression(text: str) -> str:
    """The source of an expression, which the parser hands over as ``${...}``."""
    return text[2:-1] if text.startswith("${") else text


def _value(parsed: Any) -> Any:
    """A default as a JSON value; defaults cannot hold references."""
    if isinstance(parsed, str):
        return _text(parsed)
    if isinstance(parsed, list):
        return [_value(item) for item in parsed]
    if isinstance(parsed, dict):
        return {_text(key): _value(value) for key, value in parsed.items()}
    return parsed


def _text(parsed: str | None) -> str:
    """A string literal without its quotes and escapes."""
    if parsed is None or not parsed.startswith('"'):
        return parsed or ""
    plain = parsed.replace("$${", "${").replace("%%{", "%{")
    try:
        return str(json.loads(plain, strict=False))
    except ValueError:
        return plain[1:-1]
