"""The real provider and pydo against the fake account."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra_gym.settings import load_settings
from infra_gym.terraform.command import Terraform

LAYERS = Path(__file__).resolve().parents[2] / "layers/do"


@pytest.fixture(scope="session")
def terraform_program() -> str:
    """Terraform's or OpenTofu's path."""
    return str(Terraform(load_settings().binary).path)


@pytest.fixture(scope="session")
def needs_provider(terraform_program: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where ``init`` cannot get the digitalocean provider."""
    folder = tmp_path_factory.mktemp("provider")
    (folder / "versions.tf").write_text((LAYERS / "core/versions.tf").read_text())
    done = subprocess.run(
        [terraform_program, f"-chdir={folder}", "init", "-input=false", "-no-color"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"the digitalocean provider cannot be had: {done.stderr.strip()[:200]}")
