"""The lines of a run log, version 1.

One JSON object a line, told apart by ``kind``: a ``header``, then for every episode a ``reset`` and
its ``step`` lines, and at the end a ``close``, which a run that was killed lacks. Every number is
finite. A secret has no place in any line.

A line is on its way to the disk before the step returns. A log whose last line was cut off, as by
SIGKILL, is read up to its last whole line. ``info`` may get new keys at any time; the version
changes when a field comes, goes or changes its meaning. A reader takes every version up to its own,
and refuses a newer one.

A log that was merged of several workers' logs (``infra-gym evaluate``) is such a log as well: the
``info`` of each ``reset`` and ``step`` has ``worker``, a number from 1, that of a ``reset`` has
``agent``, and the header's has ``workers``, the names of each worker's environments.
"""

from __future__ import annotations

import os
import shlex
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

VERSION = 1


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Header(_Line):
    """What was run; the first line."""

    kind: Literal["header"] = "header"
    version: int = VERSION
    """Of this schema; a reader refuses a newer one."""
    id: str
    """The environment's id."""
    target: str
    definition_sha256: str
    """Of what the definition's file says."""
    package_version: str
    interval_s: float
    """Seconds of a step on the target's clock."""
    time_scale: float
    """Modelled seconds in one second of the target's clock."""
    info: dict[str, Any] = Field(default_factory=dict)
    """Whatever else tells the run: ``project``, ``environment``, ``agent``, ``workload``, the
    ``inputs`` that a twin needs, ``layers``, ``slo``, ``reward_unit``, ``python``, ``system``; and
    the definition's ``file``, where it is not found by the id."""

    @property
    def source(self) -> str:
        """What finds the definition: the file that it was made from, where that lies here, else
        the environment's id, as for a log that came from another machine."""
        file = str(self.info.get("file", ""))
        here = os.path.isfile(file)  # noqa: PTH113  # Path's raises where a folder may not be read
        return file if here else self.id

    @property
    def named(self) -> str:
        """The same, as it is typed in a shell."""
        return shlex.quote(self.source)


class Reset(_Line):
    """An episode's beginning."""

    kind: Literal["reset"] = "reset"
    seed: int
    schedule_sha256: str
    """Of the arrival schedule that the seed made."""
    observation: tuple[float, ...]
    """As the agent got it."""
    metrics: dict[str, float]
    """Every metric by its name, unclipped."""
    info: dict[str, Any] = Field(default_factory=dict)
    """What else the environment told the agent, see ``Step``."""


class Step(_Line):
    """One step and what came of it."""

    kind: Literal["step"] = "step"
    step: int = Field(ge=1)
    """Counted from 1 in the episode."""
    time_s: float
    """Modelled seconds since the reset."""
    action: int | float | tuple[float, ...]
    """As the agent chose it."""
    observation: tuple[float, ...]
    """As the agent got it: clipped to the observation space."""
    reward: float
    """The sum of ``terms``; 0 where the step failed."""
    terms: dict[str, float]
    """The reward's named terms, in the definition's ``reward_unit``."""
    metrics: dict[str, float]
    """Every metric by its name, unclipped; empty where the step failed."""
    terminated: bool = False
    """Whether the task came to its end."""
    truncated: bool = False
    """Whether the episode was cut short: a budget, a failure, the end of a recording."""
    info: dict[str, Any] = Field(default_factory=dict)
    """What else the environment told the agent: ``controls`` that held, ``clipped`` moves,
    ``tick``, ``cost_usd``, ``by_label``, ``empty``, ``seconds`` (of apply, sample, jitter),
    ``pending`` layers, ``mismatch``; where it is so ``disturbed``, ``vanished``,
    ``truncated_because``, and ``invalid``, why the step failed."""


class Close(_Line):
    """The run's orderly end."""

    kind: Literal["close"] = "close"
    reason: str
    """``closed``, or the error that ended the run."""
    info: dict[str, Any] = Field(default_factory=dict)
    """What only the end could tell, such as ``bill``: what an account was billed in all."""


Line = Annotated[Header | Reset | Step | Close, Field(discriminator="kind")]
LINE: TypeAdapter[Line] = TypeAdapter(Line)
