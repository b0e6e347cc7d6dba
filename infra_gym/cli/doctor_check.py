"""One line of the doctor's report."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from infra_gym.errors import InfraGymError


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report."""

    name: str
    ok: bool
    found: str
    needed: bool = True
    """The main job cannot run without it."""
    next: str = ""
    """What to type, where it is not ok."""


def attempt(name: str, find: Callable[[], str], to_type: str) -> Check:
    """The check ``name``: what ``find`` says, or why it failed and what to type then."""
    try:
        return Check(name, ok=True, found=find())
    except InfraGymError as error:
        return Check(name, ok=False, found=error.message, next=to_type)
    except (OSError, subprocess.SubprocessError) as error:
        return Check(name, ok=False, found=str(error), next=to_type)
