"""A recorded run as a world: the same controls get the same numbers, others are an error."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
)

from infra_gym.cost import Bill
from infra_gym.definitions.models import Definition, FormulaMetric
from infra_gym.errors import DivergedError, EpisodeOverError, NotReadyError, UsageError
from infra_gym.recording import Episode, Reset, Run, Step
from infra_gym.worlds.base import Reading, ResetMode

# What the environment tells itself, from the reading and the task.
# And why the recorded episode was cut short: here it ends because there is no more of it.
_NOT_NOTES = frozenset(
    {"by_label", "empty", "cost_usd", "controls", "clipped", "tick", "bill", "truncated_because"}
)


class _Told(BaseModel):
    """What a line's ``info`` has to be like; whatever else it tells goes on as it is."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    controls: dict[StrictStr, StrictInt]
    tick: StrictInt
    by_label: dict[str, dict[str, StrictFloat]] = Field(default_factory=dict)
    empty: tuple[StrictStr, ...] = ()
    bill: Bill | None = None
    pending: tuple[StrictStr, ...] = ()
    seconds: dict[str, StrictFloat] = Field(default_factory=dict)


class ReplayWorld:
    """The episodes of a run log.

    ``reset`` begins the episode with its seed; those that have the same seed are taken in their
    order, and after the last the first again. Every step must ask for the controls that were
    recorded. After the last recorded step the reading is marked as the last.

    Args:
        definition: The environment; its file must be the one that was recorded.
        run: What was recorded.
        path: Where it lies, for messages.

    Raises:
        UsageError: Another environment was recorded, or one whose definition has changed since.
    """

    def __init__(self, definition: Definition, run: Run, path: Path) -> None:
        _check_definition(definition, run, path)
        self._path = path
        self._target = run.header.target
        self._episodes: dict[int, list[Episode]] = {}
        for episode in run.episodes:
            self._episodes.setdefault(episode.reset.seed, []).append(episode)
        self._measured = frozenset(
            name
            for name, metric in definition.metrics.items()
            if not isinstance(metric, FormulaMetric)
        )
        self._begun: dict[int, int] = {}
        self._left: list[Step] | None = None

    def reset(self, seed: int, controls: Mapping[str, int], mode: ResetMode) -> Reading:  # noqa: ARG002
        """Begin the next episode that was recorded with this seed; all modes are alike.

        Raises:
            UsageError: No episode has this seed.
            DivergedError: The recorded one began with other controls, or what was told of it is
                damaged.
        """
        if seed not in self._episodes:
            seeds = sorted(self._episodes)
            raise UsageError(
                f"{self._path} has no episode of seed {seed}. "
                f"Its seeds: {', '.join(map(str, seeds[:20])) or 'none'}.",
                target="replay",
                next_command=f"env.reset(seed={seeds[0]}), or --seed {seeds[0]}" if seeds else None,
            )
        episodes, begun = self._episodes[seed], self._begun.get(seed, 0)
        self._begun[seed] = begun + 1
        episode = episodes[begun % len(episodes)]
        self._left = list(reversed(episode.steps))
        told = self._asked_for(episode.reset, controls, "the reset")
        more = {"schedule_sha256": episode.reset.schedule_sha256}
        return self._reading(episode.reset, told, 0.0, more)

    def step(self, controls: Mapping[str, int]) -> Reading:
        """The next recorded step.

        Raises:
            NotReadyError: ``reset`` was not called.
            EpisodeOverError: There is no further step.
            DivergedError: It was recorded with other controls, as one that failed, or is damaged.
        """
        if self._left is None:
            raise NotReadyError("step before reset", next_command="call env.reset() first")
        if not self._left:
            raise EpisodeOverError(
                f"{self._path} has no further step of this episode", next_command="env.reset()"
            )
        step = self._left[-1]
        if not step.metrics:
            raise DivergedError(
                f"{self._path}: step {step.step} failed when it was recorded: "
                f"{step.info.get('invalid', 'no reason was written')}",
                target="replay",
            )
        told = self._asked_for(step, controls, f"step {step.step}")
        self._left.pop()
        return self._reading(step, told, step.time_s, {})

    def close(self, *, keep: bool = False) -> None:  # noqa: ARG002
        """Nothing was made."""
        self._left = None

    def _asked_for(self, line: Reset | Step, controls: Mapping[str, int], where: str) -> _Told:
        """What was told of the line, which is the answer to these controls."""
        try:
            told = _Told.model_validate(line.info)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise DivergedError(
                f"{self._path}: {where} cannot be played again: info.{place}: {first['msg']}.",
                target="replay",
                next_command="record anew",
            ) from error
        if "interval_s" not in line.metrics:
            raise DivergedError(
                f"{self._path}: {where} was recorded without its length, interval_s.",
                target="replay",
                next_command="record anew",
            )
        if told.controls != dict(controls):
            raise DivergedError(
                f"{self._path}: at {where} {_shown(told.controls)} was recorded, "
                f"and now {_shown(controls)} was asked for. A recording has no answer to that.",
                target="replay",
                next_command="replay the agent, seed and action mode that were recorded, or "
                f"choose --target {self._target}",
            )
        return told

    def _reading(
        self, line: Reset | Step, told: _Told, time_s: float, more: Mapping[str, Any]
    ) -> Reading:
        return Reading(
            tick=told.tick,
            seconds=line.metrics["interval_s"],
            time_s=time_s,
            values={name: one for name, one in line.metrics.items() if name in self._measured},
            by_label=told.by_label,
            empty=frozenset(told.empty) & self._measured,
            bill=told.bill,
            notes={
                **{key: one for key, one in line.info.items() if key not in _NOT_NOTES},
                **more,
            },
            last=not self._left,
        )


def _check_definition(definition: Definition, run: Run, path: Path) -> None:
    header = run.header
    if header.id != definition.id:
        raise UsageError(
            f"{path} is a recording of {header.id}, not of {definition.id}.",
            target="replay",
            next_command=f"infra-gym run {header.named} --target replay "
            f"--recording {shlex.quote(str(path))}",
        )
    if header.definition_sha256 != definition.sha256:
        raise UsageError(
            f"{path} was recorded with another definition of {definition.id}: its hash is "
            f"{header.definition_sha256[:12]}, that of today's {definition.sha256[:12]}.",
            target="replay",
            next_command=f"take the definition of that time (infra-gym {header.package_version}), "
            "or record anew",
        )


def _shown(controls: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={value}" for name, value in controls.items()) or "nothing"
