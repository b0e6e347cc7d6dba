"""``infra-gym evaluate`` in this process, and what it refuses."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from infra_gym.cli.evaluate import seeds_of
from infra_gym.cli.main import app
from infra_gym.errors import UsageError
from infra_gym.recording import read_run

ID = "SimpleK8sWebApp-v0"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def evaluate(*arguments):
    return CliRunner().invoke(app, ["evaluate", *arguments])


def test_agents_in_one_table_and_one_log(folder):
    answer = evaluate(
        ID, "--target", "sim", "--agent", "hpa,threshold", "--agent", "random", "--seeds", "2,4-5",
        "--steps", "4", "--parameter", "hpa.target=0.6", "--json",
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    document = json.loads(answer.stdout)
    assert [one["agent"] for one in document["agents"]] == ["hpa", "threshold", "random"]
    assert [one["episodes"] for one in document["agents"]] == [3, 3, 3]
    assert [one["seed"] for one in document["episodes"]] == [2, 4, 5] * 3
    assert [one.reset.seed for one in read_run(document["log"]).episodes] == [2, 4, 5] * 3
    assert [path.parent.name for path in folder.rglob("*.jsonl")] == ["runs"]


def test_the_table(folder):
    answer = evaluate(ID, "--target", "sim", "--agent", "random", "--episodes", "2", "--steps", "2")
    assert answer.exit_code == 0, answer.output
    for text in ("AGENT", "REWARD", "95 % INTERVAL", "WITHIN SLO %", "random", "Run log: runs/"):
        assert text in answer.stdout
    assert "2/2  random, seed 2: reward" in answer.stderr


@pytest.mark.parametrize(
    ("text", "episodes", "seeds"),
    [
        (None, None, list(range(1, 11))),
        (None, 3, [1, 2, 3]),
        ("7", None, [7]),
        ("0, 3-5", 4, [0, 3, 4, 5]),
    ],
)
def test_seeds(text, episodes, seeds):
    assert seeds_of(text, episodes) == seeds


@pytest.mark.parametrize(
    "text", ["", "a", "1,", "-1", "1-", "5-3", "1.5", "1--3", "0-99999999999999", "٣-x"]
)
def test_what_is_no_list_of_seeds_says_what_is(text):
    with pytest.raises(UsageError, match="neither a seed nor a range") as caught:
        seeds_of(text, None)
    assert "--seeds 1-20" in caught.value.next_command


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((ID, "--seeds", "1,1"), "The seed 1 comes twice"),
        ((ID, "--seeds", "1-3", "--episodes", "2"), "names 3 seeds, and --episodes wants 2"),
        ((ID, "--agent", "hpaa"), "Did you mean 'hpa'?"),
        ((ID, "--agent", ","), "--agent names nobody"),
        ((ID, "--agent", "hpa,fixed", "--parameter", "replicas=2"), "whose is it?"),
        ((ID, "--parameter", "fixd.replicas=2", "--agent", "fixed"), "Did you mean 'fixed'?"),
        ((ID, "--ray", "auto"), "--ray: how many workers?"),
        (("Simplek8sWebAp-v0",), f"Did you mean '{ID}'"),
        ((ID, "--target", "mars"), "target"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_made(folder, arguments, told):
    answer = evaluate(*arguments)
    assert answer.exit_code == 2, answer.output
    assert told in answer.stderr
    assert not (folder / "runs").exists()


def test_without_ray_workers_are_refused_with_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    answer = evaluate(ID, "--target", "sim", "--workers", "2")
    assert answer.exit_code == 1, answer.output
    assert 'Next: pip install "infra-gym[ray]"' in answer.stderr


@pytest.mark.slow  # its first compilation
def test_the_fluid_form_is_evaluated():
    forms = ("reference", "fluid")
    answers = [
        evaluate(
            ID, "--target", "sim", "--agent", "fixed", "--seeds", "1", "--steps", "2", "--json",
            "--fidelity", form, "--log", f"{form}.jsonl",
        )
        for form in forms
    ]  # fmt: skip
    assert [answer.exit_code for answer in answers] == [0, 0]
    requests = [json.loads(one.stdout)["episodes"][0]["requests"] for one in answers]
    assert requests[0] != requests[1]  # the fluid form has no whole requests
    assert requests[0] == pytest.approx(requests[1], rel=0.2)


def test_a_calibration_that_is_not_there_is_refused_before_anything_is_played():
    answer = evaluate(ID, "--target", "sim", "--calibration", "none.json")
    assert answer.exit_code == 2
    assert "none.json cannot be read" in answer.stderr
