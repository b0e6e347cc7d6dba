"""The simulated world: the web app's twin under the very schedule that a live world would send."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from infra_gym.definitions.models import Definition
from infra_gym.errors import NotReadyError
from infra_gym.simulators.webapp_parameters import WebAppParameters, WebAppSpread
from infra_gym.simulators.webapp_table import Asked, Told
from infra_gym.workloads import Workload, arrival_schedule
from infra_gym.worlds.base import Reading, ResetMode
from infra_gym.worlds.measures import WebAppMeasures
from infra_gym.worlds.webapp_inputs import WebAppInputs

if TYPE_CHECKING:
    from infra_gym.simulators.webapp import WebApp


class SimulatedWorld:
    """The twin of a definition whose simulator is ``webapp``.

    The heater's and siege engine's inputs are the definition's own literals.

    Args:
        definition: The environment.
        workload: The load.
        interval_s: Seconds of a step.
        time_scale: Modelled seconds in one second.
        parameters: What the target is like, or a spread, of which each episode draws one; left
            out, the defaults.

    Raises:
        DefinitionError: Another simulator, or a control or metric that the twin does not have.
    """

    def __init__(
        self,
        definition: Definition,
        *,
        workload: Workload,
        interval_s: float,
        time_scale: float,
        parameters: WebAppParameters | WebAppSpread | None = None,
    ) -> None:
        self._inputs = WebAppInputs.of(definition)
        self._measures = WebAppMeasures(definition, timeout_s=self._inputs.timeout_s)
        self._definition = definition
        self._workload = workload
        self._interval_s = interval_s
        self._time_scale = time_scale
        self._parameters = parameters
        self._app: WebApp | None = None
        self._asked: Asked
        self._tick = 0

    def reset(self, seed: int, controls: Mapping[str, int], mode: ResetMode) -> Reading:  # noqa: ARG002
        """All modes are alike: the twin starts anew with every replica ready."""
        from infra_gym.simulators.webapp import WebApp

        schedule = arrival_schedule(
            self._workload,
            seconds=(self._definition.max_episode_steps + 2) * self._interval_s,
            time_scale=self._time_scale,
            seed=seed,
        )
        inputs, replicas = self._inputs, controls[self._inputs.control]
        parameters = self._drawn(seed)
        self._app = WebApp(
            schedule.times,
            replicas=replicas,
            max_replicas=self._definition.controls[inputs.control].high,
            parameters=parameters,
            schedule_s=schedule.seconds,
            seed=seed,
            **inputs.of_app,
        )
        self._asked = self._measures.asked((parameters or WebAppParameters()).overhead_s)
        self._tick = 0
        reading = self._reading(self._app.measure(0.0, replicas, self._asked))
        told = {} if parameters is None else {"parameters": asdict(parameters)}
        notes = {**reading.notes, "schedule_sha256": schedule.sha256, **told}
        return replace(reading, notes=notes)

    def step(self, controls: Mapping[str, int]) -> Reading:
        """One interval.

        Raises:
            NotReadyError: ``reset`` was not called.
        """
        if self._app is None:
            raise NotReadyError("step before reset", next_command="call env.reset() first")
        self._tick += 1
        until_s = self._tick * self._interval_s
        return self._reading(
            self._app.measure(until_s, controls[self._inputs.control], self._asked)
        )

    def branch(self) -> SimulatedWorld:
        """Another world in the same state, with the same arrivals and chances ahead of it.

        Raises:
            NotReadyError: ``reset`` was not called.
        """
        if self._app is None:
            raise NotReadyError("branch before reset", next_command="call env.reset() first")
        twin = copy.copy(self)
        twin._app = self._app.branch()  # noqa: SLF001 - its own
        return twin

    def close(self, *, keep: bool = False) -> None:  # noqa: ARG002
        """Nothing was made."""
        self._app = None

    def _drawn(self, seed: int) -> WebAppParameters | None:
        if isinstance(self._parameters, WebAppSpread):
            return self._parameters.draw(seed)
        return self._parameters

    def _reading(self, told: Told) -> Reading:
        values, by_label, empty = self._measures.single(told)
        return Reading(
            tick=self._tick,
            seconds=told.until_s - told.since_s,
            time_s=told.until_s * self._time_scale,
            values=values,
            by_label=by_label,
            empty=empty,
            notes={"seconds": {"apply": 0.0, "sample": 0.0}, "pending": [], "mismatch": {}},
        )
