"""The loads that agents are trained, tuned and judged on, from ``splits.yaml`` beside this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from infra_gym.errors import UnknownNameError
from infra_gym.workloads.workload import Workload, parse_workload

Split = Literal["training", "tuning", "held_out"]

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Loads:
    """One split.

    Attributes:
        first_seed: The first of its seeds; the others follow.
        workloads: The parameters of each load by its name, as the file has them.
    """

    first_seed: int
    workloads: Mapping[str, Mapping[str, Any]]

    def seeds(self, number: int) -> range:
        """The first ``number`` seeds."""
        return range(self.first_seed, self.first_seed + number)

    def chosen(self, names: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
        """The named loads, or all.

        Raises:
            UnknownNameError: There is no such load; names the nearest.
        """
        for name in names or ():
            if name not in self.workloads:
                raise UnknownNameError("workload", name, self.workloads)
        return {name: dict(self.workloads[name]) for name in names or self.workloads}


@cache
def loads_of(split: Split) -> Loads:
    """The loads of a split.

    Raises:
        UnknownNameError: There is no such split.
    """
    if split not in get_args(Split):
        raise UnknownNameError("split", split, get_args(Split))
    written = yaml.safe_load((_FOLDER / "splits.yaml").read_text(encoding="utf-8"))[split]
    return Loads(written["first_seed"], written["workloads"])


def complete(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a load, its trace by its whole path: what ``gym.make`` takes as
    ``workload``."""
    whole = dict(parameters)
    if "path" in whole:
        whole["path"] = str(_FOLDER / whole["path"])
    return whole


def workloads(split: Split) -> dict[str, Workload]:
    """The loads of a split, ready to be used."""
    return {
        name: parse_workload(complete(parameters))
        for name, parameters in loads_of(split).workloads.items()
    }
