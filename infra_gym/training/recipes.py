"""What to train with, for each environment and algorithm.

How far each recipe comes, and where it falls short of a rule, is in ``benchmarks/README.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from infra_gym.agents.senses import Kind
from infra_gym.settings.strict import Strict

Algorithm = Literal["ppo", "dqn", "maskable-ppo"]


class Recipe(Strict):
    """How a policy is trained; whatever is random follows the training's seed."""

    steps: int = Field(ge=1)
    """Steps of environments, all together."""
    arguments: tuple[dict[str, Any], ...] = ({},)
    """Arguments of ``gym.make_vec``, a group of environments each: several loads at once."""
    environments: int = Field(default=16, ge=1)
    """How many environments at once, in equal groups."""
    episode_steps: int | None = None
    """Cut episodes off after so many steps; where left out, the environment's own limit holds."""
    scale: Kind = "standard"
    """How observations are scaled, see :class:`infra_gym.agents.senses.Scale`."""
    frames: int = Field(default=1, ge=1)
    """How many observations the policy sees at once."""
    reward_unit: float | None = Field(default=None, gt=0)
    """What a reward is divided by; left out, the standard deviation of discounted sums of them."""
    reward_limit: float = Field(default=10.0, gt=0)
    """Rewards are cut at so many units: a step that goes wholly wrong must not drown the rest."""
    endless: bool = False
    """Whether ends are taken for cuts, see :class:`~infra_gym.training.sensed.Sensed`."""
    rows: bool = False
    """Whether one small network scores each row of the observation, and each row is an action."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of the hidden layers."""
    gamma: float = Field(default=0.99, ge=0, le=1)
    """Discount of later rewards, a step."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Of Adam."""
    last_rate: float = Field(default=0.1, ge=0, le=1)
    """Share of the learning rate that is left at the end; it falls evenly."""
    rollout: int = Field(default=32, ge=1)
    """PPO: steps of each environment between two updates."""
    batch: int = Field(default=8192, ge=2)
    """Steps in one gradient."""
    epochs: int = Field(default=4, ge=1)
    """PPO: how often each step is used."""
    trace: float = Field(default=0.95, ge=0, le=1)
    """PPO: lambda of the generalised advantage estimate."""
    entropy: float = Field(default=0.003, ge=0)
    """PPO: weight of the entropy."""
    buffer: int = Field(default=200_000, ge=1)
    """DQN: how many steps are remembered."""
    gradients: int = Field(default=2, ge=1)
    """DQN: gradients in a step of all environments."""
    exploration: float = Field(default=0.3, ge=0, le=1)
    """DQN: share of the training in which random actions become rare."""


_WEBAPP_LOADS: tuple[dict[str, Any], ...] = (  # none is of the tuning or the held-out split
    {"profile": "daily", "mean_rps": 60, "period_s": 900},
    {"profile": "daily", "mean_rps": 90, "period_s": 1500},
    {"profile": "sine", "mean_rps": 70, "period_s": 1200, "amplitude": 0.6},
    {"profile": "random", "mean_rps": 60, "hold_s": 300},
    {"profile": "bursty", "mean_rps": 60},
    {"profile": "flash_crowd", "mean_rps": 50, "period_s": 3600, "peak": 5},
    {"profile": "ramp", "mean_rps": 80, "duration_s": 9000, "growth": 6},
    {"profile": "constant", "mean_rps": 100},
)
_WEBAPP = Recipe(
    steps=4_000_000,
    arguments=tuple({"workload": load} for load in _WEBAPP_LOADS),
    environments=2048,
    frames=4,
    gamma=0.95,
)
_SCALING = Recipe(
    steps=2_000_000,
    arguments=(
        {"influx": "random", "change_rate": 100},
        {"influx": "random", "change_rate": 25},
        {"influx": "daily", "change_rate": 1},
        {"influx": "bursty", "change_rate": 1},
    ),
    environments=512,
    episode_steps=500,
    endless=True,
    gamma=0.95,
    rollout=64,
)
_BATCH = Recipe(  # its policy beats the best rule only without backfill, on one trace of three
    steps=850_000,
    arguments=(  # what scores rows plays with any number of them, and of jobs
        {"decision": "head", "backfill": "easy", "jobs": 128, "max_queue": 32},
    ),
    environments=512,
    scale="shares",
    rows=True,
    hidden=(16,),
    gamma=1.0,
    trace=0.99,
    learning_rate=4e-3,
    rollout=128,
    batch=2048,
    epochs=5,
    entropy=0.0,
)
_ANY = Recipe(steps=200_000, batch=256, rollout=128)

RECIPES: Mapping[str, tuple[Algorithm, Recipe]] = {
    "BatchScheduling-v0": ("maskable-ppo", _BATCH),
    "Scaling-v0": ("ppo", _SCALING),
    "SimpleK8sWebApp-v0": ("ppo", _WEBAPP),
}
"""For each environment the algorithm that suits it best, and its recipe."""

_DQN = {"environments": 64, "batch": 256, "steps": 500_000, "learning_rate": 5e-4}


def recipe_for(environment: str, algorithm: Algorithm | None) -> tuple[Algorithm, Recipe]:
    """The algorithm, by default the one that suits the environment, and its recipe.

    Args:
        environment: An id.
        algorithm: Another one.
    """
    suited, recipe = RECIPES.get(environment, ("ppo", _ANY))
    chosen = algorithm or suited
    if chosen == "dqn":
        recipe = recipe.model_copy(update=_DQN | {"rows": False})
    elif chosen == "ppo" and suited == "maskable-ppo":
        recipe = recipe.model_copy(update={"rows": False, "hidden": (64, 64)})
    return chosen, recipe
