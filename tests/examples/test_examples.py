"""Every example runs as a stranger would run it: as a program, from its own folder."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(EXAMPLES.glob("[0-9][0-9]-*/*.py"))
IN_SHORT = {"batch_agent": ("--jobs", "16", "--episodes", "1")}
"""What makes an example short; the others take a target and so many steps."""
IN_AN_ACCOUNT = {"own_cluster"}  # tested with a fake one, by tests/digitalocean
OTHER_LANGUAGES = (EXAMPLES / "06-other-language" / "client.cpp",)
HERE = [program for program in PROGRAMS if program.stem not in IN_AN_ACCOUNT]
LIVE = [program for program in HERE if program.stem not in IN_SHORT]


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


def kept_in(folder: Path) -> list[Path]:
    """What lies there, without what Python compiled when a test loaded the example."""
    return sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)


def test_there_is_one_program_in_each_folder() -> None:
    folders = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())
    assert sorted(program.parent for program in (*PROGRAMS, *OTHER_LANGUAGES)) == folders


def test_every_example_is_explained_beside_it() -> None:
    told = [folder for folder in EXAMPLES.iterdir() if (folder / "README.md").is_file()]
    assert sorted(told) == sorted(path for path in EXAMPLES.iterdir() if path.is_dir())


@pytest.mark.parametrize("program", HERE, ids=lambda program: program.stem, indirect=True)
def test_on_the_simulator(program: Path, tmp_path: Path) -> None:
    before = kept_in(program.parent)
    said = run(program, tmp_path, *IN_SHORT.get(program.stem, ("--target", "sim", "--steps", "3")))
    assert "USD" in said or "slowdown" in said
    assert kept_in(program.parent) == before


@pytest.mark.slow
@pytest.mark.parametrize("program", LIVE, ids=lambda program: program.stem, indirect=True)
def test_on_real_processes(program: Path, tmp_path: Path) -> None:
    assert "USD" in run(program, tmp_path, "--target", "local", "--steps", "3")


@pytest.mark.slow
def test_a_killed_replica_comes_back(tmp_path: Path) -> None:
    program = EXAMPLES / "08-chaos" / "chaos.py"
    said = run(program, tmp_path, "--target", "local", "--steps", "6", "--every", "3")
    assert said.count("killed 127.0.0.1:") == 2
    assert "USD" in said


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ is installed")
def test_a_client_in_another_language(tmp_path: Path) -> None:
    (source,) = OTHER_LANGUAGES
    client = tmp_path / "client"
    subprocess.run(["g++", "-std=c++17", "-Wall", "-Werror", "-o", client, source], check=True)
    server = subprocess.Popen(
        [sys.executable, "-m", "infra_gym", "serve", "--target", "sim", "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        port = next(found[1] for line in server.stdout if (found := re.search(r"port (\d+)", line)))
        done = subprocess.run(
            [client, "127.0.0.1", port, "SimpleK8sWebApp-v0", "3"],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    finally:
        server.terminate()
        server.wait(30)
        server.stdout.close()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("replicas") == 3
    assert "reward of the episode" in done.stdout


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
