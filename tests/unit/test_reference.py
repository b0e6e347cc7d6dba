"""The reference pages say what the code does."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from infra_gym.definitions.models import TASK_METRICS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_reference", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_pages_are_up_to_date(generate: ModuleType) -> None:
    stale = [
        name
        for name, text in generate.pages().items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run: python docs/reference/generate.py"


def test_no_page_is_left_over(generate: ModuleType) -> None:
    written = {path.name for path in FOLDER.glob("*.md")} - {"README.md", "tcp-protocol.md"}
    assert written == set(generate.pages())


def test_every_exported_metric_is_explained(generate: ModuleType) -> None:
    for program, explained in generate.EXPORTED.items():
        source = (ROOT / "infra_gym" / "apps" / f"{program}.py").read_text(encoding="utf-8")
        found = re.findall(
            r"# TYPE ([a-z_]+) |\"((?:heater|siege|gateway|function|process)_[a-z_]+)\"", source
        )
        assert set(explained) == {name for pair in found for name in pair if name}, program


def test_the_tasks_own_metrics_are_explained(generate: ModuleType) -> None:
    assert set(generate.TASK_METRICS) == set(TASK_METRICS)
