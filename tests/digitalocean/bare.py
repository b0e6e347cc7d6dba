"""DigitalOcean's layers driven with bare Terraform, as a user would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from infra_gym.terraform.hcl import read_module
from tests.digitalocean.conftest import LAYERS

RUN = {"project": "p", "environment": "e", "expires": "2026-11-28T12:00:00Z"}


class Bare:
    """Layers driven in copies of their own."""

    def __init__(self, program: str, folder: Path, url: str) -> None:
        self._program = program
        self._folder = folder
        self._environ = {
            **os.environ,
            "DIGITALOCEAN_API_URL": url,
            "DIGITALOCEAN_TOKEN": "any",
            "TF_IN_AUTOMATION": "1",
        }

    def run(self, layer: str, *command: str, **variables: Any) -> str:
        """One command; its output. Of the variables it is given those that the layer has."""
        folder = self._folder / layer
        if not folder.exists():
            shutil.copytree(LAYERS / layer, folder)
            self._call(folder, "init", "-input=false")
        if variables:
            known = read_module(folder).variables
            given = {name: value for name, value in variables.items() if name in known}
            (folder / "inputs.auto.tfvars.json").write_text(json.dumps(given))
        return self._call(folder, *command)

    def change(self, layer: str, **variables: Any) -> None:
        """Apply."""
        self.run(layer, "apply", "-auto-approve", "-input=false", **variables)

    def apply(self, layer: str, **variables: Any) -> dict[str, Any]:
        """Apply; the outputs."""
        self.change(layer, **variables)
        told = json.loads(self.run(layer, "output", "-json"))
        return {name: output["value"] for name, output in told.items()}

    def _call(self, folder: Path, *command: str) -> str:
        done = subprocess.run(
            [self._program, f"-chdir={folder}", *command, "-no-color"],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout
