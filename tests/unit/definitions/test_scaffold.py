"""New environments and layers are valid from the start."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from infra_gym.definitions import layer_names, load_definition, new_definition, new_layer
from infra_gym.errors import UsageError


def test_a_new_definition_is_valid_and_explains_itself(tmp_path: Path) -> None:
    path = new_definition("MyShop-v2", tmp_path / "envs")
    assert path == tmp_path / "envs" / "MyShop-v2.yaml"
    definition = load_definition(path)
    assert definition.id == "MyShop-v2"
    assert set(definition.layers["local"]) <= set(layer_names())
    text = path.read_text()
    assert "MyApp" not in text
    assert text.count("#") > 10


def test_a_new_layer_names_itself_and_is_complete(tmp_path: Path) -> None:
    folder = new_layer("local/cache", tmp_path)
    assert folder == tmp_path / "local" / "cache"
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "main.tf",
        "outputs.tf",
        "variables.tf",
        "versions.tf",
    }
    assert (folder / "README.md").read_text().startswith("# local/cache\n")
    assert not any("PROVIDER" in path.read_text() for path in folder.iterdir())


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")
def test_terraform_finds_a_new_layer_valid_and_well_formed(tmp_path: Path) -> None:
    folder = new_layer("local/cache", tmp_path)
    for arguments in (["init", "-backend=false"], ["validate"], ["fmt", "-check"]):
        done = subprocess.run(
            ["terraform", *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    new_layer("local/cache", tmp_path)
    path = new_definition("MyShop-v2", tmp_path)
    path.write_text("changed")
    with pytest.raises(UsageError, match="is there already; nothing was changed"):
        new_definition("MyShop-v2", tmp_path)
    with pytest.raises(UsageError, match="is there already"):
        new_layer("local/cache", tmp_path)
    assert path.read_text() == "changed"


@pytest.mark.parametrize("name", ["MyShop", "", "my/shop-v1", "../Shop-v1", "Shop-v1\n", "1-v1"])
def test_a_wrong_id_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"environment id: .* write a name and a version"):
        new_definition(name, tmp_path)


@pytest.mark.parametrize("name", ["cache", "local/", "local/a/b", "../local/a", "Local/a"])
def test_a_wrong_layer_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"layer name: .* write PROVIDER/NAME"):
        new_layer(name, tmp_path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        new_definition("MyShop-v2", tmp_path / "file")
