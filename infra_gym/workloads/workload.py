"""Any profile, and one made from plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from infra_gym.errors import UsageError
from infra_gym.settings.strict import KeyPath, problems_in
from infra_gym.workloads.profiles import (
    Bursty,
    Constant,
    Daily,
    FlashCrowd,
    Ramp,
    Random,
    Sine,
    Staircase,
)
from infra_gym.workloads.trace import Trace

Workload = Annotated[
    Constant | Daily | Sine | Ramp | Random | Staircase | Bursty | FlashCrowd | Trace,
    Field(discriminator="profile"),
]
"""Any profile; its key ``profile`` says which."""

PROFILES = (
    *("constant", "daily", "sine", "ramp", "random", "staircase"),
    *("bursty", "flash_crowd", "trace"),
)
"""The names that ``profile`` may have."""

_ADAPTER: TypeAdapter[Workload] = TypeAdapter(Workload)


def parse_workload(data: Mapping[str, Any]) -> Workload:
    """The workload that ``data`` describes, such as ``{"profile": "constant", "mean_rps": 30}``.

    Raises:
        UsageError: It describes none; names the key and what is allowed.
    """
    try:
        return _ADAPTER.validate_python(data)
    except ValidationError as error:
        raise UsageError(
            "\n".join(_line(problem.path, problem.text) for problem in problems_in(error))
        ) from error


def _line(path: KeyPath, text: str) -> str:
    keys = [str(part) for part in path if part not in PROFILES]
    return f"{'.'.join(['workload', *keys])}: {text}"
