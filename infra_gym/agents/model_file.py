"""The file of a trained model: Stable-Baselines3's zip archive, with two members of ours.

``infra-gym.json`` is a :class:`Document`: what the model is for, and how it came about.
``policy.npz`` has the arrays of the policy and of its scale. They are all that is needed to act,
and numbers only: **Stable-Baselines3's own members are pickles, and loading those executes code;
here they are never loaded.**
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from infra_gym.agents.network import Activation, Network
from infra_gym.agents.senses import Kind, Scale
from infra_gym.errors import UsageError

DOCUMENT, ARRAYS = "infra-gym.json", "policy.npz"
_MOST_BYTES = 256 * 1024 * 1024


class Document(BaseModel):
    """What is known of a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    """Of this document's form."""
    environment: str
    """The id of the environment that it acts in."""
    observation_shape: tuple[int, ...]
    actions: tuple[int, ...]
    """How many actions there are of each kind."""
    masked: bool
    """Whether the environment tells which actions are allowed."""
    activation: Activation
    rows: bool
    """See :class:`~infra_gym.agents.network.Network`."""
    scale: Kind
    """See :class:`~infra_gym.agents.senses.Scale`."""
    frames: int
    """How many observations it sees at once."""
    steps: int
    """Steps of environments that it was trained with."""
    training: dict[str, Any]
    """How: algorithm, seed, loads, and all numbers that were chosen."""
    versions: dict[str, str]
    """Of the programs that trained it."""


@dataclass(frozen=True)
class Model:
    """A trained policy, ready to act."""

    document: Document
    network: Network
    scale: Scale


def append(path: Path, model: Model) -> None:
    """Add our members to the archive ``path``."""
    arrays = io.BytesIO()
    scale = {"mean": model.scale.mean, "deviation": model.scale.deviation}
    named: dict[str, Any] = model.network.arrays() | scale
    np.savez(arrays, **named)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(DOCUMENT, model.document.model_dump_json(indent=2))
        archive.writestr(ARRAYS, arrays.getvalue())


def read(path: Path) -> Model:
    """The model in the file ``path``; nothing in it is executed.

    Raises:
        UsageError: There is no such file, or it is no model of ``infra-gym train``.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            document = Document.model_validate_json(_member(archive, DOCUMENT))
            with np.load(io.BytesIO(_member(archive, ARRAYS)), allow_pickle=False) as arrays:
                named = {name: arrays[name] for name in arrays.files}
        scale = Scale(document.scale, named.pop("mean"), named.pop("deviation"))
        network = Network.from_arrays(named, activation=document.activation, rows=document.rows)
    except FileNotFoundError as error:
        raise UsageError(
            f"There is no model {path}.", next_command="infra-gym train ID --out FOLDER"
        ) from error
    except (KeyError, OSError, ValidationError, ValueError, zipfile.BadZipFile) as error:
        first = str(error).strip("'\"").splitlines()[0]
        raise UsageError(
            f"{path} is no model of infra-gym's: {first}",
            next_command="infra-gym train ID --out FOLDER, then FOLDER/model.zip; a model that was "
            "trained otherwise is written by infra_gym.training.save_model",
        ) from error
    return Model(document, network, scale)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _MOST_BYTES:
        raise ValueError(f"{name} is larger than any policy")
    return archive.read(name)
