"""What agents are evaluated in: an environment, described so that any process can make it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import gymnasium as gym

from infra_gym.definitions.catalog import definition_file, definition_ids, find_definition
from infra_gym.definitions.catalog import definitions_folder as packaged
from infra_gym.environments.make import make
from infra_gym.errors import MissingProgramError, SettingsError, UnknownNameError
from infra_gym.settings import Settings, Target, load_settings
from infra_gym.stack import unique_name
from infra_gym.task.controls import ActionMode
from infra_gym.worlds.twins import Fidelity

LONGEST_NAME = 31
"""Characters of a name that leave room for a worker's number and a replacement's suffix."""

_YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Arena:
    """An environment that is still to be made, here or in another process.

    Attributes:
        identifier: An id, or the path of a YAML file.
        target: Where it runs.
        project: First part of all names.
        environment: Second part; ``None`` for an id that is no stack of layers.
        action: ``delta``, ``absolute`` or the definition's own.
        fidelity: Of the simulator: ``reference``, ``fluid`` or its default.
        calibration: Of the simulator: the whole path of a file, which must lie there as well.
        randomise: Whether the simulator's parameters are drawn from the calibration.
        budget_usd: US dollars that it may spend.
        max_seconds: Wall-clock seconds that it may live.
        spend_money: On ``do``: yes, the account may be billed; else the setting of that name.
        steps: At most so many in an episode; ``None`` for all of them.
        workload: Another load than the definition's.
        clock: Of a simulator: the target whose interval and time scale hold.
        has_log: Whether it can keep a run log.
    """

    identifier: str
    target: Target
    project: str
    environment: str | None
    action: ActionMode | None = None
    fidelity: Fidelity | None = None
    calibration: str | None = None
    randomise: bool = False
    budget_usd: float | None = None
    max_seconds: float | None = None
    spend_money: bool | None = None
    steps: int | None = None
    workload: Mapping[str, Any] | None = None
    clock: Target | None = None
    has_log: bool = True

    @classmethod
    def find(
        cls,
        identifier: str,
        *,
        target: Target | None = None,
        project: str | None = None,
        environment: str | None = None,
        action: ActionMode | None = None,
        fidelity: Fidelity | None = None,
        calibration: Path | None = None,
        randomise: bool = False,
        steps: int | None = None,
        clock: Target | None = None,
    ) -> Self:
        """The arena of an id, a ``module:Id`` or a YAML file, with the settings of this process.

        Raises:
            UnknownNameError: There is no such id; names the nearest.
            UsageError: A setting or argument cannot be, or the environment has no such target.
        """
        settings = load_settings(target=target, project=project, environment=environment)
        if identifier not in definition_ids() and not identifier.endswith(_YAML):
            _refuse_unknown(identifier)
            of_layers = {
                "--target": target not in (None, "sim"),
                "--action": action is not None,
                "--fidelity": fidelity is not None,
                "--calibration": calibration is not None,
                "--randomise": randomise,
            }
            _refuse(identifier, [option for option, given in of_layers.items() if given])
            return cls(identifier, "sim", settings.project, None, steps=steps, has_log=False)
        definition = find_definition(identifier)
        short = unique_name(definition.id, settings.target, longest=LONGEST_NAME)
        most = definition.max_episode_steps
        arena = cls(
            _everywhere(identifier),
            settings.target,
            settings.project,
            settings.environment or short,
            action=action,
            fidelity=fidelity,
            calibration=None if calibration is None else str(calibration.absolute()),
            randomise=randomise,
            budget_usd=settings.budget_usd,
            max_seconds=settings.max_seconds,
            steps=most if steps is None else min(steps, most),
            clock=clock,
        )
        with suppress(MissingProgramError):  # the workers' machines may have it
            arena.make()  # touches nothing, and refuses what cannot be
        return arena

    @property
    def is_live(self) -> bool:
        """Whether there is something to be destroyed."""
        return self.target != "sim"

    def named(self, environment: str) -> Self:
        """The same under another name, with a state, ledger, lock and namespace of its own."""
        return replace(self, environment=environment)

    def under(self, workload: Mapping[str, Any]) -> Self:
        """The same under another load."""
        return replace(self, workload=workload)

    def make(self, log: Path | None = None) -> Any:
        """The environment; nothing is touched before its first reset.

        Args:
            log: Where its run log goes.

        Raises:
            InfraGymError: As :func:`infra_gym.environments.make.make`.
        """
        if not self.has_log:
            return gym.make(self.identifier)
        return make(
            self.identifier,
            target=self.target,
            project=self.project,
            environment=self.environment,
            workload=self.workload,
            clock=self.clock,
            action=self.action,
            fidelity=self.fidelity,
            calibration=self.calibration,
            randomise=self.randomise,
            budget_usd=self.budget_usd,
            max_seconds=self.max_seconds,
            spend_money=self.spend_money,
            log=log,
        )

    def settings(self) -> Settings:
        """The settings of this process, with the arena's names."""
        return load_settings(target=self.target, project=self.project)


def _everywhere(identifier: str) -> str:
    """An id that every machine knows, or the whole path of a file that must lie there as well."""
    file = definition_file(identifier).absolute()
    return identifier if file.parent == packaged() else str(file)


def _refuse_unknown(identifier: str) -> None:
    try:
        gym.spec(identifier)
    except (gym.error.Error, ImportError) as error:
        if ":" in identifier:
            raise SettingsError(
                f"{identifier}: {error}",
                next_command="write MODULE:ID, where the module can be imported and registers it",
            ) from error
        known = {*definition_ids(), *gym.registry}
        raise UnknownNameError("environment", identifier, known) from None


def _refuse(identifier: str, options: Sequence[str]) -> None:
    """Options that only an environment with a definition has."""
    if options:
        raise SettingsError(
            f"{identifier} is no stack of layers: it has no {', '.join(options)}",
            next_command=f"leave {' and '.join(options)} out",
        )
