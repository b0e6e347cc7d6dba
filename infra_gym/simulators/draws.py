"""Random numbers for compiled code: each is a function of a key and its number in the sequence."""

from __future__ import annotations

import numpy as np

from infra_gym.simulators.compilation import compiled

KEYS = 2**53
"""Keys of random sequences lie below this: float64 holds them exactly."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@compiled
def uniform(key: float, number: float) -> float:
    """The draw of that ``number`` in the random sequence of ``key``: from 0 to below 1, evenly.

    Two rounds of SplitMix64's mixing (Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", 2014), used as a counter-based generator: it has no state, so that each environment
    has a sequence of its own in any batch.

    Args:
        key: A whole number from 0 to below :data:`KEYS`.
        number: Likewise.
    """
    word = _mixed(np.uint64(key) + _GOLDEN)
    word = _mixed(word + np.uint64(number) * _GOLDEN)
    return np.float64(word >> np.uint64(11)) * 2.0**-53


@compiled
def _mixed(word: np.uint64) -> np.uint64:
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
