"""Short trainings: what they keep, how they go on, and that agents do what their policies hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import gymnasium as gym
import numpy as np
import pytest
from typer.testing import CliRunner

import infra_gym  # noqa: F401 - its environments exist once it is imported
from infra_gym.agents import make_agent
from infra_gym.agents.model_file import read
from infra_gym.cli.main import app
from infra_gym.errors import UsageError

pytest.importorskip("stable_baselines3", reason='pip install -e ".[train]"')

from infra_gym.training import Plan, Recipe, read_plan, save_model, train

SCALING = {"influx": "random", "change_rate": 20}
FEW = Recipe(
    steps=256, arguments=(SCALING,), environments=4, episode_steps=20, rollout=16, batch=32,
    frames=2, hidden=(8,),
)  # fmt: skip
PROGRAM = [sys.executable, "-c", "from infra_gym.cli.main import main; main()"]


def plan(algorithm="ppo", environment="Scaling-v0", seed=1, **changes):
    recipe = FEW.model_copy(update=changes)
    return Plan.make(environment, algorithm=algorithm, seed=seed, recipe=recipe)


def weights(path):
    return read(path).network.weights


class GoneError(Exception):
    """The machine went away."""


def stop_at(steps):
    def on_progress(progress):
        if progress.steps >= steps:
            raise GoneError

    return on_progress


def test_the_same_seed_gives_the_same_policy(tmp_path):
    paths = [
        train(plan(seed=seed), tmp_path / name).model
        for name, seed in (("a", 1), ("again", 1), ("b", 2))
    ]
    first, again, other = map(weights, paths)
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def test_a_rollout_is_cut_into_even_batches(tmp_path):
    assert train(plan(batch=40), tmp_path / "a").model.exists()  # a warning would be an error


def test_what_is_kept_tells_where_it_came_from(tmp_path):
    trained = train(plan(), tmp_path)
    assert trained.complete
    document = read(trained.model).document
    assert (document.environment, document.steps, document.frames) == ("Scaling-v0", 256, 2)
    assert document.training == read_plan(tmp_path).model_dump(mode="json")
    assert {"infra-gym", "torch", "stable-baselines3"} <= document.versions.keys()
    assert list((tmp_path / "tensorboard").rglob("events*"))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.timeout(400)  # simulators are compiled on the first call
@pytest.mark.parametrize(
    ("algorithm", "environment", "changes"),
    [
        ("ppo", "Scaling-v0", {}),
        ("dqn", "Scaling-v0", {"buffer": 200}),
        ("maskable-ppo", "BatchScheduling-v0", {
            "arguments": ({"decision": "head", "jobs": 16, "max_queue": 8},),
            "episode_steps": None, "rows": True, "scale": "shares", "frames": 1,
        }),
        ("ppo", "SimpleK8sWebApp-v0", {"arguments": ({"fidelity": "reference"},)}),
        ("ppo", "FaaSScaling-v0", {"arguments": ({},), "environments": 1}),
    ],
)  # fmt: skip
def test_the_agent_does_what_the_policy_holds_for_best(tmp_path, algorithm, environment, changes):
    """Stable-Baselines3's own prediction on what :class:`Sensed` shows, and ours on the plain
    environment."""
    from infra_gym.training.algorithms import make_model
    from infra_gym.training.sensed import Sensed
    from infra_gym.training.vec_env import VectorEnvs
    from infra_gym.training.vectors import make_vector

    made = plan(algorithm, environment, **changes)
    trained = train(made, tmp_path)
    recipe = made.recipe
    vector = make_vector(environment, 1, recipe.arguments[0], episode_steps=None)
    fixed = read(trained.model).scale

    class Fixed(Sensed):
        scale = fixed

    env = Fixed(VectorEnvs([vector]), scale=recipe.scale, frames=recipe.frames, gamma=0.9)
    model = make_model(made.algorithm, recipe, env, seed=5)
    from stable_baselines3.common.save_util import load_from_zip_file

    model.set_parameters(load_from_zip_file(trained.model, load_data=False)[1])
    options = {"target": "sim"} if environment not in ("Scaling-v0", "BatchScheduling-v0") else {}
    plain = gym.make(environment, **options, **recipe.arguments[0])
    agent = make_agent(str(trained.model))
    env.seed(7)
    seen = env.reset()
    observation, info = plain.reset(seed=7)
    agent.reset(7, plain)
    for _ in range(12):
        masks = {}
        if algorithm == "maskable-ppo":
            masks = {"action_masks": np.stack(env.env_method("action_masks"))}
        wanted, _ = model.predict(seen, deterministic=True, **masks)
        action = agent.act(observation, info)
        assert action == wanted[0]
        seen = env.step(wanted)[0]
        observation, _, terminated, truncated, info = plain.step(action)
        if terminated or truncated:  # the vector began its next episode in this very step
            break


def test_a_training_that_died_goes_on_from_its_last_checkpoint(tmp_path):
    with pytest.raises(GoneError):
        train(plan(), tmp_path, on_progress=stop_at(150), checkpoint_s=0)
    assert read(tmp_path / "model.zip").document.steps == 128
    steps = []
    trained = train(
        plan(), tmp_path, resume=True, on_progress=lambda progress: steps.append(progress.steps)
    )
    assert steps[0] == 128 + 4
    assert trained.complete
    assert read(trained.model).document.steps == 256


def test_one_that_is_done_has_nothing_left_to_do(tmp_path):
    first = train(plan(), tmp_path)
    again = train(plan(), tmp_path, resume=True, on_progress=pytest.fail)
    assert again.complete
    assert again.progress.steps == first.progress.steps


def test_what_is_not_there_cannot_go_on(tmp_path):
    command = ["train", "Scaling-v0", "--resume", "--out", str(tmp_path / "none")]
    assert CliRunner().invoke(app, command).exit_code == 2


def test_one_that_died_before_its_first_checkpoint_begins_again(tmp_path):
    with pytest.raises(GoneError):
        train(plan(), tmp_path, on_progress=stop_at(1))
    assert not (tmp_path / "model.zip").exists()
    assert train(plan(), tmp_path, resume=True).complete


def test_one_that_is_stopped_is_kept_and_can_be_made_longer(tmp_path):
    stopped = train(plan(), tmp_path, stopped=lambda: True)
    assert not stopped.complete
    assert read(stopped.model).document.steps == 4
    assert train(plan(steps=320), tmp_path, resume=True).progress.steps >= 320
    assert read_plan(tmp_path).recipe.steps == 320


def test_steps_are_whole_turns_and_the_command_says_so(tmp_path):
    folder = tmp_path / "it"
    with pytest.raises(GoneError):
        train(plan(steps=100), folder, on_progress=stop_at(1))
    command = ["train", "Scaling-v0", "--resume", "--out", str(folder)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    assert "These are 100 steps, rounded up: 4 environments make them in turns" in told
    assert "128 of 128" in told
    assert read(folder / "model.zip").document.steps == 128


def test_a_training_that_goes_on_does_not_become_shorter(tmp_path):
    train(plan(), tmp_path, stopped=lambda: True)
    command = ["train", "Scaling-v0", "--resume", "--out", str(tmp_path), "--steps", "128"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "was begun for 256 steps" in " ".join(done.output.split())
    assert read(tmp_path / "model.zip").document.steps == 4


def test_a_folder_is_never_overwritten(tmp_path):
    train(plan(steps=64), tmp_path)
    with pytest.raises(UsageError, match=r"has a training already[^$]*--resume"):
        train(plan(steps=64), tmp_path)
    with pytest.raises(UsageError, match="other settings"):
        train(plan(seed=2), tmp_path, resume=True)
    with pytest.raises(UsageError, match="no training to go on with"):
        read_plan(tmp_path / "other")


def test_an_algorithm_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(UsageError, match="tells which actions are allowed"):
        train(plan("maskable-ppo"), tmp_path)


def test_a_model_of_ones_own_is_an_agent(tmp_path):
    from stable_baselines3 import PPO

    from infra_gym.training.vec_env import VectorEnvs
    from infra_gym.training.vectors import make_vector

    env = VectorEnvs([make_vector("Scaling-v0", 2, SCALING)])
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=16, device="cpu").learn(16)
    save_model(tmp_path / "mine.zip", model, "Scaling-v0")
    agent = make_agent(str(tmp_path / "mine.zip"))
    plain = gym.make("Scaling-v0", **SCALING)
    observation, info = plain.reset(seed=1)
    agent.reset(1, plain)
    assert agent.act(observation, info) == model.predict(observation, deterministic=True)[0]


def test_the_command_trains_and_its_model_is_an_agent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["train", "Scaling-v0", "--steps", "40000", "--out", "first", "--json", "--quiet"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    played = CliRunner().invoke(
        app,
        ["evaluate", "Scaling-v0", "--agent", "first/model.zip", "--steps", "5", "--episodes", "2"],
    )
    assert played.exit_code == 0, played.output


def signalled(folder, arguments, number, wanted):
    """A training in ``folder``/it that gets a signal once there are files like ``wanted``."""
    with subprocess.Popen(
        [*PROGRAM, "train", "Scaling-v0", "--out", "it", *arguments],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "160"},
    ) as process:
        before = set((folder / "it").rglob(wanted))
        try:
            deadline = time.monotonic() + 200
            while not set((folder / "it").rglob(wanted)) - before:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.2)
            process.send_signal(number)
            out, _ = process.communicate(timeout=100)
        finally:
            process.kill()
    return process.returncode, out


@pytest.mark.timeout(700)
@pytest.mark.parametrize(
    ("number", "wanted"), [(signal.SIGINT, "events*"), (signal.SIGKILL, "model.zip")]
)
def test_a_training_that_a_signal_ends_goes_on(tmp_path, number, wanted):
    code, out = signalled(tmp_path, ["--steps", "100000000"], number, wanted)
    if number == signal.SIGINT:
        assert code == 130
        assert "To go on: infra-gym train Scaling-v0 --resume --out it" in out
    steps = read(tmp_path / "it" / "model.zip").document.steps
    assert steps > 0
    code, _ = signalled(tmp_path, ["--resume"], signal.SIGINT, "events*")
    assert code == 130
    assert read(tmp_path / "it" / "model.zip").document.steps > steps
