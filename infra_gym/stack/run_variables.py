"""What a run itself knows and layers may ask for: names, folders, programs, ports, the load.

A variable without default that nothing else fills takes the run variable of its name.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from infra_gym.definitions.models import Definition
from infra_gym.errors import MissingProgramError
from infra_gym.settings import Settings, Target
from infra_gym.stack.lock import Owner
from infra_gym.stack.ports import PortBlocks, candidates
from infra_gym.stack.run_directory import explained
from infra_gym.workloads import arrival_schedule

_PACKAGE = Path(__file__).resolve().parents[1]


class RunVariables:
    """The run variables of one project and environment.

    Args:
        settings: Where ``prometheus`` is, and the data folder.
        project: The project.
        environment: The environment's name.
        target: The target, for the schedule's length.
        root: The folder of the run.
        definition: What the schedule is made of; without one there is no ``schedule``.
        extra: More of them; these win.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        project: str,
        environment: str,
        target: str,
        root: Path,
        definition: Definition | None,
        extra: Mapping[str, Any],
    ) -> None:
        self._settings = settings
        self._name = f"{project}/{environment}"
        self._target = target
        self._root = root
        self._definition = definition
        self._fixed = {
            "project": project,
            "environment": environment,
            "run_folder": str(root / "processes"),
            "apps_folder": str(_PACKAGE / "apps"),
            "python": sys.executable,
            "pool": "",  # of any nodes, where no layer makes some for the app
            **extra,
        }

    def of(self, layer: str, *, touch: bool) -> dict[str, Callable[[], Any]]:
        """By name, how to make each; ``touch``: reserve the ports, and write the schedule."""
        made: dict[str, Callable[[], Any]] = {
            "prometheus": self._prometheus,
            "port": lambda: self._port(layer, touch=touch),
            "owner": _owner,
            "expires": self._expires,
        }
        if self._definition is not None:
            made["schedule"] = lambda: self._schedule(touch=touch)
        fixed = {name: _constant(value) for name, value in self._fixed.items()}
        return made | fixed

    def release_ports(self, layer: str = "") -> None:
        """Give back a layer's block of ports, or all blocks of the run."""
        self._ports.release(f"{self._name}/{layer}")

    @property
    def _ports(self) -> PortBlocks:
        return PortBlocks(self._settings.data_folder.absolute() / "ports")

    def _port(self, layer: str, *, touch: bool) -> int:
        name = f"{self._name}/{layer}"
        if not touch:
            return next(candidates(name))
        with explained(self._ports.folder, layer):
            return self._ports.reserve(name)

    def _prometheus(self) -> str:
        program = self._settings.prometheus or "prometheus"
        found = shutil.which(program)
        if found is None:
            raise MissingProgramError(
                f"The program {program} was not found.",
                next_command="install Prometheus (Debian, Ubuntu: sudo apt-get install prometheus; "
                "macOS: brew install prometheus), or name the program in INFRA_GYM_PROMETHEUS",
            )
        return str(Path(found).absolute())

    def _expires(self) -> str:
        """When a stack that is made now counts as forgotten."""
        moment = datetime.now(UTC) + timedelta(hours=self._settings.expiry_hours)
        return moment.isoformat(timespec="seconds")

    def _schedule(self, *, touch: bool) -> str:
        """The arrivals of the definition's workload with seed 0, for stacks without an agent."""
        file = self._root / "schedule.igs"
        if touch and self._definition is not None:
            target = cast("Target", self._target)  # one that the definition has
            schedule = arrival_schedule(
                self._definition.workload,
                seconds=self._definition.max_episode_steps * self._definition.interval_s[target],
                time_scale=self._definition.scale(target),
                seed=0,
            )
            with explained(self._root, None):
                file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                schedule.write(file)
        return str(file)


def _owner() -> str:
    """Who runs this."""
    owner = Owner.of_this_process(0)
    return f"{owner.user}@{owner.host}"


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value
