"""Every layer's README tells its variables and outputs as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra_gym.terraform.hcl import read_module

LAYERS = sorted((Path(__file__).parents[3] / "layers").glob("*/*"))


@pytest.mark.parametrize("folder", LAYERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_the_readme_lists_variables_and_outputs(folder):
    readme = (folder / "README.md").read_text()
    module = read_module(folder)
    assert readme.startswith(f"# {folder.parent.name}/{folder.name}\n")
    assert "\nCosts" in readme
    for name, variable in module.variables.items():
        default = "required" if variable.required else "`"
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{name}` |"))
        assert row.split(" | ")[2].startswith(default)
        assert row.endswith(f"| {variable.description} |")
    for name, output in module.outputs.items():
        assert f"| `{name}` | {output.description} |" in readme
