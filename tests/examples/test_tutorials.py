"""A tutorial is followed to the letter: its files are written, its commands typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def type_in(folder: Path, home: Path, commands: str) -> None:
    """What a user types in a shell; the first command that fails ends it."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=folder,
        env={**environ, "HOME": str(home), "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"


def write_into(definition: Path, text: str) -> None:
    """Make a definition say what a tutorial's YAML says: whole keys, or some of their entries."""
    said: dict[str, Any] = yaml.safe_load(definition.read_text(encoding="utf-8"))
    for key, value in yaml.safe_load(text).items():
        merged = key in ("inputs", "layers")  # their other entries stay
        said[key] = {**said[key], **value} if merged else value
    definition.write_text(yaml.safe_dump(said, sort_keys=False), encoding="utf-8")


def write_layer(layer: Path, text: str) -> None:
    """Add a variable, or put an argument in the place of the one that there is."""
    if text.startswith("variable"):
        with (layer / "variables.tf").open("a", encoding="utf-8") as file:
            file.write(text)
        return
    main = layer / "main.tf"
    name = text.split("=")[0].strip()
    old = main.read_text(encoding="utf-8")
    new, times = re.subn(rf"^ *{name} *=.*\n", lambda _: text, old, flags=re.MULTILINE)
    assert times == 1
    main.write_text(new, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_your_own_environment(tmp_path: Path) -> None:
    home, project = tmp_path / "home", tmp_path / "my-project"
    home.mkdir()
    folder = tmp_path
    typed = 0
    for language, text in BLOCK.findall(
        (TUTORIALS / "your-own-environment.md").read_text(encoding="utf-8")
    ):
        match language:
            case "":
                type_in(folder, home, text)
                folder = project
                typed += 1
            case "yaml":
                write_into(project / "envs" / "NightApp-v0.yaml", text)
            case "hcl":
                write_layer(project / "layers" / "mine" / "notes", text)
            case _:
                assert language == "python", "test_document_code.py runs it"
    assert typed == 4
    state = (home / ".local/share/infra-gym/runs").glob("*/*")
    assert not list(state), "a stack was left"
