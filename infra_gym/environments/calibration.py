"""The file that ``infra-gym calibrate`` writes: the twin's parameters, and how they were found."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from infra_gym.definitions.models import Definition
from infra_gym.environments.place import Place
from infra_gym.errors import SettingsError, UsageError
from infra_gym.recording import write_whole
from infra_gym.simulators.webapp_parameters import WebAppParameters, WebAppSpread
from infra_gym.worlds.twins import Parameters
from infra_gym.worlds.webapp_inputs import twin_inputs

VERSION = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Source(_Strict):
    """An episode of a run log."""

    sha256: str
    """Of the log."""
    seed: int
    steps: int
    workload: dict[str, Any]


class PredictedMetric(_Strict):
    """How one metric of a run was predicted; the fields of ``evaluation.prediction.Errors``."""

    unit: str
    steps: int
    mean_error: float
    mean_absolute_error: float
    coverage: float
    measured: float
    predicted: float
    low: float
    high: float
    disturbed: int
    coverage_disturbed: float | None


class Held(Source):
    """An episode that was not fitted to, and how it was predicted."""

    metrics: dict[str, PredictedMetric]


class Calibration(_Strict):
    """A fitted twin."""

    version: int = VERSION
    """Of this form; a reader refuses a newer one."""
    simulator: Literal["webapp"] = "webapp"
    id: str
    """The environment."""
    target: str
    """What it was fitted to."""
    interval_s: float
    """Seconds of a step there, of the first log."""
    inputs: dict[str, dict[str, Any]]
    """Of the layers, which the parameters hold for."""
    parameters: WebAppParameters
    """The estimate."""
    level: float
    """Of the intervals."""
    low: WebAppParameters
    """Lower ends of the intervals; the spread is drawn evenly from low to high."""
    high: WebAppParameters
    names: tuple[str, ...]
    """The order of the covariance's rows and columns."""
    covariance: tuple[tuple[float, ...], ...]
    """Of the parameters."""
    unseen: tuple[str, ...]
    """Parameters that the logs say nothing of: the estimate is the default."""
    fitted_to: tuple[Source, ...]
    holdout: tuple[Held, ...] = ()

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if not {*self.names} <= {one.name for one in fields(WebAppParameters)}:
            raise ValueError("names: not the simulator's parameters")
        for name in self.names:
            if getattr(self.low, name) > getattr(self.high, name):
                raise ValueError(f"{name}: its low is above its high")
        return self

    @property
    def spread(self) -> WebAppSpread:
        """What is drawn from, episode by episode."""
        return WebAppSpread(self.low, self.high)

    def write(self, path: Path) -> None:
        """Write the file, in one go.

        Raises:
            UsageError: The disk refuses.
        """
        write_whole(path, self.model_dump_json(indent=2) + "\n")


def read_calibration(path: Path, definition: Definition) -> Calibration:
    """Read a calibration, and see that it is of this environment as it is today.

    Raises:
        SettingsError: There is no such file, it is none, of a newer version, of another
            environment, or of other inputs of the layers.
    """
    found = _parsed(path)
    again = (
        f"infra-gym probe {definition.named} --target {found.target}, then infra-gym calibrate LOG"
    )
    if found.id != definition.id:
        raise SettingsError(f"{path} is a calibration of {found.id}, not of {definition.id}.")
    inputs = twin_inputs(definition)
    if found.inputs != inputs:
        raise SettingsError(
            f"{path} was made for other inputs of {definition.id}'s layers: "
            f"{json.dumps(found.inputs)}, now {json.dumps(inputs)}.",
            next_command=again,
        )
    return found


def twin_parameters(
    definition: Definition, place: Place, calibration: str | Path | None, *, randomise: bool
) -> Parameters:
    """What the twin is like: as the environment's arguments say.

    Raises:
        SettingsError: A calibration that cannot be used, or none where one is needed.
    """
    if calibration is None and randomise:
        raise SettingsError(
            "randomise needs a calibration, whose spread it draws from.",
            next_command=f"infra-gym probe {definition.named}, then infra-gym calibrate LOG",
        )
    if calibration is None:
        return None
    if place.target != "sim":
        raise SettingsError(
            f"A calibration is the twin's, and {place.target!r} is no twin.",
            next_command=definition.making(f'target="sim", calibration="{calibration}"')
            + ", or --target sim",
        )
    found = read_calibration(Path(calibration), definition)
    return found.spread if randomise else found.parameters


def _parsed(path: Path) -> Calibration:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.get("version") if isinstance(content, dict) else None
        if isinstance(version, int) and version > VERSION:
            raise SettingsError(
                f"{path} has version {version} of a calibration; this infra-gym reads up to "
                f"{VERSION}.",
                next_command="pip install --upgrade infra-gym",
            )
        return Calibration.model_validate(content)
    except OSError as error:
        raise SettingsError(
            f"The calibration {path} cannot be read: {error.strerror or error}.",
            next_command=f"infra-gym calibrate LOG --out {path}",
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"{path} is no calibration: {f'{place}: ' if place else ''}{first['msg']}.",
            next_command=f"infra-gym calibrate LOG --out {path}",
        ) from error
    except (ValueError, RecursionError, UsageError) as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(
            f"{path} is no calibration: {error}.",
            next_command=f"infra-gym calibrate LOG --out {path}",
        ) from error
