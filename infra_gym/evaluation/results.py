"""The file of a benchmark: what was played, what came of it, and what that means.

Of each load and agent there are the numbers of every episode, in the order of the seeds; the tables
of means, intervals and differences follow from them (:mod:`infra_gym.evaluation.scores`) and are in
the file to be read by others. ``sha256`` is of all the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra_gym.agents.tuned import Tuned
from infra_gym.errors import ResultsError
from infra_gym.recording import write_whole

VERSION = 1
FORM = "infra-gym-benchmark"

Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Member(_Strict):
    """One agent as it is made; of an agent that was trained several times, one of the trainings."""

    name: str
    """As ``infra-gym run --agent`` takes it."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    sha256: str | None = None
    """Of the trained model's file."""
    steps: int | None = None
    """Of environments, that the model was trained with."""


class Entrant(_Strict):
    """Who plays."""

    members: Annotated[tuple[Member, ...], Field(min_length=1)]
    tuned: Tuned | None = None
    """How its parameters were found."""
    repeats: str | None = None
    """The agent that this one is again: what lies between the two is noise."""


class Load(_Strict):
    """A load, and the arrivals that it made."""

    parameters: dict[str, Any]
    schedules: tuple[str, ...]
    """SHA-256 of the arrivals of each seed: the same for every agent."""


class Episodes(_Strict):
    """The episodes of one member under one load; each list is in the order of the seeds."""

    workload: str
    agent: str
    member: Count
    steps: tuple[int, ...]
    reward: tuple[float, ...]
    cost_usd: tuple[float, ...]
    requests: tuple[float, ...]
    slo_share: tuple[float, ...]


class Estimate(_Strict):
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float


class Cell(_Strict):
    """One agent under one load, or (``workload`` is ``None``) under all."""

    workload: str | None
    agent: str
    episodes: int
    reward_mean: float
    """Mean of the episodes' sums of rewards, in the environment's unit."""
    reward_iqm: Estimate
    """Their interquartile mean."""
    cost_usd: float
    """Mean of an episode."""
    slo_share: float
    """Mean share of requests within the SLO, 0 to 1."""


class Difference(_Strict):
    """An agent minus the first one, seed by seed under the same arrivals."""

    workload: str | None
    agent: str
    reward: Estimate
    """Of the mean difference; so are the other two."""
    cost_usd: Estimate
    slo_share: Estimate
    p_value: float | None
    """Of the reward's; Wilcoxon's signed-rank test. Over all loads there is none."""
    p_holm: float | None
    """The same, corrected for the number of loads."""


class Front(_Strict):
    """Whom no other beats in both cost and SLO share, the cheapest first."""

    workload: str | None
    agents: tuple[str, ...]


class Noise(_Strict):
    """What an agent differs from itself, seed by seed: standard deviations of the differences."""

    workload: str
    agent: str
    pairs: int
    reward: float
    cost_usd: float
    slo_share: float


class Scores(_Strict):
    """What follows from the episodes."""

    results: tuple[Cell, ...]
    differences: tuple[Difference, ...]
    pareto: tuple[Front, ...]
    noise: tuple[Noise, ...] = ()


class Log(_Strict):
    """A run log of a live benchmark."""

    workload: str
    path: str
    """From the folder of the results file."""
    sha256: str


class Results(Scores):
    """A benchmark."""

    form: Literal["infra-gym-benchmark"] = "infra-gym-benchmark"
    version: Annotated[int, Field(ge=1, le=VERSION)] = VERSION
    id: str
    target: str
    clock: str | None = None
    """Of a simulator: the target whose interval and time scale held."""
    action: Literal["delta", "absolute"] | None
    steps: Annotated[int, Field(ge=1)]
    """Of an episode at most."""
    definition_sha256: str
    reward_unit: str
    split: str
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    workloads: Annotated[dict[str, Load], Field(min_length=1)]
    agents: Annotated[dict[str, Entrant], Field(min_length=1)]
    """In their order: the first is what the others are compared with."""
    episodes: tuple[Episodes, ...]
    logs: tuple[Log, ...] = ()
    played_again: tuple[str, ...] = ()
    """Live episodes that could not be measured at first, and why."""
    versions: dict[str, str]
    machine: dict[str, Any]
    began_at: str
    seconds: float
    sha256: str = ""

    def sealed(self) -> Results:
        """The same with its hash."""
        return self.model_copy(update={"sha256": digest(self.model_dump(mode="json"))})

    def write(self, path: Path) -> None:
        """Write the file, in one go.

        Raises:
            UsageError: The disk refuses.
        """
        content = self.model_dump(mode="json")
        tables = {name: content.pop(name) for name in Scores.model_fields}
        text = json.dumps({**content, **tables}, indent=1, allow_nan=False)
        write_whole(path, _short_lists(text) + "\n")


def digest(document: Mapping[str, Any]) -> str:
    """Of a document without its own hash, in hexadecimal; the order of keys does not matter."""
    rest = {name: value for name, value in document.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_results(path: Path) -> Results:
    """Read a benchmark's file, and see that nobody changed it since it was written.

    Raises:
        ResultsError: There is no such file, it is none, of a newer version, or was changed.
    """
    again = "infra-gym benchmark --out FILE"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        there = digest(document) if isinstance(document, dict) else ""
    except OSError as error:
        raise ResultsError(
            f"The results {path} cannot be read: {error.strerror or error}.", next_command=again
        ) from error
    except (ValueError, RecursionError) as error:  # also numbers that are none, and mere brackets
        raise ResultsError(f"{path} is damaged: {error}.", next_command=again) from error
    if not isinstance(document, dict) or document.get("form") != FORM:
        raise ResultsError(f"{path} is not the file of a benchmark.", next_command=again)
    version = document.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ResultsError(
            f"{path} has version {version} of a benchmark's file; this infra-gym reads up to "
            f"{VERSION}.",
            next_command="pip install --upgrade infra-gym",
        )
    try:
        found = Results.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ResultsError(f"{path} is damaged: {place}: {first['msg']}.") from error
    if there != found.sha256:
        raise ResultsError(
            f"{path} was changed after it was written: its SHA-256 is {there}, and it "
            f"says {found.sha256 or 'none'}.",
            next_command=again,
        )
    return found


def _short_lists(text: str) -> str:
    """Indented JSON with each list of numbers or strings in one line."""
    lines: list[str] = []
    open_at = -1
    for line in text.split("\n"):
        stripped = line.strip()
        if stripped.endswith("["):
            open_at = len(lines)
        elif stripped.rstrip(",") == "]" and open_at >= 0:
            inside = [each.strip() for each in lines[open_at + 1 :]]
            lines[open_at:] = [lines[open_at] + " ".join(inside) + stripped]
            open_at = -1
            continue
        elif stripped.endswith(("{", "}", "},")):
            open_at = -1
        lines.append(line)
    return "\n".join(lines)
