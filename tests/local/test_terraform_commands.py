"""What the commands do and return, with the real program and built-in resources."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from infra_gym.errors import TerraformError
from infra_gym.terraform.command import Terraform
from infra_gym.terraform.process import Process

pytestmark = pytest.mark.both_programs

LAYER = """
variable "replicas" {
  type    = number
  default = 2
}
resource "terraform_data" "replica" {
  count = var.replicas
  input = "r${count.index}"
}
output "names" {
  value = [for number in range(var.replicas) : "r${number}"]
}
output "ids" {
  value = terraform_data.replica[*].id
}
output "hidden" {
  value     = "not for everybody"
  sensitive = true
}
"""


def give(folder: Path, **inputs: object) -> None:
    (folder / "inputs.auto.tfvars.json").write_text(json.dumps(inputs))


def test_a_layers_life(terraform: Terraform, module) -> None:
    folder = module(LAYER)
    terraform.init(folder)
    assert terraform.state_addresses(folder) == []

    plan = terraform.plan(folder)
    assert (plan.adds, plan.modifies, plan.removes) == (2, 0, 0)
    assert plan.changes[0].actions == ("create",)
    assert plan.outputs["names"].value == ["r0", "r1"]
    assert not plan.outputs["ids"].known
    assert plan.outputs["hidden"].value is None
    assert not (folder / "plan.tfplan").exists()

    events = []
    applied = terraform.apply(folder, on_event=events.append)
    assert applied.outputs["names"].value == ["r0", "r1"]
    assert applied.outputs["hidden"].sensitive
    assert not applied.outputs["hidden"].known
    assert {change.address for change in applied.changes} == {
        "terraform_data.replica[0]",
        "terraform_data.replica[1]",
    }
    assert {event.type for event in events} >= {"version", "apply_start", "apply_complete"}
    assert terraform.outputs(folder)["hidden"].value == "not for everybody"

    give(folder, replicas=3)
    applied = terraform.apply(folder, refresh=False)
    assert [(c.address, c.actions) for c in applied.changes] == [
        ("terraform_data.replica[2]", ("create",))
    ]
    assert applied.outputs["names"].value == ["r0", "r1", "r2"]

    replaced = terraform.apply(folder, replace=["terraform_data.replica[1]"])
    assert [(c.address, c.actions) for c in replaced.changes] == [
        ("terraform_data.replica[1]", ("delete", "create"))
    ]
    assert terraform.plan(folder).changes == ()
    assert terraform.plan(folder, destroy=True).removes == 3

    destroyed = terraform.destroy(folder)
    assert len(destroyed.changes) == 3
    assert destroyed.outputs == {}
    assert terraform.state_addresses(folder) == []
    assert terraform.destroy(folder).changes == ()


def test_checks_of_files(terraform: Terraform, module) -> None:
    folder = module('output "x" {\n    value = terraform_data.missing.id\n}\n')
    (found,) = terraform.validate(folder)
    assert found.severity == "error"
    assert (found.file, found.line) == ("main.tf", 2)
    assert "missing" in found.text()
    assert terraform.format_check(folder) == ["main.tf"]


def test_graph_is_dot(terraform: Terraform, module) -> None:
    folder = module(LAYER)
    terraform.init(folder)
    graph = terraform.graph(folder)
    assert graph.startswith("digraph")
    assert "terraform_data.replica" in graph


def test_a_failing_resource_is_named_with_its_place(terraform: Terraform, module) -> None:
    folder = module(
        'resource "terraform_data" "bad" {\n'
        '  provisioner "local-exec" { command = "echo the port is taken >&2; exit 7" }\n}\n'
    )
    terraform.init(folder)
    with pytest.raises(TerraformError) as caught:
        terraform.apply(folder)
    message = str(caught.value)
    assert "apply in" in message
    assert "terraform_data.bad" in message
    assert "main.tf:2" in message
    assert "the port is taken" in caught.value.diagnostics[0]


def test_apply_before_init_says_so(terraform: Terraform, module) -> None:
    folder = module('terraform {\n  backend "local" { path = "elsewhere.tfstate" }\n}\n')
    with pytest.raises(TerraformError, match="init"):
        terraform.apply(folder)


@pytest.mark.parametrize("half", ["", '{"version": 3,'])
def test_an_init_that_was_killed_can_be_repeated(terraform: Terraform, module, half) -> None:
    folder = module('terraform {\n  backend "local" { path = "elsewhere.tfstate" }\n}\n')
    terraform.init(folder)
    (folder / ".terraform/terraform.tfstate").write_text(half)
    terraform.init(folder)
    terraform.apply(folder)


def test_an_input_of_the_wrong_type_is_explained(terraform: Terraform, module) -> None:
    folder = module(LAYER)
    terraform.init(folder)
    give(folder, replicas="many")
    with pytest.raises(TerraformError, match="number"):
        terraform.apply(folder)


def test_all_that_is_written_is_private(terraform: Terraform, module) -> None:
    folder = module(LAYER)
    terraform.init(folder)
    terraform.apply(folder)
    for name in ("events.jsonl", "terraform.tfstate"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_the_users_own_terraform_settings_do_not_leak_in(
    binary: str, module, tmp_path: Path
) -> None:
    environ = {
        **os.environ,
        "TF_CLI_ARGS_apply": "-destroy",
        "TF_WORKSPACE": "other",
        "TF_DATA_DIR": str(tmp_path / "shared"),
        "TF_CLI_CONFIG_FILE": str(tmp_path / "missing"),
    }
    terraform = Terraform(binary, environ=environ)
    folder = module(LAYER)
    terraform.init(folder)
    events = []
    assert len(terraform.apply(folder, on_event=events.append).changes) == 2
    assert (folder / "terraform.tfstate").exists()
    assert [event.message for event in events if event.type == "text"] == []


def test_an_apply_is_one_process(terraform: Terraform, module, monkeypatch) -> None:
    folder = module(LAYER)
    terraform.init(folder)
    started = []
    real = Process._launch
    monkeypatch.setattr(
        Process, "_launch", lambda process: started.append(process._argv) or real(process)
    )
    terraform.apply(folder, refresh=False)
    (argv,) = started
    assert argv[1:] == ["apply", "-input=false", "-auto-approve", "-refresh=false", "-json"]
