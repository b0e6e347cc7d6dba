"""Reads a definition from its YAML file; every error names file, line and key.

YAML becomes a tree of nodes. From it comes plain data, which the models check, and in it the line
of whatever they refuse is found again. Anchors and aliases are refused, since a few of them can
stand for a document of any size; so are keys written twice, of which YAML would take the last in
silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from infra_gym.definitions.models import Definition
from infra_gym.errors import DefinitionError, UsageError
from infra_gym.settings.strict import Problem, problems_in
from infra_gym.workloads import Trace

MAX_BYTES = 1_000_000
"""A larger file is no definition."""


def load_definition(path: Path) -> Definition:
    """The definition that the file ``path`` holds.

    Raises:
        DefinitionError: The file cannot be read or says what it may not: one line a problem,
            ``FILE:LINE: KEY: what is wrong, what is allowed``.
    """
    node, data = _read(path)
    if not isinstance(node, yaml.MappingNode):
        raise DefinitionError(f"{path}:1: a definition is a mapping that begins with its id")
    try:
        definition = Definition.model_validate(data)
    except ValidationError as error:
        lines = dict.fromkeys(_line(path, node, problem) for problem in problems_in(error))
        raise DefinitionError("\n".join(lines)) from error
    return _with_trace(definition, path, node)


def located(path: Path, problems: Iterable[Problem]) -> str:
    """Problems of the definition in ``path``, one ``FILE:LINE: KEY: what is wrong`` a line."""
    node, _ = _read(path)
    return "\n".join(_line(path, node, problem) for problem in problems)


def _with_trace(definition: Definition, path: Path, node: yaml.Node) -> Definition:
    """Finds a recorded load's file, beside the definition, and checks it."""
    workload = definition.workload
    if not isinstance(workload, Trace):
        return definition
    found = workload.model_copy(update={"path": path.parent / workload.path})
    try:
        found.rows()
    except UsageError as error:
        problem = Problem(("workload", "path"), error.message)
        raise DefinitionError(_line(path, node, problem)) from error
    return definition.model_copy(update={"workload": found})


class _Loader(yaml.SafeLoader):
    """YAML without aliases and without keys written twice."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases are not allowed; write it out",
                problem_mark=event.start_mark,
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{name}: written a second time, first on line {seen[name]}",
                    problem_mark=key.start_mark,
                )
            seen[name] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


def _read(path: Path) -> tuple[yaml.Node | None, Any]:
    """The tree of nodes, and the plain data."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DefinitionError(f"{path}: larger than {MAX_BYTES:,} bytes, so no definition")
        loader = _Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        return node, None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise DefinitionError(f"{path}:{line}: {error.problem or error.context}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DefinitionError(f"{path}: cannot be read: {error}") from error
    except RecursionError:
        raise DefinitionError(f"{path}: nested too deeply") from None


def _line(path: Path, root: yaml.Node | None, problem: Problem) -> str:
    """``FILE:LINE: KEY: TEXT``, at the deepest node that the problem's path reaches."""
    node, line, keys = root, 1, []
    for part in problem.path:
        found = _below(node, part)
        if found is not None:
            node, line = found
            keys.append(str(part))
    if problem.missing:
        keys.append(str(problem.path[-1]))
    key = ".".join(keys)
    return f"{path}:{line}: {key}: {problem.text}" if key else f"{path}:{line}: {problem.text}"


def _below(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, int] | None:
    """The node under a key or index, and its line; ``None`` for what pydantic puts between."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item, item.start_mark.line + 1
    return None
