"""Cases, the player and the team of one, on the simulator."""

from __future__ import annotations

import tempfile
from pathlib import Path

import gymnasium as gym
import pytest

from infra_gym.errors import (
    EpisodeOverError,
    LayerFailedError,
    NotReadyError,
    SettingsError,
    StaleMetricsError,
    UnknownNameError,
    UsageError,
)
from infra_gym.evaluation.arena import LONGEST_NAME, Arena
from infra_gym.evaluation.evaluate import Alone, Case, Contestant, Player, cases_of

ID = "SimpleK8sWebApp-v0"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def arena(**arguments) -> Arena:
    return Arena.find(ID, target="sim", **{"steps": 5, **arguments})


def case(agent="random", seed=1, **parameters) -> Case:
    return Case(0, Contestant(agent, parameters), seed)


def test_every_agent_plays_every_seed_the_agents_one_after_another():
    cases = cases_of([Contestant("hpa"), Contestant("random")], [3, 1])
    assert [(one.index, one.contestant.name, one.seed) for one in cases] == [
        (0, "hpa", 3),
        (1, "hpa", 1),
        (2, "random", 3),
        (3, "random", 1),
    ]


@pytest.mark.parametrize(
    ("agents", "seeds", "told"),
    [
        (["hpa"], [1, 2, 1], "The seed 1 comes twice"),
        (["hpa", "hpa"], [1], "The agent hpa comes twice"),
        (["hpaa"], [1], "There is no agent 'hpaa'. Did you mean 'hpa'?"),
    ],
)
def test_cases_that_would_mislead_are_refused(agents, seeds, told):
    with pytest.raises(UsageError, match=told):
        cases_of([Contestant(name) for name in agents], seeds)


def test_an_agents_parameters_are_checked_before_anything_is_made():
    with pytest.raises(UsageError, match="no parameter 'tarrget'"):
        cases_of([Contestant("hpa", {"tarrget": 1})], [1])


def test_an_episode_in_numbers():
    player = Player(arena(), number=7)
    try:
        result = player.play(case()).result
    finally:
        player.close()
    assert (result.agent, result.seed, result.worker, result.steps) == ("random", 1, 7, 5)
    assert result.ended == "after 5 steps"
    assert result.reward == pytest.approx(sum(result.terms.values()))
    assert result.cost_usd > 0
    assert 0 <= result.slo_share <= 1


def test_an_episode_does_not_depend_on_those_before():
    cases = cases_of([Contestant("random"), Contestant("hpa")], [5, 6])
    results = []
    for order in (cases, cases[::-1]):
        team = Alone(arena())
        results.append({one.case.index: one.result for one in team.play(order)})
        team.close()
    assert results[0] == results[1]
    assert len({one.reward for one in results[0].values()}) == 4


def test_the_log_comes_episode_by_episode_and_leaves_nothing(tmp_path):
    player = Player(arena())
    first, second = player.play(case()), player.play(case(seed=2))
    kinds = [[line.split('"')[3] for line in one.log] for one in (first, second)]
    assert kinds == [["header", "reset", *["step"] * 5], ["reset", *["step"] * 5]]
    assert list(tmp_path.iterdir()) == []
    player.close()


def test_an_id_that_is_no_stack_of_layers():
    found = Arena.find("CartPole-v1")
    player = Player(found)
    played = player.play(case())
    player.close()
    assert played.result.ended == "terminated"
    assert (played.result.cost_usd, played.result.slo_share, played.log) == (None, None, ())


def test_a_player_that_was_stopped_does_not_go_on():
    player = Player(arena())
    player.stop()
    with pytest.raises(EpisodeOverError, match="stopped"):
        player.play(case())
    player.close()


@pytest.mark.parametrize(
    ("identifier", "arguments", "error", "told"),
    [
        ("CartPol-v1", {}, UnknownNameError, "Did you mean 'CartPole-v1'"),
        ("nomodule_here:Some-v0", {}, SettingsError, "nomodule_here"),
        ("CartPole-v1", {"target": "local"}, SettingsError, "it has no --target"),
        ("CartPole-v1", {"randomise": True}, SettingsError, "it has no --randomise"),
        (ID, {"target": "local", "fidelity": "fluid"}, SettingsError, "--target sim"),
        (ID, {"target": "mars"}, SettingsError, "target"),
        (ID, {"target": "sim", "environment": "Not Good"}, SettingsError, "environment"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_made(identifier, arguments, error, told):
    with pytest.raises(error, match=told):
        Arena.find(identifier, **arguments)


def test_a_name_leaves_room_for_numbers():
    found = Arena.find(ID, target="sim")
    assert found.environment.startswith("simplek8swebapp-v0-sim-")
    assert len(found.environment) <= LONGEST_NAME


def test_own_files_are_named_by_their_whole_path(tmp_path):
    text = (Path(__file__).parents[3] / "envs" / f"{ID}.yaml").read_text(encoding="utf-8")
    Path("Own-v0.yaml").write_text(text.replace(ID, "Own-v0"), encoding="utf-8")
    assert Arena.find("Own-v0.yaml", target="sim").identifier == str(tmp_path / "Own-v0.yaml")
    assert arena().identifier == ID


def test_an_episode_is_never_longer_than_the_definitions(tmp_path):
    whole = arena(steps=None)
    assert arena(steps=10**6).steps == whole.steps == gym.spec(ID).max_episode_steps


class Faulty(Player):
    """Its first episodes cannot be measured."""

    def __init__(self, failures, error, **arguments):
        super().__init__(arena(**arguments))
        self._left, self._error = failures, error

    def _episode(self, case):
        if self._left:
            self._left -= 1
            self._env.reset(seed=case.seed)
            self._env.step(0)
            raise self._error
        return super()._episode(case)


def test_an_episode_that_could_not_be_measured_is_played_again_and_logged_once():
    player = Faulty(2, StaleMetricsError("no new sample"))
    played = player.insist(case(), times=2)
    kinds = [line.split('"')[3] for line in played.log]
    after = player.play(case(seed=2))
    player.close()
    assert kinds == ["header", "reset", *["step"] * 5]
    assert [line.split('"')[3] for line in after.log] == ["reset", *["step"] * 5]
    assert played.lost == ("random, seed 1, is played again: no new sample",) * 2


class Unready(Player):
    """Its first reset fails, and leaves no log."""

    _failed = False

    def _episode(self, case):
        if not self._failed:
            self._failed = True
            raise NotReadyError("not ready")
        return super()._episode(case)


def test_an_episode_whose_first_reset_failed_is_played_again():
    player = Unready(arena())
    played = player.insist(case(), times=1)
    player.close()
    assert [line.split('"')[3] for line in played.log] == ["header", "reset", *["step"] * 5]


@pytest.mark.parametrize(
    ("failures", "error"),
    [(3, StaleMetricsError("no new sample")), (1, LayerFailedError("broken"))],
)
def test_what_fails_too_often_or_otherwise_is_an_error(failures, error):
    player = Faulty(failures, error)
    with pytest.raises(type(error)):
        player.insist(case(), times=2)
    player.close()
