"""Run directories: where Terraform works on a layer.

The package's layers may lie where nothing can be written, and are shared by all runs. So a layer's
module is copied into a directory of its own run, with a ``backend.tf`` that says where its state
lies and an ``inputs.auto.tfvars.json`` with its inputs. Secrets are in neither.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from infra_gym.errors import StackError

BACKEND_FILE = "backend.tf"
INPUTS_FILE = "inputs.auto.tfvars.json"


class RunFolder:
    """The folder of one run, with its layers' run directories and its processes' folder.

    Args:
        data_folder: The settings' data folder.
        project: The project.
        environment: The environment's name.
    """

    def __init__(self, data_folder: Path, project: str, environment: str) -> None:
        self.root = data_folder.absolute() / "runs" / project / environment
        self.processes = self.root / "processes"

    def layer(self, layer: str) -> Path:
        """The run directory of ``PROVIDER/NAME``."""
        return self.root / layer

    def prepare(self, layer: str, source: Path, backend: str) -> Path:
        """Copy the module and write its backend; returns the run directory.

        Raises:
            StackError: The directory cannot be written.
        """
        folder = self.layer(layer)
        with explained(folder, layer):
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
            if source != folder:
                copy_module(source, folder)
            (folder / BACKEND_FILE).write_text(backend, encoding="utf-8")
        return folder

    def write_inputs(self, layer: str, inputs: Mapping[str, Any]) -> None:
        """Write the layer's inputs, for its user's eyes only.

        Raises:
            StackError: The file cannot be written.
        """
        folder = self.layer(layer)
        with explained(folder, layer):
            write_inputs(folder, inputs)

    def remove(self, layer: str) -> None:
        """Remove a layer's run directory, and its provider's folder with the last one.

        Raises:
            StackError: It cannot be removed.
        """
        folder = self.layer(layer)
        with explained(folder, layer):
            if folder.exists():
                shutil.rmtree(folder)
        with suppress(OSError):
            folder.parent.rmdir()

    def remove_all(self) -> None:
        """Remove the run's folder, and its project's with the last one.

        Raises:
            StackError: It cannot be removed.
        """
        with explained(self.root, None):
            if self.root.exists():
                shutil.rmtree(self.root)
        with suppress(OSError):
            self.root.parent.rmdir()


def copy_module(source: Path, folder: Path) -> None:
    """Make ``folder`` hold the files of the module ``source``, and no older ones of it."""
    files = set(_module_files(source))
    for old in _module_files(folder):
        if old.suffix == ".tf" and old not in files:
            (folder / old).unlink()
    for file in files:
        to = folder / file
        to.parent.mkdir(parents=True, exist_ok=True)
        to.unlink(missing_ok=True)  # a copy of a read-only file is read-only
        shutil.copy(source / file, to)


def write_inputs(folder: Path, inputs: Mapping[str, Any]) -> None:
    """Write the inputs file into a run directory."""
    descriptor = os.open(folder / INPUTS_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(inputs, stream, indent=1)


def source_hash(folder: Path) -> str:
    """SHA-256 of a module's files and their names."""
    digest = hashlib.sha256()
    for file in sorted(_module_files(folder)):
        data = (folder / file).read_bytes()
        digest.update(f"{file.as_posix()}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def _module_files(folder: Path) -> Iterator[Path]:
    """Files of a module, without what a bare terraform leaves there: state, data, own values."""
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        left = ".tfstate" in path.name or ".tfvars" in path.name or path.name == BACKEND_FILE
        if path.is_file() and not hidden and not left:
            yield relative


@contextmanager
def explained(folder: Path, layer: str | None) -> Iterator[None]:
    """Say plainly why a run's files cannot be written."""
    try:
        yield
    except OSError as error:
        raise StackError(
            f"The run directory {folder} cannot be used: {error.strerror}.",
            layer=layer,
            next_command="make it writable and its disk not full, or name another folder with "
            "INFRA_GYM_DATA_FOLDER; then repeat the command",
        ) from error
