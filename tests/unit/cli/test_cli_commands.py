"""The commands that need neither Terraform nor a stack."""

import json

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from infra_gym import __version__
from infra_gym.cli.main import app

runner = CliRunner()
ID = "SimpleK8sWebApp-v0"


def run(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments])


def commands(group=None, path=()):
    group = group or get_command(app)
    for name, one in group.commands.items():
        yield (*path, name)
        if hasattr(one, "commands"):
            yield from commands(one, (*path, name))


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INFRA_GYM_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "file").touch()
    return tmp_path


def test_the_version():
    assert run("--version").stdout == f"infra-gym {__version__}\n"


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_command_has_help(path):
    answer = run(*path, "--help")
    assert answer.exit_code == 0
    assert "Usage:" in answer.stdout
    alone = ("run", "evaluate", "serve", "doctor", "logs", "kubeconfig")
    if len(path) == 2 or path[0] in alone:
        for option in ("--json", "--quiet", "--debug"):
            assert option in answer.stdout


def test_there_are_the_commands_that_were_promised():
    assert {" ".join(path) for path in commands()} == {
        "run",
        "evaluate",
        "serve",
        *(
            "doctor",
            "logs",
            "kubeconfig",
            "probe",
            "calibrate",
            "benchmark",
            "validate",
            "rehearse",
            "report",
            "sweep",
            "train",
            "benchmark",
            "validate",
            "cost",
            "verify-account",
        ),
        *("envs", "envs list", "envs show", "envs validate", "envs new", "envs schema"),
        "envs dashboard",
        *("backend", "backend create", "backend check"),
        *("batch", "batch simulate"),
        *("layers", "layers list", "layers show", "layers plan", "layers apply"),
        *("layers destroy", "layers output", "layers status", "layers graph"),
        *("layers validate", "layers new", "layers unlock"),
    }


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["doctr"], "Did you mean 'doctor'?"),
        (["layers", "aply"], "Did you mean 'apply'?"),
        (["envs", "show", "SimpleK8sWebAp-v0"], f"Did you mean '{ID}'"),
        (["layers", "show", "local/heatr"], "'local/heater'"),
        (["layers", "plan", "heater"], "'local/heater'"),
        (["layers", "plan", ID, "heatr"], "'heater'"),
        (["layers", "plan", ID, "--var", "heater.replcas=3"], "'replicas'"),
        (["layers", "plan", ID, "--var", "heatr.replicas=3"], "heater"),
        (["layers", "plan", ID, "--var", "replicas"], "--var replicas=3"),
        (["layers", "plan", ID, "--var", "port=1"], "--var heater.port=..."),
        (["layers", "plan", "local/heater"], "-e NAME"),
        (["layers", "plan", ID, "--target", "sim"], "--target local"),
        (["layers", "plan", ID, "--target", "locl"], "'local'"),
        (["layers", "plan", ID, "-p", "Not_A_Name"], "lower-case"),
        (["layers", "status", "-e", "nowhere"], "infra-gym layers status"),
        (["run", ID, "--agent", "hpaa"], "'hpa'"),
        (["run", ID, "--parameter", "targt=0.5"], "'target'"),
        (["run", ID, "--target", "sim", "--workload", "dayly"], "daily"),
        (["run", ID, "--target", "sim", "--workload", "mean_rp=3"], "mean_rps"),
        (["run", ID, "--target", "sim", "--workload", "mean_rps=3,sine"], "sine,mean_rps=80"),
        (["run", ID, "--target", "sim", "--log", "file/run.jsonl"], "--log PATH"),
        (["run", "FaaSScaling-v0", "--target", "do"], "--target local"),
        (["cost", "FaaSScaling-v0"], "envs list"),
        (["cost", ID, "--target", "k8s"], "--target do"),
        (["run", ID, "--action", "absolut"], "absolute"),
        (["run", ID, "--steps", "0"], "--steps"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_gets_the_right_one(arguments, hint):
    answer = run(*arguments)
    assert answer.exit_code == 2, answer.output
    assert hint in answer.stderr
    assert "Traceback" not in answer.output
    assert not isinstance(answer.exception, Exception), answer.exception


def test_environments_are_listed_and_shown():
    assert ID in run("envs", "list").stdout
    listed = json.loads(run("envs", "list", "--json").stdout)
    assert {"local", "sim"} <= set(next(one for one in listed if one["id"] == ID)["targets"])
    simulated = next(one for one in listed if one["id"] == "Scaling-v0")
    assert simulated["targets"] == ["sim"]
    assert simulated["summary"].endswith(".")
    refused = run("envs", "show", "Scaling-v0")
    assert refused.exit_code == 2
    assert "docs/reference/Scaling-v0.md" in refused.stderr
    shown = run("envs", "show", ID).stdout
    for part in ("heater.replicas", "latency_p95", "-cost_usd", "local/siege-engine"):
        assert part in shown
    assert json.loads(run("envs", "show", ID, "--json").stdout)["slo"]["share"] == 0.99


def test_a_new_environment_is_valid(tmp_path):
    (tmp_path / "infra-gym.toml").touch()
    written = run("envs", "new", "Mine-v0")
    assert written.exit_code == 0, written.output
    answer = run("envs", "validate", "envs/Mine-v0.yaml", "--json")
    assert json.loads(answer.stdout) == {"valid": ["Mine-v0"]}
    assert "Mine-v0" in run("envs", "list").stdout
    assert run("envs", "new", "Mine-v0").exit_code == 2  # nothing is overwritten


def test_new_things_lie_beside_the_settings_or_tell_what_is_missing(tmp_path, monkeypatch):
    told = run("envs", "new", "Mine-v0").stdout
    assert "touch infra-gym.toml" in told
    assert (tmp_path / "envs/Mine-v0.yaml").is_file()
    (tmp_path / "infra-gym.toml").touch()
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    told = run("layers", "new", "mine/thing").stdout
    assert "touch" not in told
    assert (tmp_path / "layers/mine/thing/main.tf").is_file()


def test_a_broken_environment_says_where(tmp_path):
    (tmp_path / "broken.yaml").write_text("id: Broken-v0\nsumary: x\n")
    answer = run("envs", "validate", "broken.yaml")
    assert answer.exit_code == 2
    assert "broken.yaml:2" in answer.stderr
    assert "'summary'" in answer.stderr


@pytest.mark.parametrize(
    ("written", "slip", "told"),
    [
        ("local/core", "local/coor", "layers.local.0: There is no layer 'local/coor'"),
        ("slots: 4", "slotz: 4", "inputs.heater.slotz: layer local/heater has no variable"),
        ("heater.url", "heater.ulr", "siege-engine.target: layer local/heater has no output"),
        ("heater.targets", "heater.tagets", "inputs.local/prometheus.targets: layer local/heater"),
        ("input: replicas", "input: replica", "controls.replicas.input: layer local/heater has no"),
        ("simulator: webapp", "simulator: webap", "no simulator 'webap'"),
    ],
)
def test_what_the_layers_or_the_simulator_lack_is_told(tmp_path, written, slip, told):
    run("envs", "new", "Mine-v0")
    file = tmp_path / "envs/Mine-v0.yaml"
    file.write_text(file.read_text().replace(written, slip))
    answer = run("envs", "validate", "envs/Mine-v0.yaml")
    assert answer.exit_code == 2
    assert told in answer.stderr
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if slip in text)
    assert "simulator" in slip or f"envs/Mine-v0.yaml:{line}: " in answer.stderr


def test_a_broken_environment_hides_no_other(tmp_path):
    (tmp_path / "infra-gym.toml").touch()
    run("envs", "new", "Mine-v0")
    for name in ("Broken-v0", "Cracked-v0"):
        (tmp_path / f"envs/{name}.yaml").write_text(f"id: {name}\nsumary: x\n")
    listed = run("envs", "list")
    assert listed.exit_code == 0
    assert "Mine-v0" in listed.stdout
    assert "infra-gym envs validate Broken-v0" in listed.stdout
    answer = run("envs", "validate")
    assert answer.exit_code == 2
    for name in ("Broken-v0", "Cracked-v0"):
        assert f"{name}.yaml:2: sumary" in answer.stderr


def test_the_schema_is_one_document():
    assert json.loads(run("envs", "schema").stdout) == json.loads(
        run("envs", "schema", "--json").stdout
    )


def test_layers_are_listed_and_shown():
    assert "local/heater" in run("layers", "list").stdout
    layer = json.loads(run("layers", "show", "local/heater", "--json").stdout)
    assert layer["variables"]["replicas"]["default"] == 2
    assert layer["variables"]["port"]["required"]
    assert "url" in layer["outputs"]
    assert "replicas" in run("layers", "show", "local/heater").stdout


def test_a_new_layer_is_there(tmp_path):
    (tmp_path / "infra-gym.toml").touch()
    assert run("layers", "new", "mine/thing").exit_code == 0
    assert "mine/thing" in run("layers", "list").stdout
    assert run("layers", "new", "mine").exit_code == 2


def test_no_stack_is_no_error():
    answer = run("layers", "status", "--json")
    assert json.loads(answer.stdout) == {"project": "infra-gym", "stacks": {}}


def test_a_terraform_that_is_too_old_leaves_no_stack(tmp_path, monkeypatch):
    program = tmp_path / "terraform"
    program.write_text("#!/bin/sh\necho Terraform v1.5.7\n")
    program.chmod(0o755)
    monkeypatch.setenv("INFRA_GYM_BINARY", str(program))
    answer = run("layers", "apply", ID)
    assert answer.exit_code == 1
    assert "1.5.7; 1.10 or later is needed" in answer.stderr
    assert json.loads(run("layers", "status", "--json").stdout)["stacks"] == {}


@pytest.mark.parametrize("command", ["create", "check"])
def test_a_folder_is_no_bucket(command):
    answer = run("backend", command)
    assert answer.exit_code == 2
    assert "infra-gym.toml" in answer.stderr


def test_an_error_is_one_document_too():
    answer = run("envs", "show", "Nothing-v0", "--json")
    assert answer.exit_code == 2
    assert json.loads(answer.stdout)["error"]["type"] == "UnknownNameError"


def test_a_simulated_episode_is_summed_up(tmp_path):
    answer = run("run", ID, "--target", "sim", "--agent", "fixed", "--steps", 3, "--json")
    assert answer.exit_code == 0, answer.output
    document = json.loads(answer.stdout)
    assert document["steps"] == 3
    assert document["requests"] > 0
    assert document["reward"] == pytest.approx(sum(document["rewards"].values()))
    assert document["moves"] == {"replicas": 0}
    assert (tmp_path / document["log"]).read_text().count("\n") >= 5
    assert answer.stderr.count("step ") == 3


def test_a_simulated_episode_as_text(tmp_path):
    log = tmp_path / "deep" / "run.jsonl"
    answer = run(
        "run", ID, "--target", "sim", "--steps", 2, "--log", log,
        "--workload", "constant,mean_rps=30", "--agent", "hpa", "--parameter", "target=0.5",
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    assert "step   2/2" in answer.stdout
    assert "within the SLO" in answer.stdout
    assert f"Run log: {log}" in answer.stdout
    assert log.is_file()


def test_quiet_prints_the_summary_only():
    answer = run("run", ID, "--target", "sim", "--steps", 1, "--quiet")
    assert "step " not in answer.output
    assert "SUMMARY" in answer.stdout
    assert answer.stderr == ""


def test_more_steps_than_an_episode_has_are_not_made():
    answer = run(
        "run", ID, "--target", "sim", "--steps", 10_000, "--agent", "random", "--json", "--quiet",
        "--workload", "mean_rps=1",
    )  # fmt: skip
    assert json.loads(answer.stdout)["steps"] == 200


def test_a_spent_budget_ends_the_episode():
    answer = run("run", ID, "--target", "sim", "--budget-usd", "0.0001", "--json", "--quiet")
    document = json.loads(answer.stdout)
    assert document["steps"] < 5
    assert "0.0001" in document["ended"]


def test_the_doctor_without_programs_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = run("doctor", "--json")
    assert answer.exit_code == 1
    document = json.loads(answer.stdout)
    assert not document["ready"]
    checks = {check["name"]: check for check in document["checks"]}
    for name in ("terraform or tofu", "prometheus"):
        assert not checks[name]["ok"]
        assert checks[name]["next"]
    assert checks["data folder"]["ok"]
    assert checks["state backend"]["ok"]
    text = run("doctor").stdout
    assert "Not ready" in text
    assert "--target sim" in text


def test_the_doctor_tells_what_is_needed_from_what_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("INFRA_GYM_PROMETHEUS", "/bin/false")
    monkeypatch.delenv("DIGITALOCEAN_TOKEN", raising=False)
    answer = run("doctor").stdout
    assert "/bin/false --version failed with exit code 1" in answer
    needed, _, other = answer.partition("Only for what else you want:")
    assert "  prometheus: " in needed
    assert "  DigitalOcean: " in other


def test_the_doctor_asks_for_a_token_where_an_account_is_needed(monkeypatch):
    monkeypatch.delenv("DIGITALOCEAN_TOKEN", raising=False)
    answer = run("doctor", "--target", "do")
    assert answer.exit_code == 1
    needed, *_ = answer.stdout.partition("Only for what else you want:")
    assert "  DigitalOcean: export DIGITALOCEAN_TOKEN=" in needed
    assert "prometheus" not in answer.stdout


def test_the_doctor_notices_a_data_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("INFRA_GYM_DATA_FOLDER", str(tmp_path / "file" / "data"))
    checks = {one["name"]: one for one in json.loads(run("doctor", "--json").stdout)["checks"]}
    assert not checks["data folder"]["ok"]
    assert "INFRA_GYM_DATA_FOLDER" in checks["data folder"]["next"]
