"""What the tests of stacks share: tiny layers, and lives that end where a test wants."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra_gym.settings import Settings, StateSettings
from infra_gym.stack import Stack
from infra_gym.terraform.command import Terraform

HERE = Path(__file__).resolve().parent
LAYERS = HERE.parent / "stack_layers"


@pytest.fixture
def layer_folder() -> Callable[[str], Path]:
    """Where the test layers are."""
    return lambda name: LAYERS / name


@pytest.fixture
def open_layers(
    tmp_path: Path, terraform: Terraform, layer_folder: Callable[[str], Path]
) -> Callable[..., Stack]:
    """A function that opens a stack of test layers, with its data in the test's folder."""

    def make(*layers: str, state: StateSettings | None = None, **options: Any) -> Stack:
        settings = Settings(data_folder=tmp_path / "data", state=state or StateSettings())
        return Stack(
            layers=[f"local/{layer}" for layer in layers],
            **{
                "target": "local",
                "settings": settings,
                "project": "p",
                "environment": "e",
                "terraform": terraform,
                "layer_folder": layer_folder,
                **options,
            },
        )

    return make


def _left_behind(data_folder: Path) -> list[str]:
    files = [str(path) for path in data_folder.rglob("*") if not path.is_dir()]
    processes = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd().removesuffix(" (deleted)")).is_relative_to(data_folder):
                processes.append(f"{process.pid} {process.name()}")
        except psutil.Error:
            continue
    return files + processes


@pytest.fixture
def left_behind() -> Callable[[Path], list[str]]:
    """A function that lists files and processes that are still in a folder."""
    return _left_behind


@pytest.fixture
def leftovers(tmp_path: Path) -> Callable[[], list[str]]:
    """A function that lists what is left of the test's stacks."""
    return lambda: _left_behind(tmp_path / "data")


class Lives:
    """Runs lives of a stack in children of a process of its own; see zygote.py."""

    def __init__(self, binary: str) -> None:
        self._binary = binary
        self._process = subprocess.Popen(
            [sys.executable, HERE / "zygote.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, data_folder: Path, layers: list[str], actions: list, die_at: int = 0) -> dict:
        order = {
            "data_folder": str(data_folder),
            "layers": layers,
            "binary": self._binary,
            "actions": actions,
            "die_at": die_at,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="session")
def lives(binary: str) -> Iterator[Lives]:
    """Runs lives of a stack."""
    running = Lives(binary)
    yield running
    running.close()
