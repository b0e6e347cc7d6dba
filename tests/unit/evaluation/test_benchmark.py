"""A small benchmark from beginning to end, and files that say something else than what was."""

from __future__ import annotations

import hashlib
import json

import pytest
from typer.testing import CliRunner

from infra_gym.cli.main import app
from infra_gym.evaluation.results import digest, read_results
from infra_gym.workloads.splits import loads_of

SEEDS = [*loads_of("held_out").seeds(3)]


def invoke(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two agents, two loads, three seeds, four steps: made once, changed in copies."""
    folder = tmp_path_factory.mktemp("benchmark")
    answer = invoke(
        "benchmark", "--agents", "hpa,random", "--workloads", "daily,trace", "--seeds", 3,
        "--steps", 4, "--workers", 1, "--out", folder / "made.json",
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    return (folder / "made.json"), answer


@pytest.fixture
def changed(made, tmp_path):
    """Write a copy with a change, with or without a new hash, and validate it."""

    def validate(change, *, sealed=True):
        document = json.loads(made[0].read_text(encoding="utf-8"))
        change(document)
        if sealed:
            document["sha256"] = digest(document)
        path = tmp_path / "changed.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return invoke("validate", path, "--workers", 1)

    return validate


def test_the_file_has_what_others_need(made):
    document = json.loads(made[0].read_text(encoding="utf-8"))
    assert document["seeds"] == SEEDS
    assert set(document["versions"]) >= {"infra-gym", "python", "numpy"}
    assert all(len(load["schedules"]) == 3 for load in document["workloads"].values())
    rows = {(row["workload"], row["agent"]) for row in document["results"]}
    assert rows == {
        (load, agent) for load in ("daily", "trace", None) for agent in ("hpa", "random")
    }
    assert all({"reward_mean", "cost_usd", "slo_share"} <= {*row} for row in document["results"])
    assert document["sha256"] == digest(document)


def test_the_table_is_printed(made):
    for text in ("daily, 3 seeds", "all loads", "REWARD AGAINST hpa", "FRONT", "random"):
        assert text in made[1].stdout


def test_agents_meet_the_same_arrivals(made):
    found = read_results(made[0])
    requests = {(row.workload, row.agent): row.requests for row in found.episodes}
    hashes = [load.schedules for load in found.workloads.values()]
    assert len({each for load in hashes for each in load}) == 6
    assert len(requests) == 4


def test_what_was_played_holds_and_says_how_it_was_checked(made):
    answer = invoke("validate", made[0], "--workers", 1)
    assert answer.exit_code == 0, answer.output
    assert "its 12 episodes on sim were played again" in answer.stdout


@pytest.mark.slow
def test_two_processes_come_to_the_same(made):
    answer = invoke("validate", made[0], "--workers", 2, "--json")
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["holds"] is True


def episode(document):
    return document["episodes"][1]


def better_reward(document):
    """A forger who makes everything fit: episodes, tables and hash."""
    from infra_gym.evaluation.results import Results
    from infra_gym.evaluation.scores import score

    episode(document)["reward"][2] += 0.001
    found = Results.model_validate(document)
    fresh = score(found.episodes, found.agents, [*found.workloads]).model_dump(mode="json")
    document.update(fresh)


CHANGES = {
    "a number of an episode, all else made to fit": (
        better_reward, f"agent random, workload daily, seed {SEEDS[2]}, reward: the file says",
    ),
    "a number of an episode alone": (
        lambda document: episode(document)["cost_usd"].__setitem__(0, 0.0), "its episodes give",
    ),
    "a mean": (
        lambda document: document["results"][0].update(reward_mean=0.0),
        "results (daily, hpa).reward_mean: the file says 0.0",
    ),
    "an interval": (
        lambda document: document["results"][0]["reward_iqm"].update(low=0.0), "reward_iqm.low",
    ),
    "a p-value": (lambda document: document["differences"][0].update(p_holm=0.01), "p_holm"),
    "who is on the front": (
        lambda document: document["pareto"][0].update(agents=["random"]), "pareto (daily)",
    ),
    "arrivals": (
        lambda document: document["workloads"]["daily"]["schedules"].reverse(), "arrivals",
    ),
    "a load": (
        lambda document: document["workloads"]["daily"]["parameters"].update(mean_rps=10),
        "workload daily: the file has",
    ),
    "other seeds": (
        lambda document: document.update(seeds=[1, 2, 3]),
        "seeds: the file has 1 to 3",
    ),
    "an agent's parameters": (
        lambda document: document["agents"]["hpa"]["members"][0].update(parameters={"target": 0.9}),
        "agent hpa, workload",
    ),
    "an episode left out": (lambda document: document["episodes"].pop(), "missing"),
    "a seed left out": (lambda document: episode(document)["reward"].pop(), "as many reward"),
    "an episode twice": (
        lambda document: document["episodes"].append(document["episodes"][0]), "too many",
    ),
    "fewer steps": (lambda document: document.update(steps=3), "the file says"),
    "another split": (lambda document: document.update(split="training"), "split: the file has"),
    "another unit": (lambda document: document.update(reward_unit="points"), "reward_unit: the"),
    "recordings of a simulator": (
        lambda document: document.update(played_again=["hpa"]), "a simulator has none",
    ),
    "a field more": (lambda document: document.update(comment="fine"), "is damaged: comment"),
    "no number": (lambda document: episode(document)["reward"].__setitem__(0, "x"), "is damaged"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "told"), [*CHANGES.values()], ids=[*CHANGES])
def test_a_changed_file_is_refused_even_with_a_new_hash(changed, change, told):
    answer = changed(change)
    assert answer.exit_code == 1, answer.output
    assert told in answer.stderr


def test_a_changed_file_is_refused_by_its_hash_before_anything_is_played(changed):
    answer = changed(lambda document: document.update(began_at="yesterday"), sealed=False)
    assert answer.exit_code == 1
    assert "was changed after it was written" in answer.stderr


def test_other_versions_are_told(changed):
    answer = changed(lambda document: document["versions"].update({"infra-gym": "0.0.1"}))
    assert answer.exit_code == 0, answer.output
    assert "Note: it was made with infra-gym 0.0.1, and here is" in answer.stdout


def test_other_versions_are_told_with_a_number_that_differs(changed):
    def change(document):
        document["versions"]["numpy"] = "0.1"
        better_reward(document)

    answer = changed(change)
    assert answer.exit_code == 1
    assert "it was made with numpy 0.1" in answer.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is damaged"),
        ("[]", "is not the file of a benchmark"),
        ('{"form": 1}', "is not the"),
        ('{"form": "infra-gym-benchmark", "machine": {"cores": NaN}}', "is damaged"),
        ("[" * 100_000, "is damaged"),
    ],
    ids=["empty", "a list", "another form", "no number", "brackets"],
)
def test_other_files_are_refused(tmp_path, text, told):
    (tmp_path / "other.json").write_text(text, encoding="utf-8")
    answer = invoke("validate", tmp_path / "other.json")
    assert answer.exit_code == 1
    assert told in answer.stderr


def test_a_file_that_is_not_there_is_told(tmp_path):
    assert "cannot be read" in invoke("validate", tmp_path / "none.json").stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--agents", "hpaa"), "Did you mean 'hpa'?"),
        (("--agents", ","), "--agents names nothing"),
        (("--agents", "hpa,hpa"), "The agent hpa comes twice"),
        (("--workloads", "burst"), "Did you mean 'bursty'"),
        (("--agents", "hpa:none.json"), "infra-gym calibrate --agent hpa"),
        (("--agents", "random:tuned"), "There is no rule to search 'random'"),
        (("--agents", "hpa:tuned", "--budget", "100"), "is too small"),
        (("Scaling-v0",), "no workloads to compare under"),
        (("SimpleK8sWebAp-v0",), "Did you mean"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_played(tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    answer = invoke("benchmark", *arguments)
    assert answer.exit_code == 2, answer.output
    assert told in answer.stderr
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_a_rule_is_searched_once_and_its_file_can_be_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = ("--steps", 2, "--workers", 1, "--workloads", "daily", "--seeds", 2)
    answer = invoke("calibrate", "--agent", "fixed", "--budget", 30_000, "--workers", 1)
    assert answer.exit_code == 0, answer.output
    assert "Use it with --agent fixed:fixed.json" in answer.stdout
    answer = invoke("benchmark", "--agents", "fixed:fixed.json,fixed", *common)
    assert answer.exit_code == 0, answer.output
    found = read_results(tmp_path / "benchmark.json")
    tuned = found.agents["fixed:fixed.json"].tuned
    assert tuned is not None
    assert tuned.parameters == found.agents["fixed:fixed.json"].members[0].parameters
    assert invoke("validate", "benchmark.json", "--workers", 1).exit_code == 0


def test_the_hash_is_of_everything_but_itself(made):
    document = json.loads(made[0].read_text(encoding="utf-8"))
    rest = {name: value for name, value in document.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == document["sha256"]
