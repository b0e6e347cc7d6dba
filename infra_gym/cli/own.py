"""Where a user's own environments and layers lie: beside ``infra-gym.toml``."""

from __future__ import annotations

import shlex
from pathlib import Path


def own_folder(name: str) -> Path:
    """The folder ``envs`` or ``layers`` beside the nearest ``infra-gym.toml``, else here."""
    from infra_gym.settings import settings_file

    file = settings_file()
    return Path(name) if file is None or file.parent == Path.cwd() else file.parent / name


def reminder(folder: Path) -> list[str]:
    """What else to type before what lies in ``folder`` is found by its name."""
    from infra_gym.settings import FILE_NAME

    file = folder.parent / FILE_NAME
    if file.is_file():
        return []
    return [
        f"It is found by its name once there is a file {FILE_NAME}: touch {shlex.quote(str(file))}"
    ]
