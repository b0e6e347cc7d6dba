"""Scaling-v0: instances that work off a queue, one scalar transition, compiled.

The dynamics are those of gym-scaling (Adobe, 2019; https://github.com/adobe/gym-scaling), to the
last digit. A step takes the place of 300 s:

1. Every ``change_rate``-th step the influx becomes ``f(k)``, k being the number of the step.
2. Influx and queue are worked off as far as the instances' capacity goes; the rest is the queue.
   The load is the share of the capacity that was used, in per cent, rounded up.
3. The change that the step *before* asked for is made: an instance takes one step to boot. A change
   that would leave the bounds is not made, and costs 0.1.
4. The reward is ``-(1 - load/100) * instances/max_instances - penalty - queue/(1 + queue)``.

A batch of n environments is an array of float64, shape (FIELDS, n): one row for each field, the
first five of which are the observation. The single environment is a batch of one. Everything that
is counted stays far below 2**53, where float64 counts exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra_gym.errors import SettingsError
from infra_gym.simulators.compilation import compiled
from infra_gym.simulators.draws import KEYS as KEYS
from infra_gym.simulators.draws import uniform

Array = NDArray[np.float64]

OBSERVATION = 5
"""Length of the observation: instances / max_instances, load / 100, capacity, influx, queue."""

FIELDS = 10
"""Rows of a batch's state."""

INSTANCES_SHARE, LOAD_SHARE, CAPACITY, INFLUX, QUEUE = range(OBSERVATION)
INSTANCES, PENDING, STEP, NEXT_CHANGE, KEY = range(OBSERVATION, FIELDS)

# Places in the rules.
(
    MAX_INSTANCES,
    MIN_INSTANCES,
    CAPACITY_PER_INSTANCE,
    CHANGE_RATE,
    OFFSET,
    MAX_INFLUX,
    MAX_QUEUE,
    STEP_USD,
    CURVE,
) = range(9)

# Where f(k) comes from.
SERIES, SINE, RANDOM = range(3)

STEPS_PER_HOUR = 12


@dataclass(frozen=True)
class Rules:
    """What stays the same for a whole life.

    Raises:
        SettingsError: A number that cannot be; names it.
    """

    max_instances: float
    """Upper bound of instances; an episode starts with half as many, rounded down."""
    min_instances: float
    """Lower bound of instances, above 0."""
    capacity_per_instance: float
    """Messages that an instance can process in a step."""
    change_rate: int
    """Steps from one change of the influx to the next."""
    offset: int
    """Lowest influx of :data:`RANDOM`, messages in a step."""
    cost_per_instance_per_hour: float
    """Price of an instance."""

    def __post_init__(self) -> None:
        for name in ("max_instances", "min_instances", "capacity_per_instance"):
            _check(name, getattr(self, name), positive=True)
        _check("cost_per_instance_per_hour", self.cost_per_instance_per_hour)
        _check("change_rate", self.change_rate, positive=True, whole=True)
        _check("offset", self.offset, whole=True)
        if self.max_instances < max(2, self.min_instances):
            raise SettingsError(
                f"max_instances must be at least 2 and at least min_instances "
                f"({self.min_instances:g}), not {self.max_instances:g}"
            )

    @property
    def max_influx(self) -> float:
        """Messages in a step that half of the instances can just process."""
        return self.max_instances / 2 * self.capacity_per_instance

    def array(self, curve: int) -> Array:
        """The same in the form that the compiled functions take.

        Args:
            curve: Where the influx comes from: :data:`SERIES`, :data:`SINE` or :data:`RANDOM`.

        Raises:
            SettingsError: There is no random influx from ``offset`` up.
        """
        if curve == RANDOM and self.offset > self.max_influx:
            raise SettingsError(
                f"offset, the lowest random influx, is {self.offset:g}, above the highest, "
                f"max_instances / 2 * capacity_per_instance = {self.max_influx:g}",
                next_command="lower offset, or choose another influx",
            )
        rules = np.empty(9)
        rules[MAX_INSTANCES] = self.max_instances
        rules[MIN_INSTANCES] = self.min_instances
        rules[CAPACITY_PER_INSTANCE] = self.capacity_per_instance
        rules[CHANGE_RATE] = self.change_rate
        rules[OFFSET] = self.offset
        rules[MAX_INFLUX] = self.max_influx
        rules[MAX_QUEUE] = 10 * self.max_influx
        rules[STEP_USD] = self.cost_per_instance_per_hour / STEPS_PER_HOUR
        rules[CURVE] = curve
        return rules


@compiled
def transition(
    instances: float,
    pending: float,
    queue: float,
    influx: float,
    max_instances: float,
    min_instances: float,
    capacity_per_instance: float,
) -> tuple[float, float, float, float, float, float]:
    """One step of one environment, the influx given.

    Returns:
        The new instances; their share of ``max_instances``; the load, from 0 to 1; the capacity
        that there was; the new queue; the reward.
    """
    capacity = instances * capacity_per_instance
    total = influx + queue
    processed = min(total, capacity)
    queue = total - processed
    load = np.ceil(processed / capacity * 100) / 100
    wanted = instances + pending
    fits = (min_instances <= wanted) & (wanted <= max_instances)
    instances = wanted if fits else instances
    penalty = 0.0 if fits else -0.1
    share = instances / max_instances
    reward = -(1 - load) * share + penalty - queue / (1 + queue)
    return instances, share, load, capacity, queue, reward


@compiled
def step_one(state: Array, change: int, rules: Array, series: Array) -> tuple[float, bool, float]:
    """One step of a batch of one.

    Args:
        state: Shape (FIELDS, 1), changed in place.
        change: Instances to add, or to remove if negative; made at the end of the next step.
        rules: :meth:`Rules.array`.
        series: Shape (1, length); see :func:`change_influx`.

    Returns:
        The reward; whether the queue is longer than ten times ``max_influx``; what the instances
        that worked in this step cost, in USD.
    """
    usd = state[INSTANCES, 0] * rules[STEP_USD]
    state[STEP, 0] += 1
    if state[STEP, 0] == state[NEXT_CHANGE, 0]:
        change_influx(state, 0, 1, rules, series)
    (
        state[INSTANCES, 0],
        state[INSTANCES_SHARE, 0],
        state[LOAD_SHARE, 0],
        state[CAPACITY, 0],
        state[QUEUE, 0],
        reward,
    ) = transition(
        state[INSTANCES, 0],
        state[PENDING, 0],
        state[QUEUE, 0],
        state[INFLUX, 0],
        rules[MAX_INSTANCES],
        rules[MIN_INSTANCES],
        rules[CAPACITY_PER_INSTANCE],
    )
    state[PENDING, 0] = change
    return reward, state[QUEUE, 0] > rules[MAX_QUEUE], usd


@compiled
def step_all(
    state: Array,
    actions: NDArray[np.int64],
    changes: NDArray[np.int64],
    rules: Array,
    series: Array,
    observations: Array,
    rewards: Array,
    terminations: NDArray[np.bool_],
    usd: Array,
) -> bool:
    """One step of a batch of n; the last four arguments receive what comes of it.

    Args:
        state: Shape (FIELDS, n), changed in place.
        actions: Shape (n,), indices of ``changes``.
        changes: For each action the instances to add, or to remove if negative.
        rules: :meth:`Rules.array`.
        series: Shape (n, length), or (1, length) if all are alike; see :func:`change_influx`.
        observations: Shape (n, OBSERVATION).
        rewards: Shape (n,).
        terminations: Shape (n,).
        usd: Shape (n,).

    Returns:
        Whether all actions are indices of ``changes``; if not, nothing has moved.
    """
    wrong = False
    for place in range(len(actions)):
        wrong |= not 0 <= actions[place] < len(changes)
    if wrong:
        return False

    instances, pending, queue, influx = (
        state[INSTANCES],
        state[PENDING],
        state[QUEUE],
        state[INFLUX],
    )
    step, next_change = state[STEP], state[NEXT_CHANGE]
    shares, loads, capacities = state[INSTANCES_SHARE], state[LOAD_SHARE], state[CAPACITY]
    max_instances, min_instances = rules[MAX_INSTANCES], rules[MIN_INSTANCES]
    capacity_per_instance = rules[CAPACITY_PER_INSTANCE]
    max_queue, step_usd = rules[MAX_QUEUE], rules[STEP_USD]

    # Loops that each do one thing are what the compiler can make fast.
    due = False
    for place in range(len(actions)):
        step[place] += 1
        due |= step[place] == next_change[place]
    if due:
        change_influx(state, 0, len(actions), rules, series)
    for place in range(len(actions)):
        usd[place] = instances[place] * step_usd
        (
            instances[place],
            shares[place],
            loads[place],
            capacities[place],
            queue[place],
            rewards[place],
        ) = transition(
            instances[place],
            pending[place],
            queue[place],
            influx[place],
            max_instances,
            min_instances,
            capacity_per_instance,
        )
        pending[place] = changes[actions[place]]
        terminations[place] = queue[place] > max_queue
    for place in range(len(actions)):
        for field in range(OBSERVATION):
            observations[place, field] = state[field, place]
    return True


@compiled
def begin(
    state: Array, places: NDArray[np.intp], keys: NDArray[np.int64], rules: Array, series: Array
) -> None:
    """Start an episode of some environments.

    Args:
        state: Shape (FIELDS, n), changed in place.
        places: Which environments of the batch, shape (m,).
        keys: Shape (m,), each chooses a random influx; from 0 to below :data:`KEYS`.
        rules: :meth:`Rules.array`.
        series: Shape (n, length), or (1, length) if all are alike; see :func:`change_influx`.
    """
    instances = np.floor(rules[MAX_INSTANCES] / 2)
    for place, key in zip(places, keys):  # noqa: B905 - numba knows no strict
        state[INSTANCES_SHARE, place] = instances / rules[MAX_INSTANCES]
        state[LOAD_SHARE, place] = 0.0
        state[CAPACITY, place] = instances * rules[CAPACITY_PER_INSTANCE]
        state[QUEUE, place] = 0.0
        state[INSTANCES, place] = instances
        state[PENDING, place] = 0.0
        state[STEP, place] = 0.0
        state[NEXT_CHANGE, place] = 0.0
        state[KEY, place] = key
        change_influx(state, place, place + 1, rules, series)


@compiled
def change_influx(state: Array, first: int, end: int, rules: Array, series: Array) -> None:
    """Change the influx to ``f(k)`` where it is time.

    Args:
        state: Shape (FIELDS, n), changed in place.
        first: The first environment of the batch to look at.
        end: The first after it not to look at.
        rules: :meth:`Rules.array`; says which curve f is.
        series: Shape (n, length), or (1, length) if all are alike. For :data:`SERIES`: f(0),
            f(change_rate), f(2 change_rate) and so on; the last holds for good. For the other
            curves it is not read.
    """
    step, next_change, key, influx = state[STEP], state[NEXT_CHANGE], state[KEY], state[INFLUX]
    curve, change_rate = rules[CURVE], rules[CHANGE_RATE]
    offset, max_influx = rules[OFFSET], rules[MAX_INFLUX]
    shared, last = len(series) == 1, series.shape[1] - 1
    for place in range(first, end):
        if step[place] == next_change[place]:
            next_change[place] += change_rate
            if curve == SERIES:
                index = min(int(step[place] / change_rate), last)
                influx[place] = series[0 if shared else place, index]
            elif curve == SINE:
                influx[place] = sine_influx(step[place], max_influx)
            else:
                influx[place] = random_influx(step[place], key[place], offset, max_influx)


@compiled
def sine_influx(step: float, max_influx: float) -> float:
    """A whole number from 0 to ``max_influx``; a wave lasts 628 steps."""
    return float(np.ceil((math.sin(step * 0.01) + 1) * max_influx / 2))


@compiled
def random_influx(step: float, key: float, lowest: float, highest: float) -> float:
    """A whole number from ``lowest`` to ``highest``, all equally likely."""
    levels = float(np.floor(highest)) - lowest + 1
    return lowest + float(np.floor(uniform(key, step) * levels))


def _check(name: str, number: float, *, positive: bool = False, whole: bool = False) -> None:
    """Refuse what is no finite number of at least 0 (above 0), below 2**53 (and whole)."""
    lowest = "above 0" if positive else "at least 0"
    kind = "a whole number" if whole else "a number"
    try:
        fits = number >= 0 and number < KEYS and not (positive and number == 0)
        fits = fits and not isinstance(number, bool) and (not whole or number == int(number))
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise SettingsError(f"{name} must be {kind} {lowest}, not {number!r}")
