"""The twin over the arrivals and actions of a recording, so that both can be compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from infra_gym.evaluation.recordings import (
    READY,
    STAYED,
    UTILISATION,
    Array,
    Recording,
    stayed_busy,
)
from infra_gym.simulators.webapp import WebApp
from infra_gym.simulators.webapp_parameters import WebAppParameters
from infra_gym.task.formulas import Formulas
from infra_gym.worlds.measures import WebAppMeasures
from infra_gym.worlds.webapp_inputs import WebAppInputs


class Follower:
    """Runs the twin as a recording went.

    A reading at a tick sees samples that are up to a scrape old, and always equally old, because
    ticks and scrapes keep time. Here all arrivals and changes come that much later instead.

    Args:
        recording: What is followed.
        names: The metrics to tell, in this order: the definition's, or
            :data:`~infra_gym.evaluation.recordings.STAYED`.
    """

    def __init__(self, recording: Recording, names: tuple[str, ...]) -> None:
        self.recording = recording
        self.names = names
        self._inputs = WebAppInputs.of(recording.definition)
        self._measures = WebAppMeasures(recording.definition, timeout_s=self._inputs.timeout_s)
        self._formulas = Formulas(recording.definition.metrics)

    def run(self, parameters: WebAppParameters, *, age_s: float, chances: int) -> Array:
        """Every metric at every step, shape ``(steps, names)``.

        Args:
            parameters: The twin's.
            age_s: How old the samples of a reading are.
            chances: Seed of the balancing, which the live one does not share.
        """
        recording = self.recording
        app, asked = (
            self._app(parameters, age_s, chances),
            self._measures.asked(parameters.overhead_s),
        )
        _, by_label, _ = self._measures.single(app.measure(0.0, recording.initial, asked))
        taking = by_label.get(READY, {})
        rows, tick = [], 0
        for wanted, ends in zip(recording.replicas, recording.ticks, strict=True):
            while tick < ends:  # more than once where a tick was slept through
                tick += 1
                told = app.measure(tick * recording.interval_s, wanted, asked)
            values, by_label, _ = self._measures.single(told)
            controls = {recording.definition.replica_controls[0]: float(wanted)}
            computed, _ = self._formulas.evaluate({**values, **controls})
            after = by_label.get(READY, {})
            stayed = stayed_busy(by_label.get(UTILISATION, {}), taking, after)
            row = {**values, **computed, STAYED: stayed}
            rows.append([row[name] for name in self.names])
            taking = after
        return np.array(rows)

    def _app(self, parameters: WebAppParameters, age_s: float, chances: int) -> WebApp:
        recording = self.recording
        (control,) = recording.definition.controls.values()
        return WebApp(
            recording.schedule.times + age_s,
            replicas=recording.initial,
            max_replicas=control.high,
            parameters=replace(parameters, apply_s=parameters.apply_s + age_s),
            seed=chances,
            **self._inputs.of_app,
        )
