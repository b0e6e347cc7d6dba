"""Every example runs as a stranger would run it: as a program, from its own folder."""

from __future__ import annotations

import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(EXAMPLES.glob("[0-9][0-9]-*/*.py"))


@pytest.fixture
def program(request: pytest.FixtureRequest) -> Path:
    """The example, unless it needs packages beyond infra-gym's own that are not here."""
    found: Path = request.param
    text = found.read_text(encoding="utf-8")
    needed = ("ray", "torch") if "import ray" in text else ()
    if "from stable_baselines3" in text:
        needed = ("stable_baselines3",)
    for name in needed:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: {found.parent.name}'s README.md says how")
    return found


def run(program: Path, home: Path, *arguments: str) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    done = subprocess.run(
        [sys.executable, str(program), *arguments],
        cwd=program.parent,
        env={**environ, "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_is_one_program_in_each_folder() -> None:
    folders = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())
    assert [program.parent for program in PROGRAMS] == folders


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem, indirect=True)
def test_on_the_simulator(program: Path, tmp_path: Path) -> None:
    before = sorted(program.parent.rglob("*"))
    assert "USD" in run(program, tmp_path, "--target", "sim", "--steps", "3")
    after = sorted(path for path in program.parent.rglob("*") if "__pycache__" not in path.parts)
    assert after == before


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem, indirect=True)
def test_on_real_processes(program: Path, tmp_path: Path) -> None:
    assert "USD" in run(program, tmp_path, "--target", "local", "--steps", "3")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem, indirect=True)
def test_every_argument_is_explained(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location(program.stem, program)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, program.stem, module)
    spec.loader.exec_module(module)
    assert inspect.getdoc(module)
    fields = module.Args.__pydantic_fields__
    assert [name for name, field in fields.items() if not field.description] == []
