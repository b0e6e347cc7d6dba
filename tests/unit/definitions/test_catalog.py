"""Finding environments and layers: the package's own, the user's, and by path."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra_gym.definitions import (
    catalog,
    definition_ids,
    definitions_folder,
    find_definition,
    find_layer,
    layer_names,
    layers_folder,
    new_definition,
    new_layer,
)
from infra_gym.errors import DefinitionError, UnknownNameError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_packages_own_are_found_from_any_folder() -> None:
    assert "SimpleK8sWebApp-v0" in definition_ids()
    assert find_definition("SimpleK8sWebApp-v0").id == "SimpleK8sWebApp-v0"
    assert "local/heater" in layer_names()
    assert find_layer("local/heater") == layers_folder() / "local" / "heater"


def test_every_layer_of_every_definition_exists() -> None:
    for name in definition_ids():
        for layers in find_definition(name).layers.values():
            assert set(layers) <= set(layer_names())


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'SimpleK8sWebApp-v0'"):
        find_definition("SimpleK8sWebap-v0")
    with pytest.raises(UnknownNameError, match="Did you mean 'local/heater'"):
        find_layer("local/heeter")
    with pytest.raises(UnknownNameError, match="There is no layer 'heater'"):
        find_layer("heater")


def test_a_path_is_taken_as_it_is(folder: Path) -> None:
    path = new_definition("Mine-v1", folder / "anywhere")
    assert find_definition(str(path)).id == "Mine-v1"
    assert find_definition("anywhere/Mine-v1.yaml").id == "Mine-v1"
    assert find_definition("anywhere/Mine-v1.yaml").named == "anywhere/Mine-v1.yaml"
    assert "Mine-v1" not in definition_ids()
    with pytest.raises(DefinitionError, match="No such file"):
        find_definition("anywhere/Yours-v1.yaml")


def test_the_users_own_lie_beside_the_settings_and_win(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "infra-gym.toml").touch()
    new_definition("Mine-v1", folder / "envs")
    new_layer("local/mine", folder / "layers")
    mine = new_layer("local/heater", folder / "layers")
    (folder / "deeper").mkdir()
    monkeypatch.chdir(folder / "deeper")
    assert {"Mine-v1", "SimpleK8sWebApp-v0"} <= set(definition_ids())
    assert find_definition("Mine-v1").id == "Mine-v1"
    assert find_layer("local/mine") == folder.resolve() / "layers" / "local" / "mine"
    assert find_layer("local/heater") == mine.resolve()


def test_other_files_in_a_folder_of_definitions_are_passed_over(folder: Path) -> None:
    (folder / "infra-gym.toml").touch()
    new_definition("Mine-v1", folder / "envs").rename(folder / "envs" / "conda.yaml")
    assert "conda" not in definition_ids()


def test_a_file_is_named_like_its_id(folder: Path) -> None:
    (folder / "infra-gym.toml").touch()
    new_definition("Mine-v1", folder / "envs").rename(folder / "envs" / "Yours-v1.yaml")
    with pytest.raises(DefinitionError, match=r"rename it to Mine-v1\.yaml"):
        find_definition("Yours-v1")


def test_an_installed_package_carries_its_data(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "_PACKAGE", folder / "infra_gym")
    new_definition("Mine-v1", folder / "infra_gym" / "_data" / "envs")
    new_layer("local/mine", folder / "infra_gym" / "_data" / "layers")
    assert definitions_folder() == folder / "infra_gym" / "_data" / "envs"
    assert definition_ids() == ["Mine-v1"]
    assert layer_names() == ["local/mine"]
