"""A recorded run as a world."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra_gym.cli.episode import Episode
from infra_gym.definitions.catalog import find_definition
from infra_gym.environments.env import InfraEnv
from infra_gym.environments.make import make
from infra_gym.errors import (
    DivergedError,
    EpisodeOverError,
    InfraGymError,
    SettingsError,
    UsageError,
)
from infra_gym.recording import read_run
from infra_gym.testing import check_environment

ID = "SimpleK8sWebApp-v0"
ACTIONS = (2, 2, 1, 0, 2)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes of seed 3 and one of seed 4, of which the second of seed 3 is shorter."""
    path = tmp_path_factory.mktemp("recorded") / "run.jsonl"
    env = make(ID, target="sim", log=path)
    for seed, actions in ((3, ACTIONS), (4, ACTIONS), (3, (0, 1))):
        play(env, seed, actions)
    env.close()
    return path


def play(env: InfraEnv, seed: int, actions: tuple[int, ...]) -> list[Any]:
    env.reset(seed=seed)
    return [env.step(action) for action in actions]


def replay(recording: Path, **arguments: Any) -> InfraEnv:
    return make(ID, target="replay", recording=recording, **arguments)


def test_the_same_actions_write_the_same_log(recording: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.jsonl"
    env = replay(recording, log=again)
    for seed, actions in ((3, ACTIONS), (4, ACTIONS), (3, (0, 1))):
        play(env, seed, actions)
    env.close()
    first, second = read_run(recording), read_run(again)
    assert [episode.reset for episode in second.episodes] == [
        episode.reset for episode in first.episodes
    ]
    for one, other in zip(first.episodes, second.episodes, strict=True):
        assert other.steps[:-1] == one.steps[:-1]
        last = other.steps[-1]
        assert last.truncated
        assert last.info.pop("truncated_because") == "the recorded episode ends here"
        assert last.model_copy(update={"truncated": False}) == one.steps[-1]
    assert second.header.target == "replay"


def test_it_ends_where_the_recording_does(recording: Path) -> None:
    env = replay(recording)
    *_, (_, _, terminated, truncated, info) = play(env, 3, ACTIONS)
    assert (terminated, truncated) == (False, True)
    assert info["truncated_because"] == "the recorded episode ends here"
    with pytest.raises(Exception, match="the recorded episode ends here"):
        env.step(1)


def test_other_controls_are_an_error(recording: Path) -> None:
    env = replay(recording)
    env.reset(seed=4)
    env.step(2)
    with pytest.raises(DivergedError, match=r"step 2 replicas=4 was recorded, and now replicas=2"):
        env.step(0)


def test_an_episode_without_steps_is_over(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_text("".join(recording.read_text().splitlines(keepends=True)[:2]))
    env = replay(path)
    env.reset(seed=3)
    with pytest.raises(EpisodeOverError, match="no further step"):
        env.step(1)


def test_a_seed_that_was_not_recorded_is_refused(recording: Path) -> None:
    with pytest.raises(UsageError, match=r"no episode of seed 1. Its seeds: 3, 4\.") as caught:
        replay(recording).reset(seed=1)
    assert "--seed 3" in str(caught.value)


def test_a_step_that_failed_fails_again(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "failed.jsonl"
    lines = recording.read_text().splitlines()
    step = json.loads(lines[2])
    step |= {"metrics": {}, "terms": {}, "info": {"invalid": "Prometheus is down."}}
    path.write_text("\n".join([*lines[:2], json.dumps(step)]) + "\n")
    with pytest.raises(DivergedError, match=r"step 1 failed .*: Prometheus is down\."):
        play(replay(path), 3, (2,))


def test_what_an_account_was_billed_is_the_cost_again(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "billed.jsonl"
    lines = [json.loads(line) for line in recording.read_text().splitlines()[:4]]
    for number, line in enumerate(lines[1:]):
        line["info"]["bill"] = {"usd": 0.5 + 0.25 * number, "usd_per_hour": 0.75, "waiting": 0}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    infos = [info for *_, info in play(replay(path), 3, ACTIONS[:2])]
    assert [info["cost_usd"] for info in infos] == [0.25, 0.25]
    assert infos[-1]["bill"] == {"usd": 1.0, "usd_per_hour": 0.75, "waiting": 0}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("definition_sha256", "0" * 64, "another definition of SimpleK8sWebApp-v0: its hash is 0"),
        ("id", "FaaSScaling-v0", "is a recording of FaaSScaling-v0, not of SimpleK8sWebApp-v0"),
    ],
)
def test_another_definition_is_refused(
    recording: Path, tmp_path: Path, field: str, value: str, message: str
) -> None:
    header, *rest = recording.read_text().splitlines(keepends=True)
    path = tmp_path / "other.jsonl"
    path.write_text("".join([json.dumps({**json.loads(header), field: value}) + "\n", *rest]))
    with pytest.raises(UsageError, match=message):
        replay(path)


def test_what_is_told_to_type_is_quoted(recording: Path, tmp_path: Path) -> None:
    header, *rest = recording.read_text().splitlines(keepends=True)
    path = tmp_path / "my run.jsonl"
    path.write_text("".join([json.dumps({**json.loads(header), "id": "Other-v0"}) + "\n", *rest]))
    with pytest.raises(UsageError) as caught:
        replay(path)
    assert caught.value.next_command == (
        f"infra-gym run Other-v0 --target replay --recording '{path}'"
    )


@pytest.mark.parametrize(
    ("part", "name", "message"),
    [
        ("info", "tick", r"step 1 cannot be played again: info\.tick: Field required"),
        ("info", "controls", r"step 1 cannot be played again: info\.controls: Field required"),
        ("metrics", "interval_s", "step 1 was recorded without its length, interval_s"),
    ],
)
def test_a_line_that_does_not_tell_what_it_must_is_an_error(
    recording: Path, tmp_path: Path, part: str, name: str, message: str
) -> None:
    path = tmp_path / "timeless.jsonl"
    lines = [json.loads(line) for line in recording.read_text().splitlines()[:3]]
    del lines[2][part][name]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(DivergedError, match=message):
        play(replay(path), 3, ACTIONS[:1])


HOSTILE: list[Any] = [
    *(None, True, -1, 3, 1e308, 10**400, "", "2", "\x1b[2J\ud800", [], [[]], {}),
    *({"": {}}, {"a": [1, "b"]}, [None, 2], {"usd": "much", "usd_per_hour": None}),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2])
    for key, one in inner:
        yield (*path, key)
        if isinstance(one, dict | list):
            yield from places(one, (*path, key))


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # then clipped
def test_hostile_values_are_a_clear_error_or_harmless(recording: Path, tmp_path: Path) -> None:
    """Whatever stands anywhere in a line, replaying it ends or raises one of our errors."""
    lines = [json.loads(line) for line in recording.read_text().splitlines()[:3]]
    lines[2]["info"]["bill"] = {"usd": 0.5, "usd_per_hour": 0.75, "waiting": 0}
    cases = [
        (number, place, value)
        for number, line in enumerate(lines)
        for place in places(line)
        for value in HOSTILE
    ]
    path = tmp_path / "hostile.jsonl"
    refused = 0
    for number, place, value in random.Random(1).sample(cases, 150):
        changed = copy.deepcopy(lines)
        inner = changed[number]
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        path.write_text("".join(json.dumps(line) + "\n" for line in changed))
        episode = Episode(find_definition(ID))
        try:
            env = replay(path)
            _, info = env.reset(seed=3)
            episode.begin(info)
            _, reward, *_, info = env.step(ACTIONS[0])
            episode.add(float(reward), info)
            episode.summary()
        except InfraGymError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"line {number + 1}, {place}: {value!r}") from error
    assert 30 < refused < 150


def test_a_recording_without_a_load_is_refused(recording: Path, tmp_path: Path) -> None:
    header = recording.read_text().splitlines()[0]
    path = tmp_path / "idle.jsonl"
    path.write_text("".join([json.dumps({**json.loads(header), "info": {"workload": 3}}), "\n"]))
    with pytest.raises(UsageError, match=r"workload\.profile"):
        replay(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "replay"}, "replay needs a recording"),
        ({"target": "sim", "recording": "a.jsonl"}, "the target is 'sim'"),
        ({"target": "replay", "recording": "a.jsonl", "interval_s": 5}, "interval_s: decided by"),
        ({"target": "replay", "recording": "a.jsonl", "randomise": True}, "randomise: decided by"),
    ],
)
def test_arguments_that_do_not_fit(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make(ID, **arguments)


def test_it_conforms(tmp_path: Path) -> None:
    """What the suite did is recorded, and then done again on the recording."""
    path = tmp_path / "suite.jsonl"
    check_environment(ID, target="sim", log=path).raise_for_failures()
    report = check_environment(ID, target="replay", recording=path)
    report.raise_for_failures()
    assert set(report.noise.values()) == {0.0}
