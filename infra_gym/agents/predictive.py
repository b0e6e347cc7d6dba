"""An autoscaler that forecasts the load by Holt and Winters's exponential smoothing (statsmodels).

Each turn it takes in the rate of requests, forecasts the next turns, and asks for as many replicas
as bear the highest of the forecasts at the utilisation aimed for. How much work a request is, it
learns from what was measured: busy replicas over the rate. With ``delta`` actions it moves one
server a turn, so it has to see a rise that many turns ahead; that is what ``horizon`` is for.

A season (the length of a day, in turns) is assumed where one is given or where the environment's
load has a period, which an operator would know as well; until two seasons were seen, and where
there is none, the forecast is a level and a damped trend.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np

from infra_gym.agents.lever import Lever
from infra_gym.errors import MissingProgramError, UsageError

_RATE, _UTILISATION, _READY = "request_rate", "utilisation", "ready"
_FEWEST = 4
"""Turns that a trend needs."""
_DAMPING = 0.9
"""What is left of a trend after each turn."""
_SEASONS = 4
"""How many of the last seasons a forecast looks at; without a season, so many times 10 turns."""


class PredictiveAgent:
    """Follows a forecast of the load.

    Args:
        target: Utilisation to aim for, as a ratio.
        horizon: Turns ahead whose highest forecast counts.
        season: Turns of a season; 0: there is none; left out, the period of the load.
        level: Smoothing of the level, 0 to 1: near 1, the last turn counts most.
        trend: Smoothing of the trend.
        seasonal: Smoothing of the season.

    Raises:
        UsageError: A parameter is out of range.
        MissingProgramError: statsmodels is not installed.
    """

    def __init__(
        self,
        target: float = 0.55,
        horizon: int = 2,
        season: int | None = None,
        level: float = 0.6,
        trend: float = 0.2,
        seasonal: float = 0.3,
    ) -> None:
        if not 0 < target <= 1 or horizon < 1:
            raise UsageError(
                "The agent 'predictive' needs a target above 0 and up to 1, and a horizon from 1, "
                f"not {target} and {horizon}."
            )
        if not all(0 < each < 1 for each in (level, trend, seasonal)):
            raise UsageError("The agent 'predictive' needs smoothings between 0 and 1.")
        try:
            from statsmodels.tsa.holtwinters import ExponentialSmoothing
        except ImportError as error:
            raise MissingProgramError(
                f"The agent 'predictive' needs statsmodels: {error}",
                next_command='pip install "infra-gym[predict]"',
            ) from error
        self._smoothing = ExponentialSmoothing
        self._target = target
        self._horizon = horizon
        self._given = season
        self._level, self._trend, self._seasonal = level, trend, seasonal

    def reset(self, seed: int, env: gym.Env[Any, Any]) -> None:  # noqa: ARG002
        """See :class:`infra_gym.agents.base.Agent`."""
        self._lever = Lever(env, "predictive")
        self._season = _period(env.unwrapped) if self._given is None else self._given
        self._rates: list[float] = []
        self._work = 0.0

    def act(self, observation: Any, info: dict[str, Any]) -> Any:  # noqa: ARG002
        """See :class:`infra_gym.agents.base.Agent`."""
        metrics = info["metrics"]
        if info["tick"] > 0:  # at the reset nothing was measured yet
            rate = float(metrics[_RATE])
            self._rates.append(rate)
            if rate > 0:
                self._work = float(metrics[_UTILISATION]) * float(metrics[_READY]) / rate
        wanted = self._lever.current(info)
        if self._rates:
            wanted = math.ceil(self._forecast() * self._work / self._target - 1e-9)
        low, high = self._lever.control.low, self._lever.control.high
        return self._lever.towards(min(max(wanted, low), high), info)[0]

    def _forecast(self) -> float:
        """The highest rate of the next turns, requests/s."""
        season = self._season if self._season > 1 else 0
        recent = self._rates[-_SEASONS * (season or 10) :]
        if len(recent) < _FEWEST:
            return recent[-1]
        in_seasons = season > 1 and len(recent) >= 2 * season
        start: dict[str, Any] = {
            "initialization_method": "known",
            "initial_level": recent[0],
            "initial_trend": 0.0,
        }
        if in_seasons:
            start["initial_level"] = float(np.mean(recent[:season]))
            start["initial_seasonal"] = np.array(recent[:season]) - start["initial_level"]
        model = self._smoothing(
            np.array(recent),
            trend="add",
            damped_trend=True,
            seasonal="add" if in_seasons else None,
            seasonal_periods=season if in_seasons else None,
            **start,
        )
        with np.errstate(divide="ignore", invalid="ignore"):  # perfect fits have no criteria
            fitted = model.fit(
                optimized=False,
                smoothing_level=self._level,
                smoothing_trend=self._trend,
                smoothing_seasonal=self._seasonal if in_seasons else None,
                damping_trend=_DAMPING,
            )
        # What fitted.forecast gives, which takes as long as the fit.
        turns = np.arange(1, self._horizon + 1)
        forecast = fitted.level[-1] + fitted.trend[-1] * np.cumsum(_DAMPING**turns)
        if in_seasons:
            forecast = forecast + fitted.season[-season:][(turns - 1) % season]
        return max(0.0, float(np.max(forecast)))


def _period(env: Any) -> int:
    """The period of the load in turns; 0 where it has none."""
    place = env.place
    period_s = getattr(place.workload, "period_s", None)
    if period_s is None or place.workload.profile not in ("daily", "sine"):
        return 0
    turns: int = round(period_s / (place.interval_s * place.time_scale))
    return turns
