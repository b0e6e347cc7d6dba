"""The environment: a world and a task, joined by ``step``."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, SupportsFloat

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from infra_gym.cost import Bill, Budget, Charge
from infra_gym.cost.estimate import TEARDOWN_S
from infra_gym.definitions.models import Definition
from infra_gym.environments.episode_log import EpisodeLog
from infra_gym.environments.farewell import Farewell
from infra_gym.environments.place import Place, without_programs
from infra_gym.environments.rendering import Picture
from infra_gym.errors import (
    EpisodeOverError,
    InfraGymError,
    MissingProgramError,
    NotReadyError,
    OwnershipLostError,
    SettingsError,
)
from infra_gym.task.controls import Move
from infra_gym.task.observations import Vector
from infra_gym.task.task import Outcome, Task
from infra_gym.worlds.base import Reading, ResetMode, World
from infra_gym.worlds.live import LiveWorld

OnFailure = Literal["raise", "truncate"]

_FAILURES_IN_A_ROW = 3
_NO_BILL = Bill(usd=0.0, usd_per_hour=0.0)


class InfraEnv(gym.Env[Vector, Any]):
    """One environment on one target; made by ``gym.make``, see :func:`infra_gym.environments.make`.

    ``reset`` takes ``options={"mode": "soft" | "layer" | "full"}``. A failure raises an
    :class:`infra_gym.errors.InfraGymError`, or, with ``on_failure="truncate"``, ends the episode
    with ``info["invalid"]``, the observation before and no reward; the next ``reset`` is then a
    full one.

    Args:
        definition: What is observed, done and rewarded.
        place: Names, clock and load.
        world: Where it happens; this environment owns and closes it.
        task: Actions, observations, rewards.
        budget: Money and wall-clock time that all episodes together may take.
        on_failure: See above.
        keep: Leave what was made when closed, unless the budget is spent.
        log: Where the run log goes; none if left out.
        log_info: What else its header tells.
        render_mode: ``human``, ``ansi`` or ``rgb_array``.
    """

    metadata = {"render_modes": ["human", "ansi", "rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(
        self,
        definition: Definition,
        place: Place,
        world: World,
        task: Task,
        *,
        budget: Budget,
        on_failure: OnFailure = "raise",
        keep: bool = False,
        log: Path | None = None,
        log_info: Mapping[str, Any] | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise SettingsError(
                f"render_mode {render_mode!r}: write one of {self.metadata['render_modes']}"
            )
        self.definition = definition
        self.world = world
        self.task = task
        self.place = place
        self.render_mode = render_mode
        self.action_space = task.controls.space
        self.observation_space = task.observations.space
        self.controls = task.controls.initial
        self._budget = budget
        self._on_failure = on_failure
        self._keep = keep
        self._log = EpisodeLog(log, definition, place, log_info or {})
        self._picture = Picture(definition)
        self._began: float | None = None
        self._spent_usd = 0.0
        self._billed_usd = 0.0
        self._over: str | None = "reset was not called"
        self._spent: str | None = None
        self._closed = False
        self._failures = 0
        self._last: Outcome | None = None
        self._farewell: Farewell | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Vector, dict[str, Any]]:
        """Bring the stack to its start; waits until everything is ready and freshly measured.

        Args:
            seed: Decides the arrival schedule.
            options: ``{"mode": "soft"}`` (default), ``"layer"`` or ``"full"``.

        Raises:
            EpisodeOverError: The budget is spent, or does not last for one step and the teardown;
                or the environment is closed.
            InfraGymError: The world did not get there.
        """
        if self._closed:
            raise EpisodeOverError(
                "the environment is closed", next_command="make a new environment"
            )
        super().reset(seed=seed)
        mode = self._reset_mode(options)
        if self._spent is not None:
            raise EpisodeOverError(
                f"{self._spent}; everything was torn down", next_command="make a new environment"
            )
        self._began = time.monotonic() if self._began is None else self._began
        schedule_seed = seed if seed is not None else int(self.np_random.integers(2**31))
        self._log.open()
        self.controls = self.task.controls.initial
        self.task.begin()
        self._over = "the reset before this step failed"
        if self._farewell is None and not self._keep and isinstance(self.world, LiveWorld):
            self._farewell = Farewell(self.definition.id, self.place, self.world)
        try:
            reading = self.world.reset(schedule_seed, self.controls, mode)
        except BaseException as error:  # Ctrl-C as well
            if self.bill in (None, _NO_BILL):  # else the log's end tells it
                self._log.undo()
            if isinstance(error, MissingProgramError):
                raise without_programs(error, self.definition) from error
            raise
        outcome = self._outcome(reading, Move(self.controls, 0.0), cost=False)
        self._over = None
        info = self._info(reading, outcome, Move(self.controls, 0.0))
        info["seed"] = schedule_seed
        self._log.reset(outcome, info)
        self._refuse_to_overspend(reading.bill)
        self._picture.begin(outcome)
        self._render_if_human()
        return outcome.observation, info

    def step(self, action: Any) -> tuple[Vector, SupportsFloat, bool, bool, dict[str, Any]]:
        """Apply ``action``, let one interval pass, and tell what it came to.

        Raises:
            ActionError: The action is not of the action space.
            NotReadyError: ``reset`` comes first.
            InfraGymError: The world failed (with ``on_failure="raise"``).
        """
        if self._over is not None:
            raise NotReadyError(f"step is not possible: {self._over}", next_command="env.reset()")
        move = self.task.move(action, self.controls)
        try:
            reading = self.world.step(move.controls)
            outcome = self._outcome(reading, move, cost=True)
        except InfraGymError as error:
            return self._failed(error, action)
        self._failures = 0
        self.controls = dict(move.controls)
        info = self._info(reading, outcome, move)
        truncated = self._truncate(info, reading.bill) or (reading.last and self._ends(info))
        self._log.step(action, outcome, info, truncated=truncated)
        self._picture.add(outcome)
        self._render_if_human()
        return outcome.observation, outcome.reward, False, truncated, info

    @property
    def bill(self) -> Bill | None:
        """What an account was billed, from the first call until now or the end of the teardown.

        ``None`` where no account is billed. Nobody is asked.
        """
        return self.world.bill if isinstance(self.world, LiveWorld) else None

    def render(self) -> str | NDArray[np.uint8] | None:
        """The episode so far: text for ``ansi``, uint8 (height, width, 3) for ``rgb_array``."""
        if self.render_mode == "ansi":
            return self._picture.text()
        if self.render_mode == "rgb_array":
            return self._picture.rgb()
        return None

    def close(self) -> None:
        """Destroy what was made (or keep it, if told); harmless when done twice."""
        self._over = "the environment is closed"
        self._closed = True
        try:
            self._close_world(keep=self._keep and self._spent is None)
        finally:
            self._log.close({} if self.bill is None else {"bill": asdict(self.bill)})

    def _outcome(self, reading: Reading, move: Move, *, cost: bool) -> Outcome:
        outcome = self.task.outcome(
            reading.values,
            move.controls,
            seconds=reading.seconds if cost else 0.0,
            last_action=move.last_action,
            out_of_bounds=bool(move.clipped),
            pending=len(reading.notes.get("pending", ())),
            empty=reading.empty,
            billed=self._charge(reading.bill),
        )
        self._spent_usd += outcome.cost_usd
        self._last = outcome
        return outcome

    def _charge(self, bill: Bill | None) -> Charge | None:
        """What was billed since the reading before; what a start costs is in its reset's."""
        if bill is None:
            return None
        usd, self._billed_usd = bill.usd - self._billed_usd, bill.usd
        return Charge(usd, bill.usd_per_hour)

    def _info(self, reading: Reading, outcome: Outcome, move: Move) -> dict[str, Any]:
        return {
            "metrics": dict(outcome.metrics),
            "by_label": {name: dict(values) for name, values in reading.by_label.items()},
            "empty": sorted(outcome.empty),
            "rewards": dict(outcome.terms),
            "cost_usd": outcome.cost_usd,
            "controls": dict(move.controls),
            "clipped": list(move.clipped),
            "tick": reading.tick,
            "time_s": reading.time_s,
            **({} if reading.bill is None else {"bill": asdict(reading.bill)}),
            **reading.notes,
        }

    def _truncate(self, info: dict[str, Any], bill: Bill | None) -> bool:
        """Whether the budget is spent; then all is torn down, because it would go on costing."""
        reason = self._exceeded(bill)
        if reason is None:
            return False
        info["truncated_because"] = reason
        self._give_up(reason)
        return True

    def _refuse_to_overspend(self, bill: Bill | None) -> None:
        """Tear down at once what an account is billed for, where no step can be paid any more."""
        reason = None if bill is None else self._exceeded(bill)
        if reason is not None:
            self._give_up(reason)
            raise EpisodeOverError(
                f"{reason}; everything was torn down",
                next_command="make a new environment, with a larger budget_usd or max_seconds",
            )

    def _exceeded(self, bill: Bill | None) -> str | None:
        """Why there may be no other step, whose cost, and the teardown's, are counted already."""
        seconds = 0.0 if self._began is None else time.monotonic() - self._began
        ahead_s = self.place.interval_s + TEARDOWN_S
        reserve = 0.0 if bill is None else bill.reserve_usd(ahead_s)
        return self._budget.exceeded(usd=self._spent_usd, seconds=seconds, reserve_usd=reserve)

    def _give_up(self, reason: str) -> None:
        self._spent = self._over = reason
        self._close_world(keep=False)  # what is kept would go on costing

    def _ends(self, info: dict[str, Any]) -> bool:
        """The recording ends here."""
        info["truncated_because"] = self._over = "the recorded episode ends here"
        return True

    def _close_world(self, *, keep: bool) -> None:
        try:
            self.world.close(keep=keep)
        except OwnershipLostError:
            self._cancel_farewell()  # whoever took over decides what becomes of the stack
            raise
        self._cancel_farewell()

    def _cancel_farewell(self) -> None:
        if self._farewell is not None:
            self._farewell.cancel()
            self._farewell = None

    def _failed(
        self, error: InfraGymError, action: Any
    ) -> tuple[Vector, SupportsFloat, bool, bool, dict[str, Any]]:
        self._over = f"the step before failed: {error.message}"
        self._failures += 1
        if self._last is None or self._on_failure == "raise":
            raise error
        if self._failures >= _FAILURES_IN_A_ROW:
            raise error
        observation, info = self._last.observation.copy(), {"invalid": str(error)}
        self._log.failed(action, observation, info)
        return observation, 0.0, False, True, info

    def _reset_mode(self, options: Mapping[str, Any] | None) -> ResetMode:
        given = dict(options or {})
        mode = given.pop("mode", "full" if self._failures else "soft")
        if given:
            raise SettingsError(f"reset options {sorted(given)}: there is only 'mode'")
        if mode not in ("soft", "layer", "full"):
            raise SettingsError(f"reset mode {mode!r}: write 'soft', 'layer' or 'full'")
        return mode  # type: ignore[no-any-return]

    def _render_if_human(self) -> None:
        if self.render_mode == "human":
            print(self._picture.text(), file=sys.stdout)  # noqa: T201
