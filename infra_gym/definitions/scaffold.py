"""Starting points for new environments and layers: commented files that are valid as they are."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from infra_gym.definitions.parts import EnvironmentId, LayerName
from infra_gym.errors import UsageError
from infra_gym.settings.strict import problems_in

_TEMPLATES = Path(__file__).parent / "templates"
_ID: TypeAdapter[str] = TypeAdapter(EnvironmentId)
_LAYER: TypeAdapter[str] = TypeAdapter(LayerName)


def new_definition(name: str, folder: Path) -> Path:
    """Writes ``folder/NAME.yaml``, a small environment on the local layers; returns its path.

    Raises:
        UsageError: ``name`` is no environment id, the file is there already or cannot be written.
    """
    _check("environment id", _ID, name)
    text = (_TEMPLATES / "definition.yaml").read_text(encoding="utf-8")
    path = folder / f"{name}.yaml"
    _write(path, text.replace("MyApp-v0", name))
    return path


def new_layer(name: str, folder: Path) -> Path:
    """Writes the layer ``PROVIDER/NAME`` below ``folder``; returns its own folder.

    Raises:
        UsageError: ``name`` is no layer's name, the layer is there already or cannot be written.
    """
    _check("layer name", _LAYER, name)
    for template in sorted((_TEMPLATES / "layer").iterdir()):
        text = template.read_text(encoding="utf-8")
        _write(folder / name / template.name, text.replace("PROVIDER/NAME", name))
    return folder / name


def _check(what: str, kind: TypeAdapter[str], name: str) -> None:
    try:
        kind.validate_python(name)
    except ValidationError as error:
        raise UsageError(f"{what}: {problems_in(error)[0].text}") from error


def _write(path: Path, text: str) -> None:
    if path.exists():
        raise UsageError(f"{path} is there already; nothing was changed.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}") from error
