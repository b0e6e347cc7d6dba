"""Where environments and layers are found.

Three places, the first that has the name wins: a path, for an environment given as
``my/file.yaml``; ``envs/`` and ``layers/`` beside the user's ``infra-gym.toml``; and those that
come with the package, which lie at the checkout's root, or in the wheel under ``infra_gym/_data``.
"""

from __future__ import annotations

from pathlib import Path

from infra_gym.definitions.loading import load_definition
from infra_gym.definitions.models import Definition
from infra_gym.definitions.parts import ID
from infra_gym.errors import DefinitionError, UnknownNameError
from infra_gym.settings import settings_file

_PACKAGE = Path(__file__).resolve().parents[1]


def definitions_folder() -> Path:
    """The folder of the definitions that come with the package."""
    return _own_data() / "envs"


def layers_folder() -> Path:
    """The folder of the layers that come with the package, ``PROVIDER/NAME`` below it."""
    return _own_data() / "layers"


def definition_ids() -> list[str]:
    """All environment ids, sorted."""
    return sorted(_definition_files())


def definition_file(name: str) -> Path:
    """The file of an environment, given by id or by the path of a ``.yaml`` file.

    Raises:
        UnknownNameError: There is no such id; names the nearest.
    """
    if _is_path(name):
        return Path(name)
    files = _definition_files()
    if name not in files:
        raise UnknownNameError("environment", name, files)
    return files[name]


def find_definition(name: str) -> Definition:
    """The environment ``name``: an id, or the path of a ``.yaml`` file.

    Raises:
        UnknownNameError: There is no such id; names the nearest.
        DefinitionError: Its file is missing or broken, or holds another id than its name says.
    """
    file = definition_file(name)
    definition = load_definition(file)
    if file.stem != definition.id:
        raise DefinitionError(
            f"{file}: id: {definition.id!r} lies in a file of another name; "
            f"rename it to {definition.id}.yaml"
        )
    return definition.made_from(name) if _is_path(name) else definition


def layer_names() -> list[str]:
    """All layers as ``PROVIDER/NAME``, sorted."""
    return sorted(_layer_folders())


def find_layer(name: str) -> Path:
    """The folder of the layer ``PROVIDER/NAME``.

    Raises:
        UnknownNameError: There is no such layer; names the nearest.
    """
    folders = _layer_folders()
    if name not in folders:
        raise UnknownNameError("layer", name, folders)
    return folders[name]


def _is_path(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _own_data() -> Path:
    wheel = _PACKAGE / "_data"
    return wheel if wheel.is_dir() else _PACKAGE.parent


def _roots() -> list[Path]:
    """Folders that hold ``envs`` and ``layers``, the ones that win last."""
    file = settings_file()
    return [_own_data()] if file is None else [_own_data(), file.parent]


def _definition_files() -> dict[str, Path]:
    return {
        file.stem: file
        for root in _roots()
        for file in (root / "envs").glob("*.yaml")
        if ID.matches(file.stem)
    }


def _layer_folders() -> dict[str, Path]:
    return {
        f"{file.parent.parent.name}/{file.parent.name}": file.parent
        for root in _roots()
        for file in (root / "layers").glob("*/*/main.tf")
    }
