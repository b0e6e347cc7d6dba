"""Training policies with Stable-Baselines3 (extra ``train``) on our vector forms.

::

    plan = Plan.make("SimpleK8sWebApp-v0", seed=3)
    trained = train(plan, Path("runs/first"))
    agent = make_agent(str(trained.model))

The adapter alone, for one's own training, is :class:`infra_gym.training.vec_env.VectorEnvs`, and
:func:`save_model` writes what came of it so that it can be named as an agent.
"""

from __future__ import annotations

from infra_gym.training.recipes import RECIPES, Recipe, recipe_for
from infra_gym.training.train import Plan, Progress, Trained, read_plan, save_model, train

__all__ = [
    "RECIPES",
    "Plan",
    "Progress",
    "Recipe",
    "Trained",
    "read_plan",
    "recipe_for",
    "save_model",
    "train",
]
