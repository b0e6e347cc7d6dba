"""From run logs to a calibration: the fit, and how well it predicts the logs that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from infra_gym.environments.calibration import Calibration, Held, PredictedMetric, Source
from infra_gym.errors import UsageError
from infra_gym.evaluation.fit import LEVEL, NAMES, Progress, fit
from infra_gym.evaluation.prediction import Predictor
from infra_gym.evaluation.recordings import Recording, read_recordings, same_environment
from infra_gym.worlds.webapp_inputs import twin_inputs


def calibrate(
    logs: Sequence[Path],
    *,
    holdout: Sequence[Path] = (),
    seed: int = 0,
    progress: Progress = lambda _: None,
) -> Calibration:
    """Fit the twin to run logs of a live environment, and predict others with it.

    Args:
        logs: What is fitted to; at least one.
        holdout: What is predicted: runs of another policy, or under another load.
        seed: Of all chances; the same logs and seed give the same numbers.
        progress: Is told what is being done.

    Raises:
        UsageError: A log cannot be used, they do not belong together, or one is on both sides.
    """
    fitted_to = [one for path in logs for one in read_recordings(path)]
    held = [one for path in holdout for one in read_recordings(path)]
    same_environment([*fitted_to, *held])
    _check_apart(fitted_to, held)
    found = fit(fitted_to, seed=seed, progress=progress)
    progress("predicting")
    predictor = Predictor(found, fitted_to, seed=seed)
    predictions = [predictor.predict(one) for one in held]
    first = fitted_to[0]
    return Calibration(
        id=first.definition.id,
        target=first.target,
        interval_s=first.interval_s,
        inputs=twin_inputs(first.definition),
        parameters=found.parameters,
        level=LEVEL,
        low=found.low,
        high=found.high,
        names=NAMES,
        covariance=tuple(map(tuple, np.cov(found.takes.T).tolist())),
        unseen=found.unseen,
        fitted_to=tuple(Source(**_source(one)) for one in fitted_to),
        holdout=tuple(
            Held(
                **_source(one.recording),
                metrics={
                    name: PredictedMetric(**asdict(errors)) for name, errors in one.errors.items()
                },
            )
            for one in predictions
        ),
    )


def _check_apart(fitted_to: Sequence[Recording], held: Sequence[Recording]) -> None:
    known = {one.sha256 for one in fitted_to}
    for one in held:
        if one.sha256 in known:
            raise UsageError(
                f"{one.path} is fitted to and held out: a twin that has seen a run predicts it "
                "too well.",
                next_command="give --holdout another log",
            )


def _source(recording: Recording) -> dict[str, Any]:
    return {
        "sha256": recording.sha256,
        "seed": recording.seed,
        "steps": len(recording.ticks),
        "workload": recording.workload.model_dump(mode="json", exclude_none=True),
    }
