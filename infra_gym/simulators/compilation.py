"""How simulators are compiled: by numba, on the first call, kept on disk for the next process.

Import this only from modules that are imported when a simulator is made: numba takes a while.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """``function`` as machine code, with the arithmetic of IEEE 754 in the order that is written.

    It is compiled when it is first called with arguments of new types, and kept beside its source,
    else in the user's cache folder (``NUMBA_CACHE_DIR`` names another one). Where neither can be
    written, every process compiles anew.
    """
    try:
        made: Any = numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # numba found no folder to write to
        return cast("F", numba.njit(error_model="numpy")(function))
    # numba takes what it kept for fresh as long as the function's own file is as it was. But what
    # was compiled holds the code of the functions that it calls, which may lie in other files.
    kept = getattr(getattr(made, "_cache", None), "_cache_file", None)
    if kept is not None:
        kept._source_stamp = _sources()  # noqa: SLF001
    return cast("F", made)


def inlined(function: F) -> F:
    """``function`` as a part of each compiled one that calls it: a call that hands on arrays costs
    more than a few operations do."""
    return cast("F", numba.njit(inline="always", error_model="numpy")(function))


@functools.cache
def _sources() -> str:
    """Changes when a simulator's source does."""
    digest = hashlib.sha256()
    for room in ("simulators", "expressions"):
        folder = files("infra_gym") / room
        for source in sorted(folder.iterdir(), key=lambda each: each.name):
            if source.name.endswith(".py"):
                digest.update(source.read_bytes())
    return digest.hexdigest()
