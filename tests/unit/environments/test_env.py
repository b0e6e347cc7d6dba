from __future__ import annotations

import dataclasses
import shlex

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from infra_gym.cost import Bill, Budget
from infra_gym.definitions.catalog import definition_file, find_definition
from infra_gym.environments.env import InfraEnv
from infra_gym.environments.farewell import Farewell
from infra_gym.environments.make import make
from infra_gym.environments.place import Place
from infra_gym.errors import (
    ActionError,
    EpisodeOverError,
    InfraGymError,
    NotReadyError,
    PrometheusUnavailableError,
    SettingsError,
    StackError,
    UsageError,
)
from infra_gym.recording import read_run
from infra_gym.task.task import Task
from infra_gym.worlds.simulated import SimulatedWorld

DEFINITION = find_definition("SimpleK8sWebApp-v0")
PLACE = Place("sim", "tests", "env", 15.0, 4.0, DEFINITION.workload)


class BreakableWorld(SimulatedWorld):
    """The twin, failing when told, and telling how it was reset and closed."""

    def __init__(self) -> None:
        super().__init__(DEFINITION, workload=DEFINITION.workload, interval_s=15.0, time_scale=4.0)
        self.failures = 0
        self.refusal: InfraGymError | None = None
        self.modes: list[str] = []
        self.closed: list[bool] = []

    def reset(self, seed, controls, mode):
        self.modes.append(mode)
        if self.refusal is not None:
            raise self.refusal
        return super().reset(seed, controls, mode)

    def step(self, controls):
        if self.failures:
            self.failures -= 1
            raise PrometheusUnavailableError("Prometheus is gone")
        return super().step(controls)

    def close(self, *, keep=False):
        self.closed.append(keep)
        super().close(keep=keep)


def make_env(**arguments) -> InfraEnv:
    arguments.setdefault("budget", Budget())
    return InfraEnv(DEFINITION, PLACE, BreakableWorld(), Task(DEFINITION), **arguments)


def test_gymnasium_finds_nothing_to_complain_about():
    check_env(make_env(), skip_render_check=True)


def test_step_comes_after_reset_and_before_close():
    env = make_env()
    with pytest.raises(NotReadyError, match="reset was not called"):
        env.step(1)
    env.reset(seed=1)
    env.step(1)
    env.close()
    env.close()
    with pytest.raises(NotReadyError, match="closed"):
        env.step(1)
    with pytest.raises(EpisodeOverError, match="closed"):
        env.reset()


def test_the_seed_decides_the_load_and_is_told():
    env = make_env()
    _, first = env.reset(seed=3)
    _, again = env.reset(seed=3)
    _, other = env.reset(seed=4)
    assert first["schedule_sha256"] == again["schedule_sha256"] != other["schedule_sha256"]
    _, unseeded = env.reset()
    assert env.reset(seed=unseeded["seed"])[1]["schedule_sha256"] == unseeded["schedule_sha256"]


def test_a_failure_is_an_error_and_no_reward():
    env = make_env()
    env.reset(seed=1)
    env.world.failures = 1
    with pytest.raises(PrometheusUnavailableError):
        env.step(1)
    with pytest.raises(NotReadyError, match="the step before failed"):
        env.step(1)
    env.reset()
    assert env.world.modes == ["soft", "full"]


def test_a_failure_may_truncate_but_not_without_end():
    env = make_env(on_failure="truncate")
    observation, _ = env.reset(seed=1)
    for _ in range(2):
        env.world.failures = 1
        last, reward, terminated, truncated, info = env.step(1)
        assert (reward, terminated, truncated) == (0.0, False, True)
        assert "Prometheus is gone" in info["invalid"]
        assert np.array_equal(last, observation)
        assert last is not observation
        observation, _ = env.reset(seed=1)
    env.world.failures = 1
    with pytest.raises(PrometheusUnavailableError):
        env.step(1)


def test_a_wrong_action_leaves_the_episode_as_it_was():
    env = make_env()
    env.reset(seed=1)
    with pytest.raises(ActionError):
        env.step(float("nan"))
    *_, info = env.step(2)
    assert info["controls"] == {"replicas": 3}


def test_a_spent_budget_truncates_tears_down_and_ends_it_all():
    env = make_env(budget=Budget(usd=0.0004))
    env.reset(seed=1)
    *_, truncated, info = env.step(1)
    assert not truncated
    *_, truncated, info = env.step(2)
    *_, truncated, info = env.step(1)
    assert truncated
    assert "budget spent" in info["truncated_because"]
    assert env.world.closed == [False]
    with pytest.raises(EpisodeOverError, match="budget spent"):
        env.reset()


def test_keeping_reaches_the_world():
    env = make_env(keep=True)
    env.reset(seed=1)
    env.close()
    assert env.world.closed == [True]


def test_a_spent_budget_tears_down_what_was_to_be_kept():
    env = make_env(keep=True, budget=Budget(usd=1e-9))
    env.reset(seed=1)
    *_, truncated, _ = env.step(1)
    assert truncated
    assert env.world.closed == [False]
    env.close()
    assert not any(env.world.closed)


def test_what_nobody_closed_is_destroyed_by_its_id_or_by_its_ledger_alone():
    for name, named in (("SimpleK8sWebApp-v0", ["SimpleK8sWebApp-v0"]), ("OfAFile-v0", [])):
        farewell = Farewell(name, PLACE, BreakableWorld())
        farewell.cancel()
        stack = ["--target", "sim", "-p", "tests", "-e", "env", "--quiet"]
        assert farewell.command[3:] == ["layers", "destroy", *named, *stack]


def test_what_is_told_to_type_names_the_file_that_an_environment_is_of(tmp_path):
    file = tmp_path / "my envs" / "Mine-v1.yaml"
    file.parent.mkdir()
    told = definition_file(DEFINITION.id).read_text().replace(DEFINITION.id, "Mine-v1")
    file.write_text(told)
    with pytest.raises(SettingsError) as caught:
        make(str(file), target="replay")
    line = f"infra-gym run {shlex.quote(str(file))} --target replay --recording LOG.jsonl"
    assert line in caught.value.next_command
    assert f'infra_gym.environments.make.make("{file}", target="replay"' in str(caught.value)
    with pytest.raises(SettingsError, match=r"Next: gym\.make"):
        make(DEFINITION.id, target="replay")


def test_the_log_names_the_file_that_an_environment_is_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = definition_file(DEFINITION.id).read_text().replace(DEFINITION.id, "Mine-v1")
    (tmp_path / "Mine-v1.yaml").write_text(told)
    for source in ("Mine-v1.yaml", DEFINITION.id):
        log = tmp_path / f"{source}.jsonl"
        env = make(source, target="sim", log=log)
        env.reset(seed=1)
        env.close()
        is_file = source != DEFINITION.id
        assert read_run(log).header.source == (str(tmp_path / source) if is_file else source)


def test_the_reset_mode_is_checked():
    with pytest.raises(SettingsError, match="write 'soft', 'layer' or 'full'"):
        make_env().reset(options={"mode": "hard"})
    with pytest.raises(SettingsError, match="there is only 'mode'"):
        make_env().reset(options={"mdoe": "full"})


def test_the_log_has_every_step(tmp_path):
    env = make_env(log=tmp_path / "run.jsonl")
    assert not list(tmp_path.iterdir()), "construction touches nothing"
    _, info = env.reset(seed=5)
    _, reward, *_ = env.step(2)
    env.close()
    run = read_run(tmp_path / "run.jsonl")
    assert run.header.id == DEFINITION.id
    (episode,) = run.episodes
    assert episode.reset.schedule_sha256 == info["schedule_sha256"]
    assert [step.reward for step in episode.steps] == [reward]


def test_the_log_has_the_step_that_failed(tmp_path):
    env = make_env(log=tmp_path / "run.jsonl", on_failure="truncate")
    env.reset(seed=5)
    env.world.failures = 1
    env.step(2)
    env.close()
    (episode,) = read_run(tmp_path / "run.jsonl").episodes
    (step,) = episode.steps
    assert step.truncated
    assert "Prometheus is gone" in step.info["invalid"]


def test_a_log_that_cannot_be_is_told_before_anything_is_made(tmp_path):
    (tmp_path / "run.jsonl").touch()
    env = make_env(log=tmp_path / "run.jsonl")
    with pytest.raises(UsageError, match="exists already"):
        env.reset(seed=1)
    assert env.world.modes == []


def test_a_reset_that_was_refused_leaves_the_place_of_its_log_free(tmp_path):
    log = tmp_path / "run.jsonl"
    refused = make_env(log=log)
    refused.world.refusal = StackError("nobody has said yes")
    for _ in range(2):
        with pytest.raises(StackError, match="nobody has said yes"):
            refused.reset(seed=1)
        assert not list(tmp_path.iterdir())
    refused.close()
    assert not list(tmp_path.iterdir())
    env = make_env(log=log)
    env.reset(seed=1)
    env.close()
    assert len(read_run(log).episodes) == 1


def test_a_reset_that_fails_later_leaves_the_episodes_before(tmp_path):
    env = make_env(log=tmp_path / "run.jsonl")
    env.reset(seed=1)
    env.world.refusal = StackError("the cluster is gone")
    with pytest.raises(StackError):
        env.reset(seed=2)
    env.close()
    assert len(read_run(tmp_path / "run.jsonl").episodes) == 1


def test_a_simulation_has_no_stack_that_could_expire(monkeypatch):
    monkeypatch.setenv("INFRA_GYM_EXPIRY_HOURS", "0.0000001")
    with make("SimpleK8sWebApp-v0", target="sim") as env:
        env.reset(seed=1)
        *_, truncated, _ = env.step(1)
    assert not truncated


def test_it_can_be_looked_at():
    text = make_env(render_mode="ansi")
    text.reset(seed=1)
    text.step(2)
    assert "latency_p95" in str(text.render())
    picture = make_env(render_mode="rgb_array")
    picture.reset(seed=1)
    for _ in range(3):
        picture.step(2)
    pixels = picture.render()
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert len(np.unique(pixels)) > 2
    with pytest.raises(SettingsError, match="render_mode"):
        make_env(render_mode="hologram")


class BilledWorld(BreakableWorld):
    """The twin, as if an account were billed for it: a cent for the start, then by the hour."""

    usd_per_hour = 0.6

    def billed(self, reading):
        hours = reading.tick * 60 / 3600
        bill = Bill(usd=0.01 + hours * self.usd_per_hour, usd_per_hour=self.usd_per_hour)
        return dataclasses.replace(reading, bill=bill)

    def reset(self, seed, controls, mode):
        return self.billed(super().reset(seed, controls, mode))

    def step(self, controls):
        return self.billed(super().step(controls))


def billed_env(**budget) -> InfraEnv:
    return InfraEnv(DEFINITION, PLACE, BilledWorld(), Task(DEFINITION), budget=Budget(**budget))


def test_what_is_billed_takes_the_place_of_the_definitions_prices():
    env = billed_env()
    _, info = env.reset(seed=1)
    assert info["cost_usd"] == pytest.approx(0.01)  # what stood before the first step
    for _ in range(3):
        observation, reward, _, _, info = env.step(1)
        assert info["cost_usd"] == pytest.approx(0.01)
        assert info["rewards"]["cost"] == -info["cost_usd"]
    assert reward == pytest.approx(sum(info["rewards"].values()))
    names = env.task.observations.names
    assert observation[names.index("cost_rate")] == pytest.approx(0.6)
    assert info["bill"]["usd"] == pytest.approx(0.04)


def test_a_budget_keeps_what_the_next_step_and_the_teardown_cost():
    # A step of 15 s and a teardown of 600 s cost 10.25 cents; every step counted, 1 cent.
    env = billed_env(usd=0.14)
    env.reset(seed=1)
    *_, truncated, info = env.step(1)
    assert (truncated, env.world.closed) == (False, [])
    env.step(1)
    *_, truncated, info = env.step(1)
    assert truncated
    assert "are kept for the end" in info["truncated_because"]
    assert info["bill"]["usd"] < 0.14
    assert env.world.closed == [False]
    with pytest.raises(EpisodeOverError, match="budget spent"):
        env.reset()


def test_a_start_that_leaves_nothing_for_a_step_is_torn_down():
    env = billed_env(usd=0.1)
    with pytest.raises(EpisodeOverError, match=r"budget spent: .*torn down"):
        env.reset(seed=1)
    assert env.world.closed == [False]
    with pytest.raises(NotReadyError, match="budget spent"):
        env.step(1)
