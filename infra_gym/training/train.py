"""A training: from a recipe to a model, in a folder that a killed training goes on from."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import Field, ValidationError

from infra_gym.agents.model_file import Document, Model, append
from infra_gym.agents.trained import action_sizes
from infra_gym.errors import UsageError
from infra_gym.recording import write_whole
from infra_gym.settings.strict import Strict
from infra_gym.training.library import need_library, versions
from infra_gym.training.recipes import Algorithm, Recipe, recipe_for
from infra_gym.training.vectors import is_stack, make_vector
from infra_gym.worlds.twins import Fidelity

if TYPE_CHECKING:
    from infra_gym.training.sensed import Moments, Sensed

MODEL, PLAN, LOGS = "model.zip", "training.json", "tensorboard"
_MOMENTS = "moments.npz"


class Plan(Strict):
    """All that decides what a training comes to; the file ``training.json`` of its folder."""

    environment: str
    """An id, ``MODULE:ID``, or the path of a YAML file."""
    algorithm: Algorithm
    """Which."""
    seed: int = Field(ge=0)
    """Of the environments, the first weights and all choices."""
    recipe: Recipe
    """All numbers."""

    @classmethod
    def make(
        cls,
        environment: str,
        *,
        algorithm: Algorithm | None = None,
        steps: int | None = None,
        seed: int = 1,
        workloads: Sequence[Mapping[str, Any]] = (),
        fidelity: Fidelity | None = None,
        recipe: Recipe | None = None,
    ) -> Self:
        """The plan of a recipe, with some of it chosen.

        Args:
            environment: An id, ``MODULE:ID``, or the path of a YAML file.
            algorithm: Another one than suits the environment best.
            steps: Of environments, all together.
            seed: Decides what is random.
            workloads: Other loads to train under, all at once.
            fidelity: Of the simulator; default ``fluid`` where there is one.
            recipe: Another one than the environment's.

        Raises:
            UsageError: The environment has no workload or no fidelity to choose.
        """
        chosen, suited = recipe_for(environment, algorithm)
        recipe = recipe or suited
        if (workloads or fidelity) and not is_stack(environment):
            raise UsageError(
                f"{environment} is no stack of layers: it has neither workload nor fidelity.",
                next_command="leave --workload and --fidelity out",
            )
        groups = [dict(one) for one in recipe.arguments]
        if workloads:
            groups = [{**groups[0], "workload": dict(load)} for load in workloads]
        if _has_fluid(environment):
            groups = [{"fidelity": "fluid", **group} for group in groups]
        if fidelity is not None:
            groups = [{**group, "fidelity": fidelity} for group in groups]
        changed = recipe.model_dump() | {"arguments": groups, "steps": steps or recipe.steps}
        return cls(
            environment=environment,
            algorithm=chosen,
            seed=seed,
            recipe=Recipe.model_validate(changed),
        )

    @property
    def environments(self) -> int:
        """How many are stepped at once: as many as the recipe says, in groups of one size."""
        groups = len(self.recipe.arguments)
        return groups * max(1, self.recipe.environments // groups)

    @property
    def steps(self) -> int:
        """Steps that will be made: the recipe's, rounded up to whole rollouts (PPO) or to whole
        steps of all environments (DQN).
        """
        rollout = 1 if self.algorithm == "dqn" else self.recipe.rollout
        turn = rollout * self.environments
        return -(-self.recipe.steps // turn) * turn

    def longer(self, steps: int) -> Plan:
        """The same with more steps; with fewer, itself."""
        most = max(steps, self.recipe.steps)
        return self.model_copy(update={"recipe": self.recipe.model_copy(update={"steps": most})})


@dataclass(frozen=True)
class Progress:
    """How far a training is."""

    steps: int
    """That were made, all together."""
    of: int
    """That are to be made."""
    reward: float | None
    """The mean reward of the last 100 episodes that ended; ``None``: none has."""
    steps_per_s: float
    """Since this process began, learning included."""


@dataclass(frozen=True)
class Trained:
    """What came of a training."""

    model: Path
    """The model's file."""
    progress: Progress
    """The last one."""

    @property
    def complete(self) -> bool:
        """Whether all steps were made; else it was stopped, and can go on."""
        return self.progress.steps >= self.progress.of


def train(
    plan: Plan,
    folder: Path,
    *,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
    checkpoint_s: float = 30.0,
) -> Trained:
    """Train a policy; ``folder`` keeps ``model.zip``, ``training.json`` and ``tensorboard/``.

    The model is written again every ``checkpoint_s`` seconds, under another name first, so that
    there always is a whole one; whoever is killed goes on from it with ``resume``. What a replay
    buffer had (DQN) is then lost.

    Args:
        plan: What and how.
        folder: Made if it is not there.
        resume: Go on with what ``folder`` has; ``plan`` is the one that it was begun with, and only
            its steps may be more.
        on_progress: Called after every step of all environments.
        stopped: Asked after every step; once true, the model is written and this returns.
        checkpoint_s: See above.

    Raises:
        MissingProgramError: Stable-Baselines3 is not installed.
        UsageError: The folder has a training already, or there is nothing to go on with; the
            algorithm does not fit the environment.
    """
    need_library()
    from infra_gym.training.algorithms import make_model
    from infra_gym.training.loop import Loop
    from infra_gym.training.sensed import Sensed
    from infra_gym.training.vec_env import VectorEnvs

    _begin(plan, folder, resume=resume)
    recipe = plan.recipe
    number = plan.environments // len(recipe.arguments)
    made = VectorEnvs(
        [
            make_vector(plan.environment, number, one, episode_steps=recipe.episode_steps)
            for one in recipe.arguments
        ]
    )
    path = folder / MODEL
    try:
        env = Sensed(
            made,
            scale=recipe.scale,
            frames=recipe.frames,
            gamma=recipe.gamma,
            reward_unit=recipe.reward_unit,
            reward_limit=recipe.reward_limit,
            endless=recipe.endless,
        )
        model = make_model(plan.algorithm, recipe, env, seed=plan.seed, logs=str(folder / LOGS))
        before = _restore(model, env, path) if resume and path.exists() else 0
        env.seed(int(np.random.SeedSequence([plan.seed, before]).generate_state(1)[0] >> 1))
        loop = Loop(
            lambda: save_model(path, model, plan.environment, plan.model_dump(mode="json")),
            of=plan.steps,
            on_progress=on_progress,
            stopped=stopped,
            checkpoint_s=checkpoint_s,
        )
        if before < recipe.steps:
            model.learn(
                recipe.steps - before,
                callback=loop,
                tb_log_name=plan.algorithm,
                reset_num_timesteps=before == 0,
            )
            loop.save()
        return Trained(path, loop.progress(model.num_timesteps))
    finally:
        made.close()


def save_model(
    path: Path, model: Any, environment: str, training: Mapping[str, Any] | None = None
) -> None:
    """Write a model so that it can be named as an agent; whatever happens, the file is whole.

    Args:
        path: Ends with ``.zip``.
        model: Of Stable-Baselines3: PPO, DQN or MaskablePPO with a perceptron. If what it learnt in
            is wrapped by :class:`~infra_gym.training.sensed.Sensed`, its scale is kept as well.
        environment: The id that it is for.
        training: Whatever is worth to be known of it.

    Raises:
        UsageError: Its policy cannot be kept.
    """
    from infra_gym.agents.senses import Scale
    from infra_gym.training.algorithms import network_of
    from infra_gym.training.sensed import Sensed

    network = network_of(model)
    env = model.get_env()
    sensed = env if isinstance(env, Sensed) else None
    inner = env if sensed is None else sensed.venv
    shape = tuple(inner.observation_space.shape)
    document = Document(
        environment=_id(environment),
        observation_shape=shape,
        actions=action_sizes(model.action_space) or (),
        masked=type(model).__name__ == "MaskablePPO",
        activation=network.activation,
        rows=network.rows,
        scale="none" if sensed is None else sensed.kind,
        frames=1 if sensed is None else sensed.frames,
        steps=model.num_timesteps,
        training=dict(training or {}),
        versions=versions(),
    )
    scale = Scale.plain("none", shape) if sensed is None else sensed.scale
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        model.save(file)
    append(partial, Model(document, network, scale))
    if sensed is not None:
        with zipfile.ZipFile(partial, "a") as archive:
            archive.writestr(_MOMENTS, _moments(sensed))
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.replace(path)


def read_plan(folder: Path) -> Plan:
    """The plan of the training in ``folder``.

    Raises:
        UsageError: There is none.
    """
    try:
        return Plan.model_validate_json((folder / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise UsageError(
            f"{folder} has no training to go on with: {str(error).splitlines()[0]}",
            next_command="leave --resume out",
        ) from error


def _begin(plan: Plan, folder: Path, *, resume: bool) -> None:
    """Note the plan, or check that it is the one that was noted."""
    file = folder / PLAN
    if resume:
        _same(read_plan(folder), plan, folder)
    elif file.exists():
        raise UsageError(
            f"{folder} has a training already.",
            next_command=f"infra-gym train {plan.environment} --out {folder} --resume goes on "
            "with it; else name another folder",
        )
    write_whole(file, plan.model_dump_json(indent=2) + "\n")


def _same(noted: Plan, plan: Plan, folder: Path) -> None:
    if plan != noted.longer(plan.recipe.steps):
        raise UsageError(
            f"The training in {folder} was begun with other settings, or is longer.",
            next_command=f"infra-gym train {noted.environment} --out {folder} --resume",
        )


def _restore(model: Any, env: Sensed, path: Path) -> int:
    """Go on from a file; weights and moments only, so nothing in it is executed."""
    from stable_baselines3.common.save_util import load_from_zip_file

    _, parameters, _ = load_from_zip_file(path, load_data=False, device="cpu")
    model.set_parameters(parameters)
    with zipfile.ZipFile(path) as archive:
        arrays = np.load(io.BytesIO(archive.read(_MOMENTS)), allow_pickle=False)
        steps = Document.model_validate_json(archive.read("infra-gym.json")).steps
    for name, moments in _both(env).items():
        moments.count = float(arrays[f"{name}_count"])
        moments.mean = arrays[f"{name}_mean"]
        moments.variance = arrays[f"{name}_variance"]
    model.num_timesteps = steps
    return steps


def _moments(env: Sensed) -> bytes:
    file = io.BytesIO()
    arrays: dict[str, Any] = {}
    for name, moments in _both(env).items():
        arrays[f"{name}_count"] = moments.count
        arrays[f"{name}_mean"] = moments.mean
        arrays[f"{name}_variance"] = moments.variance
    np.savez(file, **arrays)
    return file.getvalue()


def _both(env: Sensed) -> dict[str, Moments]:
    return {"observed": env.observed, "returned": env.returned}


def _has_fluid(environment: str) -> bool:
    from infra_gym.definitions.catalog import find_definition

    return is_stack(environment) and find_definition(environment).simulator == "webapp"


def _id(environment: str) -> str:
    from infra_gym.definitions.catalog import find_definition

    if is_stack(environment):
        return find_definition(environment).id
    return environment.rpartition(":")[2]
