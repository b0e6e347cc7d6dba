"""What every environment must do, as checks that anyone can run on a definition of one's own.

::

    from infra_gym.testing import check_environment

    report = check_environment("MyApp-v0", target="sim")
    print(report)
    report.raise_for_failures()

On a live target this takes a few dozen intervals, because it really runs the environment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces

from infra_gym.environments.env import InfraEnv
from infra_gym.environments.make import make
from infra_gym.errors import ActionError, InfraGymError, NotReadyError
from infra_gym.workloads import arrival_schedule

_TIMEOUT_S = 5  # the siege engine's default
_INFO_KEYS = frozenset(
    {
        "metrics",
        "by_label",
        "empty",
        "rewards",
        "cost_usd",
        "controls",
        "clipped",
        "tick",
        "time_s",
        "seconds",
        "pending",
        "mismatch",
    }
)


@dataclass(frozen=True)
class Check:
    """One check: what it is about, whether it passed, and what was seen."""

    name: str
    passed: bool
    seen: str


@dataclass
class Conformance:
    """All checks of one environment.

    Attributes:
        noise: Noise floor: per observed metric the mean absolute difference between two runs with
            the same seed and actions, in the metric's unit. Zero on the simulator.
    """

    environment: str
    checks: list[Check] = field(default_factory=list)
    noise: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, passed: bool, seen: object = "") -> None:
        """One more check."""
        self.checks.append(Check(name, bool(passed), str(seen)))

    def raise_for_failures(self) -> None:
        """Raise an ``AssertionError`` that lists what failed."""
        failed = [check for check in self.checks if not check.passed]
        if failed:
            lines = [f"{check.name}: {check.seen}" for check in failed]
            raise AssertionError(f"{self.environment} does not conform:\n" + "\n".join(lines))

    def __str__(self) -> str:
        lines = [
            f"{'ok  ' if check.passed else 'FAIL'} {check.name}"
            + (f": {check.seen}" if check.seen else "")
            for check in self.checks
        ]
        noise = ", ".join(f"{name} {value:.3g}" for name, value in self.noise.items())
        return "\n".join([self.environment, *lines, f"noise floor: {noise}"])


def check_environment(
    environment: str, *, steps: int = 8, seed: int = 1, **arguments: Any
) -> Conformance:
    """Run every check.

    Args:
        environment: An id or the path of a YAML file.
        steps: Steps of each of the two runs that are compared.
        seed: Of both runs.
        arguments: For :func:`infra_gym.environments.make.make`, such as ``target="sim"``.
    """
    report = Conformance(environment)
    env = make(environment, **arguments)
    try:
        _check_spaces(env, report)
        _check_before_reset(env, report)
        first = _run(env, steps, seed)
        _check_run(env, first, report)
        _check_requests(env, first, seed, report)
        second = _run(env, steps, seed)
        _check_noise(env, first, second, report)
        _check_actions(env, report)
        _check_capacity(env, seed, report)
    finally:
        env.close()
    _check_closed(env, report)
    return report


@dataclass(frozen=True)
class _Step:
    observation: Any
    reward: float
    ended: bool
    info: dict[str, Any]


def _run(env: InfraEnv, steps: int, seed: int) -> list[_Step]:
    """Up, and down again: the same actions each time. The first entry is the reset."""
    observation, info = env.reset(seed=seed)
    taken = [_Step(observation, 0.0, ended=False, info=info)]
    for number in range(steps):
        action = _action(env, +1 if number < steps // 2 else -1)
        observation, reward, terminated, truncated, info = env.step(action)
        taken.append(_Step(observation, float(reward), terminated or truncated, info))
    return taken


def _action(env: InfraEnv, change: int) -> Any:
    """An action that moves every control by ``change``, or by the nearest that there is."""
    parts = []
    for (name, control), size in zip(
        env.definition.controls.items(), env.task.controls.sizes, strict=True
    ):
        best, distance = 0, math.inf
        for index in range(size):
            indices = [0] * len(env.task.controls.sizes)
            indices[list(env.definition.controls).index(name)] = index
            move = env.task.move(indices, env.controls)
            off: float = abs(move.controls[name] - _clip(env.controls[name] + change, control))
            if move.controls[name] == env.controls[name]:
                off += 0.5  # where no change fits exactly, one that moves is meant
            if off < distance and name not in move.clipped:
                best, distance = index, off
        parts.append(best)
    return parts[0] if len(parts) == 1 else np.array(parts)


def _clip(value: int, control: Any) -> int:
    return int(min(max(value, control.low), control.high))


def _check_spaces(env: InfraEnv, report: Conformance) -> None:
    space = env.observation_space
    flat = isinstance(space, spaces.Box) and len(space.shape) == 1 and space.dtype == np.float32
    report.add("observations are a flat float32 Box", flat, space)
    finite = (
        isinstance(space, spaces.Box)
        and bool(np.isfinite(space.low).all())
        and bool(np.isfinite(space.high).all())
    )
    report.add("observation bounds are finite", finite)
    discrete = isinstance(env.action_space, spaces.Discrete | spaces.MultiDiscrete)
    report.add("actions are discrete", discrete, env.action_space)


def _check_before_reset(env: InfraEnv, report: Conformance) -> None:
    report.add("a step before reset is an error", _raises(NotReadyError, lambda: env.step(0)))


def _check_run(env: InfraEnv, run: list[_Step], report: Conformance) -> None:
    inside = [env.observation_space.contains(step.observation) for step in run]
    report.add("observations lie in their space", all(inside), inside if not all(inside) else "")
    missing = {key for step in run for key in _INFO_KEYS - step.info.keys()}
    report.add("info is complete", not missing, sorted(missing) or "")
    numbers = [number for step in run for number in step.info["metrics"].values()]
    report.add("every metric is a finite number", all(math.isfinite(number) for number in numbers))
    off = max(abs(step.reward - sum(step.info["rewards"].values())) for step in run[1:])
    report.add("the reward is the sum of its terms", off < 1e-9, f"off by {off:.3g}")
    ticks = [step.info["tick"] for step in run]
    report.add("ticks count the steps", ticks == list(range(len(run))), ticks)
    moved = {step.info["controls"][next(iter(env.controls))] for step in run}
    report.add("actions move the control", len(moved) > 1, sorted(moved))


def _check_requests(env: InfraEnv, run: list[_Step], seed: int, report: Conformance) -> None:
    """Open loop: what was counted, and what is still in flight, is what the schedule sent.

    A live reading is as old as its samples, at most one scrape interval at either end. Where no
    metric ``backlog`` tells what is in flight, it is at most what the last timeout's time sent.
    """
    if "requests" not in env.definition.metrics:
        return
    counted = sum(step.info["metrics"]["requests"] for step in run[1:])
    in_flight = run[-1].info["metrics"].get("backlog")
    seconds = run[-1].info["time_s"] / env.place.time_scale
    length = (env.definition.max_episode_steps + 2) * env.place.interval_s
    times = arrival_schedule(
        env.place.workload, seconds=length, time_scale=env.place.time_scale, seed=seed
    ).times
    sent = int(np.searchsorted(times, seconds))
    age = 0.0 if _simulated(env) else env.place.interval_s / 5 + 0.2
    if in_flight is None:
        age += env.definition.inputs_of("local/siege-engine").get("timeout_s", _TIMEOUT_S)
    early = int(np.searchsorted(times, max(0.0, seconds - age)))
    if _counts_expectations(env):
        slack = 4 * math.sqrt(sent) + 1  # of a Poisson number
    else:
        slack = 0 if _simulated(env) else 0.02 * sent + 5
    fits = early - slack <= counted + (in_flight or 0.0) <= sent + slack
    flying = "unknown" if in_flight is None else f"{in_flight:g}"
    report.add(
        "the steps' requests sum to the run's",
        fits,
        f"{counted:g} ended + {flying} in flight, {early} to {sent} sent",
    )


def _check_noise(
    env: InfraEnv, first: list[_Step], second: list[_Step], report: Conformance
) -> None:
    for entry in env.definition.observations:
        pairs = [
            abs(one.info["metrics"][entry.metric] - other.info["metrics"][entry.metric])
            for one, other in zip(first, second, strict=True)
        ]
        report.noise[entry.metric] = sum(pairs) / len(pairs)
    same = all(value == 0 for value in report.noise.values())
    report.add(
        "the same seed and actions give the same numbers (A/A)",
        same or not _simulated(env),
        "" if _simulated(env) else "live: see the noise floor",
    )


def _check_actions(env: InfraEnv, report: Conformance) -> None:
    env.reset(seed=2)
    too_many = [0] * (len(env.controls) + 1)
    wrong: Iterable[Any] = (math.nan, -1, 10**6, "more", None, too_many, 0.5)
    refused = [_raises(ActionError, lambda action=action: env.step(action)) for action in wrong]  # type: ignore[misc]
    report.add("a wrong action is refused", all(refused), refused if not all(refused) else "")
    moves = (move for move in _single_moves(env) if env.task.move(move, env.controls).clipped)
    beyond = next(moves, None)
    if beyond is None:  # absolute, or so far from every bound that no action leads beyond
        return
    *_, info = env.step(beyond)
    report.add("a move out of bounds is clipped and told", bool(info["clipped"]), info["clipped"])


def _single_moves(env: InfraEnv) -> Iterable[Any]:
    """Every action of each control, the others at their first."""
    sizes = env.task.controls.sizes
    for position, size in enumerate(sizes):
        for index in range(size):
            parts = np.zeros(len(sizes), dtype=np.int64)
            parts[position] = index
            yield int(parts[0]) if len(sizes) == 1 else parts


def _check_capacity(env: InfraEnv, seed: int, report: Conformance) -> None:
    """A replica that was added does its share in the first interval that it is ready in."""
    if "replica_utilisation" not in env.definition.metrics:
        return
    _, info = env.reset(seed=seed)
    before = settled = _ready(info)
    holds = env.task.move(_action(env, 0), env.controls).controls == env.controls
    for step in range(4):
        # Without an action that keeps the number, more are added; only those that were ready in
        # the whole last interval are looked at.
        action = _action(env, +1 if step == 0 or not holds else 0)
        *_, info = env.step(action)
        busy = info["by_label"]["replica_utilisation"]
        if step == 2:
            settled = _ready(info)
    old = [value for name, value in busy.items() if name in before]
    new = [value for name, value in busy.items() if name in settled - before]
    shares = bool(new) and bool(old) and min(new) > 0.4 * sum(old) / len(old)
    report.add(
        "added capacity gets its share",
        shares,
        f"old replicas {_shown(old)} busy, new {_shown(new)}",
    )


def _ready(info: dict[str, Any]) -> set[str]:
    return {name for name, up in info["by_label"].get("replica_ready", {}).items() if up}


def _check_closed(env: InfraEnv, report: Conformance) -> None:
    try:
        env.close()
        again = True
    except InfraGymError:
        again = False
    report.add("closing twice is harmless", again)
    report.add("a step after close is an error", _raises(NotReadyError, lambda: env.step(0)))


def _raises(kind: type[InfraGymError], call: Callable[[], object]) -> bool:
    try:
        call()
    except kind:
        return True
    except Exception:  # noqa: BLE001 - any other error fails the check
        return False
    return False


def _counts_expectations(env: InfraEnv) -> bool:
    """Whether it tells how many requests are to be expected, and not how many there were."""
    batch = getattr(env.world, "batch", None)
    return type(batch).__name__ == "FluidBatch"  # whose module brings numba


def _simulated(env: InfraEnv) -> bool:
    return env.place.target == "sim"


def _shown(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values) or "none"
