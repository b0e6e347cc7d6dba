"""The command line on real Terraform, with tiny layers of its own; and one real run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from infra_gym.cli.main import app

ID = "SimpleK8sWebApp-v0"
PROGRAM = [sys.executable, "-c", "from infra_gym.cli.main import main; main()"]

ONE = """
variable "size" {
  type        = number
  default     = 1
  description = "How many."
}
variable "label" {
  type    = string
  default = "x"
}
variable "password" {
  type      = string
  default   = ""
  sensitive = true
}
resource "terraform_data" "item" {
  count = var.size
  input = var.label
}
output "url" { value = "http://${var.label}:${var.size}" }
output "secret" {
  value     = var.password
  sensitive = true
}
"""
TWO = """
variable "url" { type = string }
variable "seconds" {
  type    = number
  default = 0
}
resource "terraform_data" "slow" {
  input            = var.url
  triggers_replace = var.seconds
  provisioner "local-exec" {
    command     = "touch begun; exec sleep $SECONDS_LONG"
    environment = { SECONDS_LONG = var.seconds }
  }
}
output "seen" { value = terraform_data.slow.output }
"""
BROKEN = """
resource "terraform_data" "broken" {
  provisioner "local-exec" { command = "echo no luck today >&2; exit 3" }
}
"""
NAMES = ["-p", "proj", "-e", "demo"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, binary):
    """A folder with an infra-gym.toml and three layers; the state lies in it as well."""
    (tmp_path / "infra-gym.toml").touch()
    for name, text in (("one", ONE), ("two", TWO), ("broken", BROKEN)):
        layer = tmp_path / "layers" / "tiny" / name
        layer.mkdir(parents=True)
        (layer / "main.tf").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INFRA_GYM_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("INFRA_GYM_BINARY", binary)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, [*arguments])


def layers(*arguments):
    """The document that a command on the layers prints; it must succeed."""
    answer = run("layers", *arguments, *NAMES, "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def start(*arguments, **options):
    return subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def remains(folder: Path):
    """Processes that work below the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder / "data"):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.mark.both_programs
def test_a_stack_of_layers_lives_and_is_gone(folder):
    planned = layers("plan", "tiny/one", "tiny/two")
    assert [planned["layers"][name]["adds"] for name in ("tiny/one", "tiny/two")] == [1, 1]
    assert not list((folder / "data").rglob("*.tfstate"))

    applied = layers("apply", "tiny/one", "tiny/two", "--var", "size=2", "--var", "label=1.10")
    assert applied["target"] == "local"
    assert len(applied["layers"]["tiny/one"]["changes"]) == 2
    assert applied["layers"]["tiny/one"]["outputs"] == {"url": "http://1.10:2"}

    assert layers("output")["layers"] == {
        "tiny/one": {"url": "http://1.10:2"},
        "tiny/two": {"seen": "http://1.10:2"},
    }
    assert "tiny/two.seen = http://1.10:2" in run("layers", "output", "tiny/two", *NAMES).stdout

    assert {one["layer"]: one["resources"] for one in layers("status")["layers"]} == {
        "tiny/one": 2,
        "tiny/two": 1,
    }
    assert "tiny/one" in run("layers", "status", *NAMES).stdout
    assert list(json.loads(run("layers", "status", "-p", "proj", "--json").stdout)["stacks"]) == [
        "demo"
    ]

    # What is recorded need not be said again.
    again = layers("apply", "tiny/one", "--var", "size=3")
    assert again["layers"]["tiny/one"]["outputs"] == {"url": "http://1.10:3"}
    assert '"tiny/one" -> "tiny/two"' in layers("graph", "tiny/one", "tiny/two")["dot"]

    undermined = run("layers", "destroy", "tiny/one", *NAMES)
    assert undermined.exit_code == 1
    assert "tiny/two is up and uses tiny/one; nothing was destroyed." in undermined.stderr
    assert "infra-gym layers destroy tiny/two tiny/one" in undermined.stderr
    assert layers("destroy", "tiny/two")["destroyed"] == ["tiny/two"]
    assert layers("destroy")["destroyed"] == ["tiny/one"]
    assert run("layers", "status", *NAMES).exit_code == 2
    assert not [path for path in (folder / "data").rglob("*") if path.is_file()]


def test_progress_and_next_steps_are_told():
    answer = run("layers", "apply", "tiny/one", *NAMES)
    assert "tiny/one: 1 added" in answer.stderr
    assert "infra-gym layers destroy -p proj -e demo" in answer.stdout
    assert run("layers", "apply", "tiny/one", *NAMES, "--quiet").stderr == ""
    assert "Destroyed tiny/one of proj/demo." in run("layers", "destroy", *NAMES).stdout
    nothing = run("layers", "destroy", "tiny/one", *NAMES)
    assert "nothing of proj/demo to destroy" in nothing.stdout


@pytest.mark.both_programs
def test_a_layer_that_fails_says_why_and_what_next():
    answer = run("layers", "apply", "tiny/one", "tiny/broken", *NAMES)
    assert answer.exit_code == 1
    assert "tiny/broken" in answer.stderr
    assert "no luck today" in answer.stderr
    assert "Next: infra-gym layers apply" in answer.stderr
    assert "Traceback" not in answer.output
    failed = {one["layer"]: one["status"] for one in layers("status")["layers"]}
    assert failed == {"tiny/one": "applied", "tiny/broken": "failed"}
    assert set(layers("destroy")["destroyed"]) == {"tiny/one", "tiny/broken"}


def test_a_secret_is_no_argument():
    answer = run("layers", "apply", "tiny/one", *NAMES, "--var", "password=hunter2")
    assert answer.exit_code == 2
    assert "TF_VAR_password" in answer.stderr
    assert "hunter2" not in answer.output


@pytest.mark.both_programs
def test_a_value_that_terraform_refuses_is_asked_for_again():
    answer = run("layers", "apply", "tiny/one", *NAMES, "--var", "size=-1")
    assert answer.exit_code == 1
    assert answer.stderr.rstrip().endswith("-e demo --var one.size=...")
    answer = run("layers", "apply", "tiny/one", *NAMES, "--var", "one.size=2")
    assert answer.exit_code == 0, answer.output
    layers("destroy")


@pytest.mark.both_programs
def test_layers_are_validated(folder):
    assert run("layers", "validate", "tiny/broken").exit_code == 0
    (folder / "layers/tiny/broken/main.tf").write_text('output   "x" { value = 1 }\n')
    assert "terraform fmt" in run("layers", "validate", "tiny/broken").stdout
    (folder / "layers/tiny/two/main.tf").write_text('output "x" { value = var.nothing }\n')
    answer = run("layers", "validate", "tiny/two", "--json")
    assert answer.exit_code == 1
    assert "nothing" in json.loads(answer.stdout)["layers"]["tiny/two"][-1]
    (folder / "layers/tiny/two/main.tf").write_text('resource "x" {\n')
    answer = run("layers", "validate", "tiny/two", "tiny/one")
    assert answer.exit_code == 1
    assert "Unclosed configuration block" in answer.stdout
    assert str(folder / "layers/tiny/two") in answer.stdout
    assert "✓ tiny/one" in answer.stdout
    assert not list((folder / "layers").rglob(".terraform*"))


@pytest.mark.both_programs
def test_the_layers_that_come_along_are_valid():
    answer = run("layers", "validate", "local/core", "local/heater", "--json")
    assert answer.exit_code == 0, answer.output


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_an_interrupted_apply_ends_gently_and_can_go_on(folder, number):
    command = ["layers", "apply", "tiny/one", "tiny/two", *NAMES]
    process = start(*command, "--var", "seconds=60")
    wait_for(lambda: list((folder / "data").rglob("begun")))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, (out, err)
    assert "infra-gym layers destroy -p proj -e demo" in err
    assert remains(folder) == []
    assert layers("status")["owner"] is None  # the lock is given back
    layers("apply", "tiny/one", "tiny/two", "--var", "seconds=0")
    layers("destroy")


def test_a_stack_that_another_run_owns_is_refused_until_it_is_unlocked(folder):
    process = start("layers", "apply", "tiny/one", "tiny/two", *NAMES, "--var", "seconds=60")
    try:
        wait_for(lambda: list((folder / "data").rglob("begun")))
        answer = run("layers", "destroy", *NAMES)
        assert answer.exit_code == 1
        assert f"process {process.pid}" in answer.stderr
        assert "infra-gym layers unlock -p proj -e demo" in answer.stderr
        assert "Held by" in run("layers", "status", *NAMES).stdout
    finally:
        process.kill()
        process.communicate(timeout=30)
    answer = run("layers", "unlock", *NAMES)
    assert answer.exit_code == 0, answer.output
    assert f"process {process.pid}" in answer.stdout
    assert remains(folder) == []
    layers("destroy")


@pytest.mark.both_programs
def test_the_doctor_is_content_where_all_is_installed():
    answer = run("doctor", "--json")
    document = json.loads(answer.stdout)
    if not all(one["ok"] for one in document["checks"] if one["name"] == "prometheus"):
        pytest.skip("prometheus is not installed")
    assert answer.exit_code == 0, answer.output
    assert document["ready"]


@pytest.fixture
def prometheus():
    import shutil

    if shutil.which(os.environ.get("INFRA_GYM_PROMETHEUS", "prometheus")) is None:
        pytest.skip("prometheus is not installed")


@pytest.mark.slow
@pytest.mark.usefixtures("prometheus")
def test_a_run_is_summed_up_and_leaves_nothing(folder):
    process = start("run", ID, "--agent", "fixed", "--steps", "2", "--interval", "2", "--json")
    out, err = process.communicate(timeout=110)
    assert process.returncode == 0, err
    document = json.loads(out)
    assert document["steps"] == 2
    assert document["target"] == "local"
    assert document["tick_jitter_p99_s"] is not None
    assert "local/heater: 3 added" in err
    assert err.count("step ") == 2
    assert Path(document["log"]).is_file()
    assert remains(folder) == []
    assert not list((folder / "data" / "state").rglob("*.json"))


@pytest.mark.usefixtures("prometheus")
def test_a_run_that_is_ended_destroys_everything(folder):
    process = start("run", ID, "--agent", "fixed", "--steps", "100", "--interval", "2")
    for line in process.stdout:
        if line.startswith("step "):
            break
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert "stopped by SIGTERM" in out
    assert remains(folder) == []
    assert "No stack" in run("layers", "status").stdout


@pytest.mark.slow
@pytest.mark.usefixtures("prometheus")
def test_a_run_that_is_ended_twice_says_what_is_left(folder):
    process = start("run", ID, "--agent", "fixed", "--steps", "100", "--interval", "2")
    for line in process.stdout:
        if line.startswith("step "):
            break
    process.send_signal(signal.SIGINT)
    for line in process.stdout:
        if "destroyed" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Left: local/core (applied)" in err, err
    assert "Next: infra-gym layers destroy --target local -p infra-gym -e" in err
    next_command = err.partition("Next: infra-gym ")[2].splitlines()[0].split()
    assert run(*next_command).exit_code == 0
    assert remains(folder) == []
    assert "No stack" in run("layers", "status").stdout
