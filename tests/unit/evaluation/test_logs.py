"""The log of all, from what workers wrote."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from infra_gym.errors import UsageError
from infra_gym.evaluation.arena import Arena
from infra_gym.evaluation.evaluate import Contestant, Player, cases_of
from infra_gym.evaluation.logs import Logs
from infra_gym.recording import read_run

CASES = cases_of([Contestant("random")], [1, 2, 3])


@pytest.fixture(scope="module")
def played():
    """Seeds 3, 1, 2 in this order, by workers 1, 2 and 2's replacement."""
    found = []
    for number, case, name in ((1, CASES[2], "demo-1"), (2, CASES[0], "demo-2"),
                               (2, CASES[1], "demo-2-abcd")):  # fmt: skip
        arena = Arena.find("SimpleK8sWebApp-v0", target="sim", environment=name, steps=2)
        player = Player(arena, number)
        found.append(player.play(case))
        player.close()
    return found


def test_the_log_of_all_is_a_run_log_in_the_evaluations_order(played, tmp_path):
    logs = Logs(tmp_path / "all.jsonl", workers=True)
    for one in played:
        logs.add(one)
    run = read_run(logs.close("closed"))
    assert [one.reset.seed for one in run.episodes] == [1, 2, 3]
    assert [one.reset.info["worker"] for one in run.episodes] == [2, 2, 1]
    assert run.header.info["workers"] == {"1": ["demo-1"], "2": ["demo-2", "demo-2-abcd"]}
    assert "environment" not in run.header.info
    assert run.closed.reason == "closed"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "all.jsonl",
        "all.worker-1.jsonl",
        "all.worker-2-2.jsonl",
        "all.worker-2.jsonl",
    ]
    assert [one.reset.seed for one in read_run(tmp_path / "all.worker-2-2.jsonl").episodes] == [2]


def test_the_log_changes_nothing_but_what_it_adds(played, tmp_path):
    logs = Logs(tmp_path / "all.jsonl", workers=False)
    logs.add(played[0])
    lines = logs.close("closed").read_text().splitlines()[1:-1]
    for line, before in zip(map(json.loads, lines), played[0].log[1:], strict=True):
        assert line["info"].pop("worker") == 1
        line["info"].pop("agent", None)
        assert line == json.loads(before)


def test_without_episodes_or_a_path_there_is_no_log(played, tmp_path):
    assert Logs(tmp_path / "all.jsonl", workers=True).close("closed") is None
    nowhere = Logs(None, workers=True)
    nowhere.add(played[0])
    assert nowhere.close("closed") is None
    logs = Logs(tmp_path / "all.jsonl", workers=True)
    logs.add(replace(played[0], log=()))
    assert logs.close("closed") is None
    assert list(tmp_path.iterdir()) == []


def test_a_log_is_never_overwritten(tmp_path):
    (tmp_path / "all.jsonl").touch()
    with pytest.raises(UsageError, match="exists already"):
        Logs(tmp_path / "all.jsonl", workers=False)
    with pytest.raises(UsageError, match="cannot be made"):
        Logs(tmp_path / "all.jsonl" / "below.jsonl", workers=False)
