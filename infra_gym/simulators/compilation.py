"""How simulators are compiled: by numba, on the first call, kept on disk for the next process.

Import this only from modules that are imported when a simulator is made: numba takes a while.
"""

from __future__ import annotations

from collections.abc import Callable
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
        return cast(F, numba.njit(cache=True, error_model="numpy")(function))
    except RuntimeError:  # numba found no folder to write to
        return cast(F, numba.njit(error_model="numpy")(function))
