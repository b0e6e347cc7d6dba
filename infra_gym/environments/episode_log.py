"""What an environment writes into its run log, if it has one."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from infra_gym.definitions.models import Definition
from infra_gym.environments.place import Place
from infra_gym.recording import Header, RunLog
from infra_gym.task.observations import Vector
from infra_gym.task.task import Outcome
from infra_gym.worlds.webapp_inputs import twin_inputs

# What the log's lines have fields of their own for.
_FIELDS = frozenset({"metrics", "rewards", "time_s", "schedule_sha256", "seed"})


class EpisodeLog:
    """A run log that is made with the first reset; without a path, nothing is written.

    Args:
        path: Where it goes.
        definition: The environment.
        place: Its names, clock and load.
        told: What else the header tells.
    """

    def __init__(
        self, path: Path | None, definition: Definition, place: Place, told: Mapping[str, Any]
    ) -> None:
        self._path = path
        self._definition = definition
        self._place = place
        self._told = told
        self._log: RunLog | None = None
        self._has_episode = False
        self._step = 0
        self._time_s = 0.0

    def open(self) -> None:
        """Make the file: not when the environment is made, nor after its stack was paid for.

        Raises:
            InfraGymError: It exists already, or cannot be written.
        """
        if self._log is None and self._path is not None:
            self._log = RunLog(self._path, self._header())

    def undo(self) -> None:
        """Take back an :meth:`open` that no episode came of: the next try finds its place free."""
        if self._log is not None and not self._has_episode:
            self._log.discard()
            self._log = None

    def reset(self, outcome: Outcome, info: Mapping[str, Any]) -> None:
        """An episode's beginning."""
        self._has_episode = True
        self._step, self._time_s = 0, 0.0
        if self._log is not None:
            self._log.reset(
                seed=info["seed"],
                schedule_sha256=info["schedule_sha256"],
                observation=outcome.observation,
                metrics=outcome.metrics,
                info=_rest(info),
            )

    def step(
        self, action: Any, outcome: Outcome, info: Mapping[str, Any], *, truncated: bool
    ) -> None:
        """One step."""
        self._step, self._time_s = self._step + 1, info["time_s"]
        if self._log is not None:
            self._log.step(
                step=self._step,
                time_s=self._time_s,
                action=action,
                observation=outcome.observation,
                reward=outcome.reward,
                terms=outcome.terms,
                metrics=outcome.metrics,
                truncated=truncated,
                info=_rest(info),
            )

    def failed(self, action: Any, observation: Vector, info: Mapping[str, Any]) -> None:
        """A step that failed and ended its episode."""
        self._step += 1
        if self._log is not None:
            self._log.step(
                step=self._step,
                time_s=self._time_s,
                action=action,
                observation=observation,
                reward=0.0,
                terms={},
                metrics={},
                truncated=True,
                info=info,
            )

    def close(self, info: Mapping[str, Any]) -> None:
        """Write the last line, with what only the end could tell; harmless when done twice."""
        if self._log is not None:
            self._log.close(info=info)

    def _header(self) -> Header:
        return Header(
            id=self._definition.id,
            target=self._place.target,
            definition_sha256=self._definition.sha256,
            package_version=version("infra-gym"),
            interval_s=self._place.interval_s,
            time_scale=self._place.time_scale,
            info={
                **self._told,
                "project": self._place.project,
                "environment": self._place.environment,
                **({} if self._definition.file is None else {"file": str(self._definition.file)}),
                "workload": self._place.workload.model_dump(mode="json"),
                "inputs": self._inputs(),
                "layers": list(self._definition.layers.get(self._place.target, ())),
                "slo": self._definition.slo.model_dump(mode="json"),
                "reward_unit": self._definition.reward_unit,
                "python": platform.python_version(),
                "system": f"{platform.system()} {platform.machine()}",
            },
        )

    def _inputs(self) -> dict[str, dict[str, Any]]:
        """Those that a twin needs to follow this run; of the others, one may be a secret."""
        if self._definition.simulator is None:
            return {}
        layers = self._definition.layers.get(self._place.target, ())
        providers = {layer.partition("/")[0] for layer in layers if layer.endswith("/heater")}
        return twin_inputs(self._definition, *providers)


def _rest(info: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in info.items() if name not in _FIELDS}
