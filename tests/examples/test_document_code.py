"""The Python in the documents runs as it stands there, on the simulator, block after block.

A block that cannot be run has the line ``<!-- not run: WHY -->`` above it; it counts as skipped.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>.+?) -->\n+)?```python\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# The pages of environments without a definition are docstrings, whose examples are indented.
DOCUMENTS = [
    path
    for path in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    if BLOCK.search(path.read_text(encoding="utf-8"))
]
LEFT_OUT = [
    (path, match["why"])
    for path in DOCUMENTS
    for match in BLOCK.finditer(path.read_text(encoding="utf-8"))
    if match["why"]
]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_its_python_runs(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INFRA_GYM_TARGET", "sim")
    monkeypatch.setenv("HOME", str(tmp_path))
    text = document.read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "__main__"}
    for match in BLOCK.finditer(text):
        if match["why"]:
            continue
        line = text.count("\n", 0, match.start("code"))
        code = compile("\n" * line + match["code"], str(document), "exec")
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            exec(code, names)


@pytest.mark.parametrize(
    ("document", "why"),
    LEFT_OUT,
    ids=[f"{name_of(path)}-{number}" for number, (path, _) in enumerate(LEFT_OUT)],
)
def test_what_is_not_run(document: Path, why: str) -> None:
    pytest.skip(f"{name_of(document)}: {why}")
