"""The six algorithms of RLScale-Bench on one load of the twin, by Stable-Baselines3.

All have the same networks, observations, rewards, discount and steps; what is an algorithm's own is
as Stable-Baselines3 has it, but for the numbers in :data:`_NUMBERS`. Those that learn from a buffer
make as many gradients. SAC, TD3 and DDPG choose a number from -1 to 1, of which each third is one
of the three actions.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn, VecEnvWrapper

from infra_gym.agents.model_file import Document, Model, append
from infra_gym.agents.network import Network
from infra_gym.training.library import versions
from infra_gym.training.sensed import Sensed
from infra_gym.training.vec_env import VectorEnvs
from infra_gym.training.vectors import make_vector

DISCRETE, CONTINUOUS = ("ppo", "a2c", "dqn"), ("sac", "td3", "ddpg")
_NOISY = ("td3", "ddpg")

_AT_ONCE = 16
_HIDDEN = (64, 64)
_GAMMA = 0.95
_SENSES: Mapping[str, Any] = {
    "scale": "standard", "frames": 4, "gamma": _GAMMA, "reward_unit": 0.001, "reward_limit": 20.0,
}  # fmt: skip
_BUFFERED: Mapping[str, Any] = {
    "buffer_size": 50_000, "learning_starts": 1_000, "batch_size": 256, "train_freq": 1,
    "gradient_steps": 1,
}  # fmt: skip
"""A gradient of 256 in a step of sixteen environments: a sample is used twice as often as by DQN's
own numbers, a gradient of 32 in four steps, and a sixteenth as often as by those of the others."""
_NUMBERS: Mapping[str, Mapping[str, Any]] = {
    "ppo": {"n_steps": 2048 // _AT_ONCE, "batch_size": 256, "n_epochs": 10},
    "a2c": {},
    "dqn": {
        **_BUFFERED, "target_update_interval": 4_000, "exploration_fraction": 0.3,
        "exploration_final_eps": 0.02,
    },  # of four sets of numbers the best on the bursty load for tuning
    "sac": _BUFFERED,
    "td3": _BUFFERED,
    "ddpg": _BUFFERED,
}  # fmt: skip
_NOISE = 0.1
"""Standard deviation of what TD3 and DDPG add to an action while they learn; their authors'."""
_THIRD = 1 / 3


@dataclass(frozen=True)
class Lesson:
    """One training: everything that decides what it comes to, and where the model goes."""

    environment: str
    algorithm: str
    load: str
    """The name of what it is trained on."""
    workload: Mapping[str, Any]
    """What that is, a trace by its whole path."""
    seed: int
    steps: int
    folder: Path
    """Of all lessons' models."""

    @property
    def name(self) -> str:
        return f"{self.algorithm}/{self.load}/seed-{self.seed}"

    @property
    def model(self) -> Path:
        """The lesson's own: with other steps, numbers or loads it is another file, so that what was
        trained otherwise is never taken for it."""
        mark = fingerprint(self.environment, self.training)
        return self.folder / f"{self.name}-{mark}" / "model.zip"

    @property
    def training(self) -> dict[str, Any]:
        """What its document says of it."""
        return {
            "algorithm": self.algorithm,
            "seed": self.seed,
            "workload": dict(self.workload),
            "steps": self.steps,
            "numbers": numbers_of(self.algorithm),
        }


def fingerprint(environment: str, training: Mapping[str, Any]) -> str:
    """Of all that decides a training; a trace goes by its file's name, wherever that is."""
    workload = dict(training["workload"])
    if "path" in workload:
        workload["path"] = Path(workload["path"]).name
    whole = {"environment": environment, **training, "workload": workload}
    return sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:12]


def numbers_of(algorithm: str) -> dict[str, Any]:
    """The numbers of a training that are not as Stable-Baselines3 has them, or are all's."""
    noise = {"noise": _NOISE} if algorithm in _NOISY else {}
    shared = {"environments": _AT_ONCE, "hidden": [*_HIDDEN], **_SENSES}
    return {**shared, **_NUMBERS[algorithm], **noise}


def learn(lesson: Lesson) -> float:
    """Train, and write the model when it is whole; the seconds that it took."""
    import torch

    torch.set_num_threads(1)  # networks this small gain nothing by more
    began = time.monotonic()
    arguments = {"fidelity": "fluid", "workload": lesson.workload}
    made = VectorEnvs([make_vector(lesson.environment, _AT_ONCE, arguments)])
    try:
        actions = made.action_space
        sensed = Sensed(Thirds(made) if lesson.algorithm in CONTINUOUS else made, **_SENSES)
        learner = learner_of(lesson.algorithm, sensed, lesson.seed)
        sensed.seed(int(np.random.SeedSequence([lesson.seed]).generate_state(1)[0] >> 1))
        learner.learn(lesson.steps)
        write(lesson, learner, sensed, int(actions.n))
    finally:
        made.close()
    return time.monotonic() - began


def learner_of(algorithm: str, env: Sensed, seed: int) -> Any:
    """The algorithm, new."""
    import stable_baselines3
    from stable_baselines3.common.noise import NormalActionNoise
    from torch import nn

    noise = {"action_noise": NormalActionNoise(np.zeros(1), np.full(1, _NOISE))}
    return getattr(stable_baselines3, algorithm.upper())(
        "MlpPolicy",
        env,
        gamma=_GAMMA,
        seed=seed,
        device="cpu",
        policy_kwargs={"net_arch": [*_HIDDEN], "activation_fn": nn.ReLU},
        **_NUMBERS[algorithm],
        **(noise if algorithm in _NOISY else {}),
    )


def write(lesson: Lesson, learner: Any, sensed: Sensed, actions: int) -> None:
    """Write what acts, without the pickles of Stable-Baselines3."""
    continuous = lesson.algorithm in CONTINUOUS
    shape = tuple(sensed.venv.observation_space.shape)
    document = Document(
        environment=lesson.environment,
        observation_shape=shape,
        actions=(actions,),
        masked=False,
        activation="relu",
        rows=False,
        scale=sensed.kind,
        frames=sensed.frames,
        steps=learner.num_timesteps,
        training=lesson.training,
        versions=versions(),
    )
    network = thirds_of(learner.actor) if continuous else _network(learner)
    partial = lesson.model.parent.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir(parents=True)
    append(partial / lesson.model.name, Model(document, network, sensed.scale))
    partial.replace(lesson.model.parent)


def _network(learner: Any) -> Network:
    from infra_gym.training.algorithms import network_of

    return network_of(learner)


def thirds_of(actor: Any) -> Network:
    """An actor of one number as scores of three actions.

    The number is the hyperbolic tangent of the last layer's sum, so it is below minus a third where
    the sum is below minus ``edge``: the scores are the sum's distances from the two edges, and 0.
    """
    from torch import nn

    body = [*actor.latent_pi, actor.mu] if hasattr(actor, "latent_pi") else [*actor.mu]
    linear = [one for one in body if isinstance(one, nn.Linear)]
    weights = [one.weight.detach().numpy().copy() for one in linear]
    biases = [one.bias.detach().numpy().copy() for one in linear]
    edge = np.arctanh(_THIRD)
    signs = np.array([-1.0, 0.0, 1.0], dtype=np.float32)
    weights[-1] = signs[:, None] * weights[-1]
    biases[-1] = (signs * biases[-1] - np.abs(signs) * edge).astype(np.float32)
    return Network(weights, biases, "relu")


class Thirds(VecEnvWrapper):  # type: ignore[misc]
    """Three actions as one number from -1 to 1."""

    def __init__(self, venv: VectorEnvs) -> None:
        super().__init__(venv, action_space=spaces.Box(-1.0, 1.0, (1,), np.float32))

    def reset(self) -> Any:
        return self.venv.reset()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Each third is one action."""
        number = actions[:, 0]
        self.venv.step_async(1 + (number > _THIRD).astype(np.int64) - (number < -_THIRD))

    def step_wait(self) -> VecEnvStepReturn:
        return self.venv.step_wait()
