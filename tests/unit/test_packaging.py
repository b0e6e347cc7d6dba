"""What the wheel carries and what the package shows."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import infra_gym

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    (artifact,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return zipfile.ZipFile(artifact)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_the_wheel_carries_definitions_layers_and_programs(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for folder in ("envs", "layers"):
        for path in tracked(folder):
            assert f"infra_gym/_data/{path}" in names
    for path in tracked("infra_gym"):
        assert path in names
    assert "infra_gym/py.typed" in names
    assert "infra_gym/apps/heater.py" in names


def test_the_wheel_carries_nothing_else(wheel: zipfile.ZipFile) -> None:
    known = {f"infra_gym/_data/{path}" for folder in ("envs", "layers") for path in tracked(folder)}
    known |= set(tracked("infra_gym"))
    extra = {name for name in wheel.namelist() if ".dist-info/" not in name} - known
    assert extra == set()


def test_the_licence_is_apache_2(wheel: zipfile.ZipFile, metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    (name,) = (name for name in wheel.namelist() if name.endswith("licenses/LICENSE"))
    assert "Apache License" in wheel.read(name).decode()


def test_the_version_is_the_packages(metadata: Message) -> None:
    assert metadata["Version"] == infra_gym.__version__
    assert f"## {infra_gym.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_a_plain_installation_needs_no_training_library() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = " ".join(project["dependencies"]).lower()
    assert not [name for name in ("torch", "stable-baselines3", "ray") if name in needed]


MODULES = sorted(each.name for each in pkgutil.walk_packages(infra_gym.__path__, "infra_gym."))


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith(".__main__")])
def test_public_names_are_sorted_and_exist(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "stable_baselines3", "sb3_contrib"):
            raise
        pytest.skip("the extra `train` is not installed")
    public = getattr(module, "__all__", [])
    assert list(public) == sorted(public, key=_constants_classes_functions)
    assert [each for each in public if not hasattr(module, each)] == []


def _constants_classes_functions(name: str) -> tuple[bool, bool, str]:
    return not name.isupper(), not name[0].isupper(), name


def tracked(folder: str) -> list[str]:
    """The files under ``folder`` that belong to the project."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]
