"""What the documents link to exists, and so do the commands that they tell one to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from infra_gym.cli.main import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "layers").rglob("*.md"),
        *(ROOT / "examples").glob("*/README.md"),
        *(ROOT / "benchmarks").glob("*.md"),
    ]
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    inside = [target for target in targets if "://" not in target]
    assert [each for each in inside if not (document.parent / each).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_exist(document: Path) -> None:
    known = set(commands(app, "infra-gym"))
    written = re.findall(
        r"^(?:\.venv/bin/)?(infra-gym(?: [a-z]+)+)",
        document.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert [
        line
        for line in written
        if not any(line == name or line.startswith(f"{name} ") for name in known)
    ] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_exist(document: Path) -> None:
    written = re.findall(
        r"^(?:\.venv/bin/)?infra-gym( .+?)(?: +#.*)?$",
        document.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    for line in written:
        command: Any = typer.main.get_command(app)
        words = shlex.split(re.split(r" [|>&]", line)[0])
        context = command.make_context("infra-gym", [], resilient_parsing=True)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
            context = type(context)(command, parent=context)
        command.make_parser(context).parse_args(words)


def commands(group: typer.Typer, name: str) -> Iterator[str]:
    yield from (f"{name} {command.name}" for command in group.registered_commands)
    for below in group.registered_groups:
        assert below.typer_instance is not None
        yield from commands(below.typer_instance, f"{name} {below.name}")
