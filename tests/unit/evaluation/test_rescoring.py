"""A live benchmark is scored again from its run logs.

The logs here are the simulator's, relabelled: one of target ``local`` is of the same form.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from infra_gym.errors import ResultsError
from infra_gym.evaluation.arena import Arena
from infra_gym.evaluation.benchmark import (
    Plan,
    find_definition_of,
    find_workloads,
    log_of,
    results_of,
    shuffled,
)
from infra_gym.evaluation.entrants import again, entrants
from infra_gym.evaluation.evaluate import Alone
from infra_gym.evaluation.logs import Logs
from infra_gym.evaluation.validate import validate
from infra_gym.workloads.splits import loads_of

ID = "SimpleK8sWebApp-v0"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The text of a log and the results that were made with it."""
    folder = tmp_path_factory.mktemp("recorded")
    definition = find_definition_of(ID)
    agents = entrants(["hpa", "random"], tune=lambda _: pytest.fail("nothing to tune"))
    label, entrant = again("hpa", agents["hpa"])
    agents[label] = entrant
    arena = Arena.find(ID, target="sim", steps=3)
    loads = find_workloads(definition, ["daily"])
    plan = Plan(arena, definition, agents, loads, loads_of("held_out").seeds(2))
    path = folder / "log.jsonl"
    logs, team, order = (
        Logs(path, workers=False),
        Alone(plan.arenas()["daily"]),
        [*shuffled(plan, "daily")],
    )
    played = {}
    for (place, _), one in zip(order, team.play([case for _, case in order]), strict=True):
        played[place] = one.result
        logs.add(one)
    team.close()
    logs.close("closed")
    text = path.read_text(encoding="utf-8").replace('"target":"sim"', '"target":"local"', 1)
    results = results_of(plan, played, began_at=datetime.now(UTC))
    return text, results.model_copy(update={"target": "local"}), [place for place, _ in order]


@pytest.fixture
def checked(recorded, tmp_path):
    """Validate with another log, or other results; the log's hash is always made to fit."""

    def check(change=lambda lines: None, results=lambda found: found, *, sealed=True):
        text, found, _ = recorded
        lines = [json.loads(line) for line in text.splitlines()]
        change(lines)
        path = tmp_path / "log.jsonl"
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
        log = log_of(path, "daily", tmp_path)
        if not sealed:
            log = log.model_copy(update={"sha256": sha256(b"").hexdigest()})
        return validate(results(found.model_copy(update={"logs": (log,)})), tmp_path)

    return check


def test_what_the_logs_say_holds_and_it_is_said_how_it_was_checked(checked):
    verdict = checked()
    assert verdict.how == "scored again from the recordings"
    assert verdict.episodes == 6


def test_the_order_is_random_and_the_same_again(recorded):
    agents = [place.agent for place in recorded[2]]
    assert agents != sorted(agents)
    assert {agents.count(each) for each in agents} == {2}


def steps_of(lines):
    return [line for line in lines if line["kind"] == "step"]


def other_metric(lines):
    steps_of(lines)[2]["metrics"]["within_slo"] -= 10


def other_reward(lines):
    steps_of(lines)[2]["reward"] += 0.01


def other_metric_and_reward(lines):
    step = steps_of(lines)[2]
    step["metrics"]["within_slo"] -= 10
    step["reward"] -= 10 * 0.0002


def cheaper_replicas(lines):
    for step in steps_of(lines):
        step["metrics"]["cost_usd"] = 0.0


def fewer_replicas(lines):
    for step in steps_of(lines):
        step["metrics"]["replicas"] = 1.0


def nothing_measured(lines):
    steps_of(lines)[2]["metrics"].clear()


def other_agent(lines):
    next(line for line in lines if line["kind"] == "reset")["info"]["agent"] = "random"


def other_seed(lines):
    next(line for line in lines if line["kind"] == "reset")["seed"] = 7


def other_target(lines):
    lines[0]["target"] = "k8s"


def one_episode_less(lines):
    last = max(place for place, line in enumerate(lines) if line["kind"] == "reset")
    del lines[last:-1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (other_metric, "the log's reward is"),
        (other_reward, "the log's reward is"),
        (other_metric_and_reward, r"reward: the file says|slo_share: the file says"),
        (fewer_replicas, "the log's reward is"),
        (nothing_measured, "the log has no replicas, interval_s, requests, within_slo"),
        (other_agent, "in the log it is the episode of random"),
        (other_seed, "seed 7"),
        (other_target, "is of target k8s"),
        (one_episode_less, "the log has 5 episodes, the file 6"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_changed_log_is_refused_even_with_its_new_hash(checked, change, told):
    with pytest.raises(ResultsError, match=told):
        checked(change)


def test_costs_are_computed_anew_so_the_log_s_do_not_matter(checked):
    assert checked(cheaper_replicas).episodes == 6


def test_a_log_that_changed_since_is_refused_by_its_hash(checked):
    with pytest.raises(ResultsError, match="was changed after it was written"):
        checked(sealed=False)


def test_an_agent_that_is_said_to_be_another_again_must_be_it(checked):
    def claim(found):
        agents = dict(found.agents)
        agents["hpa again"] = agents["hpa again"].model_copy(update={"repeats": "random"})
        return found.model_copy(update={"agents": agents})

    with pytest.raises(ResultsError, match="it is not random again"):
        checked(results=claim)


def test_a_log_that_is_missing_is_told(recorded, tmp_path):
    with pytest.raises(ResultsError, match="its run log is not named"):
        validate(recorded[1], tmp_path)
