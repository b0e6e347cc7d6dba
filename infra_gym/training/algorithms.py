"""Stable-Baselines3's algorithms, made from a recipe, and their policies as plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN, PPO
from torch import nn

from infra_gym.agents.network import Network
from infra_gym.agents.senses import Floats
from infra_gym.agents.trained import action_sizes
from infra_gym.errors import UsageError
from infra_gym.training.recipes import Algorithm, Recipe
from infra_gym.training.row_policy import RowPolicy
from infra_gym.training.sensed import Sensed

_FINAL_EXPLORATION = 0.02
_TARGET_STEPS = 10_000


def make_model(
    algorithm: Algorithm, recipe: Recipe, env: Sensed, *, seed: int, logs: str | None = None
) -> Any:
    """The learner, new.

    Args:
        algorithm: Which.
        recipe: Its numbers.
        env: What it learns in.
        seed: Of its weights and choices.
        logs: A folder for TensorBoard.

    Raises:
        UsageError: The algorithm cannot learn these actions.
    """
    _check(algorithm, env)
    common: dict[str, Any] = {
        "learning_rate": _falling(recipe.learning_rate, recipe.last_rate),
        "gamma": recipe.gamma,
        "seed": seed,
        "device": "cpu",  # networks this small are slower elsewhere
        "tensorboard_log": logs,
    }
    if algorithm == "dqn":
        return DQN(
            "MlpPolicy",
            env,
            batch_size=recipe.batch,
            buffer_size=recipe.buffer,
            learning_starts=min(recipe.buffer, recipe.steps) // 10,
            train_freq=1,
            gradient_steps=recipe.gradients,
            target_update_interval=_TARGET_STEPS,
            exploration_fraction=recipe.exploration,
            exploration_final_eps=_FINAL_EXPLORATION,
            policy_kwargs={"net_arch": list(recipe.hidden), "activation_fn": nn.ReLU},
            **common,
        )
    policy: Any = RowPolicy if recipe.rows else "MlpPolicy"
    shape = {"pi": list(recipe.hidden), "vf": list(recipe.hidden)}
    model = (MaskablePPO if algorithm == "maskable-ppo" else PPO)(
        policy,
        env,
        n_steps=recipe.rollout,
        batch_size=_batch(recipe.batch, recipe.rollout * env.num_envs),
        n_epochs=recipe.epochs,
        gae_lambda=recipe.trace,
        ent_coef=recipe.entropy,
        policy_kwargs={"net_arch": shape, "activation_fn": nn.ReLU},
        **common,
    )
    env.value = _value(model)
    return model


def _batch(most: int, rollout: int) -> int:
    """The largest batch that cuts a rollout evenly, for a short last one would count as much; if
    only one of less than half the size does, the size that was asked for."""
    most = min(most, rollout)
    return next((size for size in range(most, most // 2, -1) if rollout % size == 0), most)


def network_of(model: Any) -> Network:
    """What the model's policy acts by.

    Raises:
        UsageError: It is no perceptron with ReLU or tanh between its layers.
    """
    policy = model.policy
    if hasattr(policy, "q_net"):
        modules = list(policy.q_net.q_net)
    else:
        modules = [*policy.mlp_extractor.policy_net, policy.action_net]
    linear = [one for one in modules if isinstance(one, nn.Linear)]
    between = {type(one) for one in modules if not isinstance(one, nn.Linear | nn.Identity)}
    names = {nn.ReLU: "relu", nn.Tanh: "tanh"}
    if len(between) > 1 or not between <= names.keys():
        raise UsageError(
            f"A policy with {', '.join(sorted(one.__name__ for one in between))} cannot be kept.",
            next_command="use a perceptron with ReLU or with tanh",
        )
    activation: Any = names[between.pop()] if between else "relu"
    return Network(
        [one.weight.detach().numpy().copy() for one in linear],
        [one.bias.detach().numpy().copy() for one in linear],
        activation,
        rows=isinstance(policy, RowPolicy),
    )


def _value(model: Any) -> Callable[[Floats], Floats]:
    def value(seen: Floats) -> Floats:
        with torch.no_grad():
            found: Floats = model.policy.predict_values(torch.as_tensor(seen)).numpy()[:, 0]
        return found

    return value


def _falling(first: float, last_share: float) -> Callable[[float], float]:
    """A learning rate, by what share of the training remains."""
    return lambda remaining: first * (last_share + (1 - last_share) * remaining)


def _check(algorithm: Algorithm, env: Sensed) -> None:
    sizes = action_sizes(env.action_space)
    if sizes is None or (algorithm == "dqn" and len(sizes) > 1):
        what = "one control's actions" if algorithm == "dqn" else "actions that can be counted"
        raise UsageError(
            f"{algorithm} learns {what}, and these are {env.action_space}.",
            next_command="--algo ppo" if algorithm == "dqn" else None,
        )
    if algorithm == "maskable-ppo" and not env.has_attr("action_masks"):
        raise UsageError(
            "maskable-ppo needs an environment that tells which actions are allowed.",
            next_command="--algo ppo",
        )
