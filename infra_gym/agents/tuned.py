"""A rule's parameters in a file, as ``infra-gym calibrate --agent NAME`` writes it."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra_gym.errors import UsageError
from infra_gym.recording import write_whole

VERSION = 1


class Tuned(BaseModel):
    """A rule that was searched in the twin."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    version: int = Field(default=VERSION, le=VERSION)
    """Of this form."""
    agent: str
    """The rule's name."""
    parameters: dict[str, int | float | str]
    """The best that were found."""
    id: str
    """The environment that they were found in."""
    split: str
    """The loads that they were found on."""
    steps: int
    """Environment steps that the search took."""
    candidates: int
    """How many parameter sets were tried."""
    reward_mean: float
    """Of the best, over the loads and seeds of the last round; in the environment's unit."""
    package_version: str

    def write(self, path: Path) -> None:
        """Write the file, in one go.

        Raises:
            UsageError: The disk refuses.
        """
        write_whole(path, self.model_dump_json(indent=2) + "\n")


def read_tuned(agent: str, path: Path) -> Tuned:
    """What a file says of ``agent``.

    Raises:
        UsageError: There is no such file, it is no such file, or it is of another agent.
    """
    again = f"infra-gym calibrate --agent {agent} --out {path}"
    try:
        found = Tuned.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"The parameters {path} cannot be read: {error.strerror or error}.", next_command=again
        ) from error
    except (ValidationError, ValueError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UsageError(
            f"{path} has no parameters of an agent: {why}.", next_command=again
        ) from error
    if found.agent != agent:
        raise UsageError(
            f"{path} has the parameters of {found.agent!r}, not of {agent!r}.",
            next_command=f"--agent {found.agent}:{path}",
        )
    return found
