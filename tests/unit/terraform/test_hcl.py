from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra_gym.errors import TerraformError
from infra_gym.terraform.hcl import REQUIRED, read_module

VARIABLES = r"""
variable "targets" {
  type        = map(list(string))
  description = "Where to look: \"host:port\"."
  default     = { heater = ["a:1", "b:2"], "with-dash" = [] }
}
variable "port" {
  type        = number
  description = <<-EOT
    First of the ports.
  EOT
}
variable "password" {
  type      = string
  sensitive = true
  ephemeral = true
}
variable "schedule" {
  type    = string
  default = null
  validation {
    condition     = var.schedule != "x"
    error_message = "Not x."
  }
}
variable "limits" {
  type    = object({ cpu = optional(string, "1"), tries = number })
  default = { cpu = "$${literal}", tries = -3 }
}
variable "anything" {}
"""

OUTPUTS = """
terraform {
  required_version = ">= 1.10"
  required_providers {
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = "~> 3.0"
    }
    random = {}
  }
}
output "url" {
  value       = "http://127.0.0.1:${var.port}"
  description = "Where it answers."
}
output "password" {
  value     = var.password
  sensitive = true
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "variables.tf").write_text(VARIABLES)
    (tmp_path / "outputs.tf").write_text(OUTPUTS)
    return tmp_path


def test_variables(folder: Path) -> None:
    variables = read_module(folder).variables
    assert list(variables) == ["targets", "port", "password", "schedule", "limits", "anything"]
    targets = variables["targets"]
    assert targets.type == "map(list(string))"
    assert targets.description == 'Where to look: "host:port".'
    assert targets.default == {"heater": ["a:1", "b:2"], "with-dash": []}
    assert variables["port"].required
    assert variables["port"].default is REQUIRED
    assert variables["port"].description.strip() == "First of the ports."
    assert variables["password"].sensitive
    assert variables["password"].ephemeral
    assert not variables["port"].sensitive
    assert variables["schedule"].default is None
    assert not variables["schedule"].required
    assert variables["limits"].default == {"cpu": "${literal}", "tries": -3}
    assert variables["anything"].type == "any"


def test_outputs_and_providers(folder: Path) -> None:
    module = read_module(folder)
    assert module.outputs["url"].description == "Where it answers."
    assert not module.outputs["url"].sensitive
    assert module.outputs["password"].sensitive
    assert module.providers["kubernetes"].version == "~> 3.0"
    assert module.providers["random"].source == "hashicorp/random"


def test_a_changed_file_is_read_again(folder: Path) -> None:
    assert "added" not in read_module(folder).variables
    (folder / "variables.tf").write_text('variable "added" {}\n')
    assert list(read_module(folder).variables) == ["added"]


def test_a_broken_file_is_named_with_its_line(folder: Path) -> None:
    (folder / "broken.tf").write_text('variable "x" {\n  type = = string\n}\n')
    with pytest.raises(TerraformError, match=r"broken\.tf:2:\d+: this is not HCL"):
        read_module(folder)


def test_a_file_that_ends_too_early_says_so(folder: Path) -> None:
    (folder / "broken.tf").write_text('resource "x" {\n')
    with pytest.raises(TerraformError, match=r"broken\.tf:2:\d+: it ends too early$"):
        read_module(folder)


def test_a_folder_without_a_module(tmp_path: Path) -> None:
    with pytest.raises(TerraformError, match="no Terraform module"):
        read_module(tmp_path)
    with pytest.raises(TerraformError, match="no Terraform module"):
        read_module(tmp_path / "missing")


def test_threads_may_read_at_once(tmp_path):
    required = """
terraform {
  required_providers {
    x = { source = "a/x", version = "1" }
  }
}
"""
    names = "".join(f'  n{number} = "${{var.a}}-${{local.b}}"\n' for number in range(40))
    folders = [tmp_path / str(number) for number in range(8)]
    for folder in folders:
        folder.mkdir()
        (folder / "main.tf").write_text(f"locals {{\n{names}}}\n")
        (folder / "versions.tf").write_text(required)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            modules = list(pool.map(read_module, folders))
    finally:
        sys.setswitchinterval(interval)
    assert {module.providers["x"].source for module in modules} == {"a/x"}
