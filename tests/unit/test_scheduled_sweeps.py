"""The files that people copy to sweep on a schedule: well-formed, and what they run exists."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from infra_gym.cli.main import app
from infra_gym.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs/how-to/sweep-on-a-schedule"
FILES = ("github-workflow.yml", "cronjob.yaml")


@pytest.fixture(params=FILES, ids=["github", "kubernetes"])
def text(request: pytest.FixtureRequest) -> str:
    return (FOLDER / request.param).read_text()


def job_of(workflow: dict[str, Any]) -> dict[str, Any]:
    return workflow["jobs"]["sweep"]


def pod_of(cronjob: dict[str, Any]) -> dict[str, Any]:
    return cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def variables_of(document: dict[str, Any]) -> dict[str, str]:
    if "jobs" in document:
        return job_of(document)["steps"][-1]["env"]
    return {one["name"]: one["value"] for one in pod_of(document)["containers"][0]["env"]}


def commands_in(text: str) -> list[list[str]]:
    lines = re.findall(r"infra-gym sweep[^\n#`]*", text)
    return [shlex.split(line)[1:] for line in lines]


def test_every_command_exists_with_its_options(text):
    (command,) = {tuple(one) for one in commands_in(text)}
    assert command == ("sweep", "--expired")
    group = typer.main.get_command(app)
    with group.make_context("infra-gym", list(command)) as context:
        name, found, arguments = group.resolve_command(context, list(command))
        found.make_context(name, arguments, parent=context)


def test_the_settings_that_it_sets_exist(text, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in [one for one in os.environ if one.startswith("INFRA_GYM_")]:
        monkeypatch.delenv(name)
    for name, value in variables_of(yaml.safe_load(text)).items():
        if name.startswith("INFRA_GYM_"):
            monkeypatch.setenv(name, re.sub(r"\$\{\{.*\}\}", "some-name", value))
    state = load_settings().state
    assert state.backend == "spaces"
    assert state.bucket
    assert state.region != "us-east-1"


def test_it_runs_every_hour_and_never_twice_at_once(text):
    document = yaml.safe_load(text)
    if "jobs" in document:
        (schedule,) = document[True]["schedule"]  # YAML 1.1 reads "on" so
        assert document["concurrency"]["cancel-in-progress"] is False
        limit_s = job_of(document)["timeout-minutes"] * 60
        cron = schedule["cron"]
    else:
        assert document["spec"]["concurrencyPolicy"] == "Forbid"
        limit_s = document["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"]
        cron = document["spec"]["schedule"]
    assert re.fullmatch(r"[0-5]?\d \* \* \* \*", cron)
    assert limit_s < 3600


def test_the_workflow_may_do_nothing_and_its_actions_are_those_of_our_own_ci():
    document = yaml.safe_load((FOLDER / FILES[0]).read_text())
    assert document["permissions"] == {}
    own = (ROOT / ".github/workflows/ci.yml").read_text()
    for step in job_of(document)["steps"]:
        assert step.get("uses", "actions/setup-python") in own


def test_the_pod_is_restricted_and_gets_its_secrets_from_a_secret():
    pod = pod_of(yaml.safe_load((FOLDER / FILES[1]).read_text()))
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in [*pod["initContainers"], *pod["containers"]]:
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
        assert ":" in container["image"]
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "infra-gym-sweep"}}]
