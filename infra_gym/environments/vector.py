"""What the vector environments have in common: how many, seeds, reset masks, autoreset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike, NDArray

from infra_gym.errors import ActionError, EpisodeOverError, NotReadyError, SettingsError

RESET = "envs.reset()"


def count(name: str, number: int) -> int:
    """``number``, if it is a whole number of at least 1.

    Raises:
        SettingsError: It is none; names the argument.
    """
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
        raise SettingsError(f"{name} must be a whole number of at least 1, not {number!r}.")
    return int(number)


def autoreset(mode: AutoresetMode | str) -> AutoresetMode:
    """The mode, from itself or from its value.

    Raises:
        SettingsError: There is no such mode.
    """
    try:
        return AutoresetMode(mode)
    except ValueError:
        known = ", ".join(each.value for each in AutoresetMode)
        raise SettingsError(f"autoreset_mode must be one of {known}, not {mode!r}.") from None


def reset_mask(mask: Any, num_envs: int) -> NDArray[np.bool_]:
    """Which environments are to be reset: what ``options["reset_mask"]`` says; ``None``: all.

    Raises:
        SettingsError: It is no array of bool of shape (num_envs,) that is true somewhere.
    """
    if mask is None:
        return np.ones(num_envs, dtype=np.bool_)
    if not (
        isinstance(mask, np.ndarray)
        and mask.dtype == np.bool_
        and mask.shape == (num_envs,)
        and mask.any()
    ):
        raise SettingsError(
            f"reset_mask must be an array of bool of shape ({num_envs},) that is true somewhere, "
            f"not {mask!r}."
        )
    return mask.copy()


def seeds(seed: int | Sequence[int | None] | None, num_envs: int) -> list[int | None]:
    """A seed for each environment; a single number s stands for s, s + 1, s + 2 and so on.

    Raises:
        SettingsError: There are more or fewer seeds than environments, or one is no seed.
    """
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, int | np.integer):
        given: list[int | None] = [int(seed) + place for place in range(num_envs)]
    elif isinstance(seed, Iterable):
        given = list(seed)
    else:
        raise SettingsError(f"A seed is a whole number of at least 0, not {seed!r}.")
    if len(given) != num_envs:
        raise SettingsError(f"There are {num_envs} environments, but {len(given)} seeds.")
    for one in given:
        if one is not None and not (isinstance(one, int | np.integer) and one >= 0):
            raise SettingsError(f"A seed is a whole number of at least 0, not {one!r}.")
    return given


class Generators:
    """The random generators of many environments, as Gymnasium makes them of a seed.

    Each is made when it is first needed: to make one costs more than many a step.
    """

    def __init__(self, num_envs: int) -> None:
        self._seeds: list[int | None] = [None] * num_envs
        self._made: list[np.random.Generator | None] = [None] * num_envs

    def seed(self, seeds: Sequence[int | None], places: NDArray[np.intp]) -> None:
        """Begin anew in ``places``; where the seed is ``None``, the generator goes on."""
        for place in places.tolist():
            if seeds[place] is not None:
                self._seeds[place], self._made[place] = seeds[place], None

    def __getitem__(self, place: int) -> np.random.Generator:
        made = self._made[place]
        if made is None:
            made = self._made[place] = seeding.np_random(self._seeds[place])[0]
        return made


def whole_numbers(actions: ArrayLike, shape: tuple[int, ...] | None) -> NDArray[np.int64]:
    """Actions as an array of whole numbers.

    Raises:
        ActionError: They are none, or not of that shape.
    """
    given = np.asarray(actions)
    if given.shape != shape or given.dtype.kind not in "iu":
        raise ActionError(
            f"The actions must be whole numbers of shape {shape}, not {given.dtype} of shape "
            f"{given.shape}."
        )
    return np.ascontiguousarray(given, dtype=np.int64)


def check_first(mask: NDArray[np.bool_]) -> None:
    """The first reset must be of all.

    Raises:
        NotReadyError: It is not.
    """
    if not mask.all():
        raise NotReadyError("The first reset must be of all environments.", next_command=RESET)


def not_reset() -> NotReadyError:
    """A step came before the first reset."""
    return NotReadyError("A step is not possible: reset was not called.", next_command=RESET)


def check_step(*, begun: bool, ended: NDArray[np.bool_], mode: AutoresetMode) -> None:
    """Whether a step is possible.

    Raises:
        NotReadyError: ``reset`` comes first.
        EpisodeOverError: Without autoreset: an environment's episode is over.
    """
    if not begun:
        raise not_reset()
    if mode == AutoresetMode.DISABLED and ended.any():
        raise EpisodeOverError(
            f"The episodes of environments {np.flatnonzero(ended).tolist()} are over.",
            next_command='envs.reset(options={"reset_mask": terminations | truncations})',
        )


def ends(
    observations: NDArray[Any], ended: NDArray[np.bool_], infos: Mapping[str, Any]
) -> dict[str, Any]:
    """What ``SameStep`` tells of the episodes that ended, in Gymnasium's form.

    Args:
        observations: The last ones of all environments; of those that ended, they are copied.
        ended: Which ended.
        infos: Their last infos.
    """
    final = np.full(len(ended), None, dtype=object)
    for place in np.flatnonzero(ended).tolist():
        final[place] = observations[place].copy()
    return {
        "final_obs": final,
        "_final_obs": ended.copy(),
        "final_info": dict(infos),
        "_final_info": ended.copy(),
    }
