"""A disk that is full, a folder that cannot be written, a folder that is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra_gym.errors import TerraformError
from infra_gym.terraform.command import Terraform

LAYER = 'resource "terraform_data" "x" {\n  count = 20\n}\n'


def test_what_was_said_did_not_fit(binary: str, module, tmp_path: Path) -> None:
    # No file may grow beyond one block: for the writer the same as a full disk.
    cramped = tmp_path / "cramped"
    cramped.write_text(f'#!/bin/sh\n[ "$1" = apply ] && ulimit -f 1\nexec "{binary}" "$@"\n')
    cramped.chmod(0o755)
    folder = module(LAYER)
    terraform = Terraform(str(cramped))
    terraform.init(folder)
    with pytest.raises(
        TerraformError, match=r"did not all reach .*events\.jsonl.*MiB are free"
    ) as e:
        terraform.apply(folder)
    assert "make room" in str(e.value)


def test_terraform_itself_meets_a_full_disk(module, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.write_text(
        '#!/bin/sh\n[ "$1" = version ] && exec echo "Terraform v1.11.4"\n'
        "echo 'Error: write state.tfstate: no space left on device'\nexit 1\n"
    )
    full.chmod(0o755)
    with pytest.raises(TerraformError, match="no space left on device") as caught:
        Terraform(str(full)).apply(module(LAYER))
    assert "make room" in str(caught.value)


def test_the_events_file_cannot_be_made(terraform: Terraform, module) -> None:
    folder = module(LAYER)
    (folder / "events.jsonl").mkdir()
    with pytest.raises(TerraformError, match=r"events\.jsonl cannot be written") as caught:
        terraform.init(folder)
    assert "INFRA_GYM_DATA_FOLDER" in str(caught.value)


def test_a_read_only_folder(terraform: Terraform, module) -> None:
    folder = module(LAYER)
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write anywhere")
    with pytest.raises(TerraformError, match=r"cannot be written: Permission denied"):
        terraform.init(folder)


def test_a_missing_folder(terraform: Terraform, tmp_path: Path) -> None:
    with pytest.raises(TerraformError, match="no folder"):
        terraform.init(tmp_path / "missing")
    with pytest.raises(TerraformError, match="no folder"):
        terraform.outputs(tmp_path / "missing")
