"""Many simulated environments of a definition at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import ArrayLike, NDArray

from infra_gym.definitions.catalog import find_definition
from infra_gym.environments.calibration import twin_parameters
from infra_gym.environments.column_task import ColumnMoves, ColumnOutcome, ColumnTask
from infra_gym.environments.place import find_place
from infra_gym.environments.vector import (
    Generators,
    autoreset,
    check_first,
    check_step,
    count,
    ends,
    reset_mask,
    seeds,
)
from infra_gym.errors import SettingsError, did_you_mean
from infra_gym.settings import Target, load_settings
from infra_gym.task.controls import ActionMode
from infra_gym.worlds.base import ResetMode
from infra_gym.worlds.columns import ColumnWorld
from infra_gym.worlds.twins import Fidelity, make_twins

Observations = NDArray[np.float32]
Mask = NDArray[np.bool_]


class SimulatedVectorEnv(VectorEnv[Observations, ArrayLike, NDArray[Any]]):
    """A batch of simulated environments of one definition, stepped by compiled code.

    Each gives the numbers that a single one gives that was reset with the same seed. Money is not
    spent here, so budgets do not apply.

    Args:
        num_envs: How many; at least 1.
        definition: An environment's id, or the path of a YAML file.
        target: ``sim``; else the settings must say so.
        fidelity: ``reference``: request by request; ``fluid``: by flows, fast enough for batches of
            thousands. Of the web app.
        interval_s: Another length of a step, in seconds.
        clock: A target whose interval and time scale hold, as for a single environment.
        workload: Another load, such as ``{"profile": "constant", "mean_rps": 30}``.
        action: ``delta`` or ``absolute``; default: the definition's.
        calibration: The file that ``infra-gym calibrate`` wrote.
        randomise: Draw each episode's parameters from the calibration's spread, as its seed
            decides; else they are its estimate.
        max_episode_steps: Truncate episodes after so many steps.
        autoreset_mode: What happens to an environment whose episode ended: ``NextStep`` (its next
            step is a reset), ``SameStep`` (it is reset at once, the end is in ``info["final_obs"]``
            and ``info["final_info"]``), ``Disabled`` (``reset`` with a ``reset_mask`` is due).
        info: Whether ``reset`` and ``step`` return infos, with the keys of a single environment's.

    Raises:
        SettingsError: An argument that cannot be, or a target that is not simulated.
        DefinitionError: The definition cannot be simulated.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as Gymnasium declares it
        "render_modes": [],
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        definition: str,
        target: Target | None = None,
        fidelity: Fidelity = "reference",
        interval_s: float | None = None,
        clock: Target | None = None,
        workload: Mapping[str, Any] | None = None,
        action: ActionMode | None = None,
        calibration: str | Path | None = None,
        randomise: bool = False,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        info: bool = False,
    ) -> None:
        self.num_envs = count("num_envs", num_envs)
        self._max_steps = (
            None if max_episode_steps is None else count("max_episode_steps", max_episode_steps)
        )
        self._autoreset = autoreset(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self._autoreset}
        self._info = info
        self.definition = find_definition(definition)
        settings = load_settings(target=target)
        if settings.target != "sim":
            raise SettingsError(
                f"The batch of {self.definition.id} is simulated; there is none on target "
                f"{settings.target!r}.",
                next_command=f'gym.make_vec("{definition}", num_envs={num_envs}, '
                f'vectorization_mode="async", target="{settings.target}"), or target="sim"',
            )
        self.place = find_place(self.definition, settings, interval_s, workload, clock)
        if fidelity not in get_args(Fidelity):
            hint = did_you_mean(str(fidelity), get_args(Fidelity))
            raise SettingsError(f"fidelity cannot be {fidelity!r}.{hint}")
        self._world: ColumnWorld = make_twins(
            self.definition,
            self.num_envs,
            workload=self.place.workload,
            interval_s=self.place.interval_s,
            time_scale=self.place.time_scale,
            fidelity=fidelity,
            parameters=twin_parameters(
                self.definition, self.place, calibration, randomise=randomise
            ),
        )
        self._task = ColumnTask(self.definition, self.num_envs, action)
        self.single_action_space = self._task.single_action_space
        self.single_observation_space = self._task.single_observation_space
        self.action_space = self._task.action_space
        self.observation_space = self._task.observation_space
        self._initial = self._task.controls.initial
        self._replicas = list(self._initial).index(self._world.control)
        self._generators = Generators(self.num_envs)
        self._seeds = [0] * self.num_envs
        self._controls = self._still(self.num_envs).controls
        self._ended = np.zeros(self.num_envs, dtype=np.bool_)
        self._last: ColumnOutcome | None = None  # until the first reset

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observations, dict[str, Any]]:
        """Begin episodes.

        Args:
            seed: One for each environment; a single number s stands for s, s + 1, s + 2 and so on;
                left out, the generators go on.
            options: ``{"reset_mask": mask}``: only where the mask, bool of shape (num_envs,), is
                true; and ``mode`` as for a single environment, which makes no difference here.

        Raises:
            SettingsError: The seeds or the options do not fit.
        """
        given = dict(options or {})
        mask = reset_mask(given.pop("reset_mask", None), self.num_envs)
        _check_options(given)
        if self._last is None:
            check_first(mask)
        self._generators.seed(wanted := seeds(seed, self.num_envs), np.flatnonzero(mask))
        moves = self._still(self.num_envs)
        last = None if self._last is None else self._task.again(self._last)
        self._last = self._begin(np.flatnonzero(mask), last, moves, wanted)
        infos = self._infos(self._last, moves, shown=mask, begun=mask) if self._info else {}
        return self._last.observations, infos

    def step(
        self, actions: ArrayLike
    ) -> tuple[Observations, NDArray[np.float64], Mask, Mask, dict[str, Any]]:
        """A step of each environment; all arrays are new ones.

        Raises:
            ActionError: The actions are not of the action space; nothing has moved.
            EpisodeOverError: Without autoreset: an environment's episode is over.
            NotReadyError: ``reset`` comes first.
        """
        check_step(begun=self._last is not None, ended=self._ended, mode=self._autoreset)
        moves = self._task.moves(actions, self._controls)
        begun = self._ended.copy()
        try:
            outcome = self._advance(moves, begun)
        except BaseException:
            self._last = None  # they have moved, and nobody knows how: a reset of all comes first
            raise
        self._controls = moves.controls
        if begun.any():  # their step is the reset
            outcome = self._begin(np.flatnonzero(begun), outcome, moves)
        truncations = self._truncations()
        self._ended = truncations.copy()
        infos: dict[str, Any] = {}
        rewards = outcome.rewards
        if self._autoreset == AutoresetMode.SAME_STEP and truncations.any():
            last = self._infos(outcome, moves, shown=truncations) if self._info else {}
            infos = ends(outcome.observations, truncations, last)
            rewards = rewards.copy()  # those that begin have none
            outcome = self._begin(np.flatnonzero(truncations), outcome, moves)
            begun = truncations
        if self._info:
            every = np.ones(self.num_envs, dtype=np.bool_)
            infos |= self._infos(outcome, moves, shown=every, begun=begun)
        self._last = outcome
        terminations = np.zeros(self.num_envs, dtype=np.bool_)
        return (
            outcome.observations,
            rewards,
            terminations,
            truncations,
            infos,
        )

    def _begin(
        self,
        places: NDArray[np.intp],
        outcome: ColumnOutcome | None,
        moves: ColumnMoves,
        given: Sequence[int | None] | None = None,
    ) -> ColumnOutcome:
        """Begin episodes in ``places``, where ``outcome`` and ``moves`` are overwritten.

        Args:
            places: Which.
            outcome: Of all environments; ``None``: there is none yet, and all begin.
            moves: Of all environments.
            given: Seeds of all environments; where there is none, the generators go on.
        """
        drawn = []
        for place in places.tolist():
            seed = given[place] if given is not None else None
            if seed is None:
                seed = int(self._generators[place].integers(2**31))
            self._seeds[place] = seed
            drawn.append(seed)
        still = self._still(len(places))
        part = self._task.outcome(len(places))
        initial = self._initial[self._world.control]
        part.empty.update(self._world.begin(places, drawn, initial, part.numbers))
        self._ended[places] = False
        self._controls[:, places] = still.controls
        now = np.zeros(len(places), dtype=np.int64)
        self._task.work_out(part, still, now, self.place.interval_s)
        part.rewards[:] = 0.0
        moves.overwrite(places, still)
        if outcome is None:
            return part
        outcome.overwrite(places, part)
        return outcome

    def _advance(self, moves: ColumnMoves, idle: Mask) -> ColumnOutcome:
        """Let an interval pass in each environment that is not ``idle``."""
        outcome = self._task.outcome(self.num_envs, self._last)
        if idle.any():  # the world may leave their rows as they are, and formulas read them
            resting = np.flatnonzero(idle)
            outcome.numbers[:, resting] = outcome.before[:, resting]
        replicas = moves.controls[self._replicas]
        outcome.empty.update(self._world.step(replicas, idle, outcome.numbers))
        self._task.work_out(outcome, moves, self._world.ticks, self.place.interval_s)
        return outcome

    def _still(self, number: int) -> ColumnMoves:
        """What a reset does with the controls."""
        shape = len(self._initial), number
        controls = np.empty(shape, dtype=np.int64)
        controls.T[:] = [*self._initial.values()]
        return ColumnMoves(controls, np.zeros(number), np.zeros(shape, dtype=np.bool_))

    def _truncations(self) -> Mask:
        if self._max_steps is None:
            return np.zeros(self.num_envs, dtype=np.bool_)
        return self._world.ticks >= self._max_steps

    def _infos(
        self,
        outcome: ColumnOutcome,
        moves: ColumnMoves,
        *,
        shown: Mask,
        begun: Mask | None = None,
    ) -> dict[str, Any]:
        """A single environment's infos, in Gymnasium's form.

        Args:
            outcome: Of all environments.
            moves: Of all environments.
            shown: Which of them are told.
            begun: Which of them have just begun.
        """
        infos: dict[str, Any] = {}
        ticks, metrics, terms = self._world.ticks, outcome.metrics, outcome.terms
        for place in np.flatnonzero(shown).tolist():
            tick = int(ticks[place])
            info = {
                "metrics": {name: float(col[place]) for name, col in metrics.items()},
                "by_label": (by_label := self._world.by_label(place)),
                "empty": sorted(
                    {name for name, where in outcome.empty.items() if where[place]}
                    | {name for name, values in by_label.items() if not values}
                ),
                "rewards": {name: float(term[place]) for name, term in terms.items()},
                "cost_usd": float(metrics["cost_usd"][place]),
                "controls": dict(
                    zip(self._initial, moves.controls[:, place].tolist(), strict=True)
                ),
                "clipped": [
                    name
                    for name, beyond in zip(self._initial, moves.clipped[:, place], strict=True)
                    if beyond
                ],
                "tick": tick,
                "time_s": tick * self.place.interval_s * self.place.time_scale,
                "seconds": {"apply": 0.0, "sample": 0.0},
                "pending": [],
                "mismatch": {},
            }
            if begun is not None and begun[place]:
                info |= self._world.notes(place)
                info["seed"] = self._seeds[place]
            infos = self._add_info(infos, info, place)
        return infos


def _check_options(options: dict[str, Any]) -> None:
    mode = options.pop("mode", "soft")
    if options:
        raise SettingsError(f"reset options {sorted(options)}: there are 'mode' and 'reset_mask'")
    if mode not in get_args(ResetMode):
        raise SettingsError(f"reset mode {mode!r}: write 'soft', 'layer' or 'full'")
