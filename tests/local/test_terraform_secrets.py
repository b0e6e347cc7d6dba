"""Where secret values must never be: arguments, files other than the state, events, messages."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from infra_gym.errors import TerraformError
from infra_gym.terraform.command import Terraform

pytestmark = pytest.mark.both_programs

SECRET = 'hunter2-"quoted" & <odd>\nsecond line of it'
PARTS = ("hunter2", "second line of it")

TALKATIVE = """
variable "password" { type = string }
variable "exit" {
  type    = number
  default = 0
}
resource "terraform_data" "talks" {
  provisioner "local-exec" {
    command     = "printf '%s\\\\n' \\"$PASSWORD\\"; echo $$ > pid; sleep 0.5; exit $STATUS"
    environment = { PASSWORD = var.password, STATUS = var.exit }
  }
}
"""


def assert_nowhere(folder: Path, *texts: str) -> None:
    for file in folder.rglob("*"):
        if file.is_file() and ".tfstate" not in file.name:
            texts += (file.read_text(errors="replace"), file.name)
    for text in texts:
        for part in PARTS:
            assert part not in text


def test_a_talkative_layer_gives_nothing_away(terraform: Terraform, module) -> None:
    folder = module(TALKATIVE)
    terraform.init(folder)
    seen: list[str] = []

    def on_event(event) -> None:
        seen.append(repr(event) + repr(event.document))
        if (folder / "pid").exists():
            for process in psutil.process_iter():
                try:
                    seen.append(" ".join(process.cmdline()))
                except psutil.Error:
                    continue

    terraform.apply(folder, secrets={"password": SECRET}, on_event=on_event)
    assert any("(secret)" in text for text in seen), "it was printed, and masked"
    assert "(secret)" in (folder / "events.jsonl").read_text()
    assert_nowhere(folder, *seen)


def test_a_failure_gives_nothing_away(terraform: Terraform, module) -> None:
    folder = module(TALKATIVE)
    terraform.init(folder)
    (folder / "inputs.auto.tfvars.json").write_text('{"exit": 3}')
    with pytest.raises(TerraformError) as caught:
        terraform.apply(folder, secrets={"password": SECRET})
    assert "(secret)" in str(caught.value)
    assert_nowhere(folder, str(caught.value), *caught.value.diagnostics)


def test_provider_tokens_are_masked_too(binary: str, module) -> None:
    folder = module(
        'resource "terraform_data" "talks" {\n'
        '  provisioner "local-exec" { command = "echo token is $DIGITALOCEAN_TOKEN; exit 1" }\n}\n'
    )
    terraform = Terraform(binary, environ={**os.environ, "DIGITALOCEAN_TOKEN": "dop_v1_hunter2"})
    terraform.init(folder)
    with pytest.raises(TerraformError, match=r"token is \(secret\)"):
        terraform.apply(folder)
    assert_nowhere(folder)


def test_no_plan_file_stays(terraform: Terraform, module) -> None:
    folder = module(TALKATIVE)
    terraform.init(folder)
    before = time.time()
    plan = terraform.plan(folder, secrets={"password": SECRET})
    assert plan.adds == 1
    assert time.time() > before
    assert_nowhere(folder, repr(plan))
    with pytest.raises(TerraformError):
        terraform.plan(folder)  # the password is missing
    assert not (folder / "plan.tfplan").exists()


def test_an_ephemeral_variable_is_nowhere_at_all(binary: str, terraform: Terraform, module) -> None:
    if terraform.name == "tofu" and terraform.version.startswith("1.10."):
        pytest.skip("OpenTofu has ephemeral variables from 1.11 on")
    folder = module(TALKATIVE.replace("type = string", "type = string\n  ephemeral = true", 1)
                    .replace('variable "password" { type', 'variable "password" {\n  type')
                    .replace("ephemeral = true }", "ephemeral = true\n}"))  # fmt: skip
    terraform.init(folder)
    terraform.apply(folder, secrets={"password": SECRET})
    for file in folder.rglob("*"):
        assert not file.is_file() or "hunter2" not in file.read_text(errors="replace")
