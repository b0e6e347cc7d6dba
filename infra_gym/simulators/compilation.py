"""How simulators are compiled: by numba, on the first call, kept on disk for the next process.

Import this only from modules that are imported when a simulator is made: numba takes a while.
"""

from __future__ import annotations

import functools
import glob
import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import event
from numba.core.caching import FunctionCache, IndexDataCacheFile

F = TypeVar("F", bound=Callable[..., Any])

# Nobody calls from C: a way in from there would be a twelfth of the time to compile.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True}

_told: set[str] = set()
"""Troubles that this process has been told of: there is one for each of many functions."""


def compiled(function: F) -> F:
    """``function`` as machine code, with the arithmetic of IEEE 754 in the order that is written.

    It is compiled when it is first called with arguments of new types, and kept beside its source,
    else in the user's cache folder (``NUMBA_CACHE_DIR`` names another one). Where it cannot be
    kept, every process compiles anew; a ``RuntimeWarning`` says so, once. Any number of processes
    may compile and keep the same function at once.
    """
    return _made(function)


def uncounted(function: F) -> F:
    """As :func:`compiled`, for loops over arrays that they are given.

    numba counts who holds an array, also where it is only handed on or seen in part, and each count
    takes longer than a few operations. Here nothing is counted, so that no array can be made.
    """
    return _made(function, _nrt=False)


def _made(function: F, **options: Any) -> F:
    made: Any = numba.njit(**_OPTIONS, **options)(function)
    if hasattr(made, "_cache"):  # not with NUMBA_DISABLE_JIT
        try:
            made._cache = _Kept(function)  # noqa: SLF001 - numba has no public way to it
        except RuntimeError:
            _cannot_keep("no folder can be written to")
    return cast("F", made)


def inlined(function: F) -> F:
    """``function`` as a part of each compiled one that calls it: a call that hands on arrays costs
    more than a few operations do."""
    return cast("F", numba.njit(inline="always", error_model="numpy")(function))


@contextmanager
def watched(tell: Callable[[str], None]) -> Iterator[None]:
    """Call ``tell`` with the name of each function whose compilation begins while inside."""

    class Watch(event.Listener):
        def on_start(self, happens: Any) -> None:
            tell(happens.data["dispatcher"].py_func.__name__)

        def on_end(self, happens: Any) -> None:
            """Nothing to tell."""

    with event.install_listener("numba:compile", Watch()):
        yield


class _Kept(FunctionCache):
    """What is kept of one function. The disk may be full, and a file may be damaged."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, _sources())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The machine code for these types; ``None``: there is none that can be used."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # noqa: BLE001 - what damaged bytes are read as is not known
            _warn_once(
                "read",
                f"Compiled simulators in {self._cache_path} cannot be read ({error!r}); they are "
                "compiled anew.",
            )
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the machine code for these types, if that can be."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _cannot_keep(f"{self._cache_path}: {error.strerror or error}")


class _Files(IndexDataCacheFile):
    """The files that keep one function's code, as numba has them, but for several writers at once.

    numba counts its data files, and writes the index first: two processes may give the same number
    to different code, and a reader may find the old code under the new index. Here a file's name
    says what is in it, and the index tells only of files that are whole. Where two write the index
    at once one entry is lost, and that code is compiled once more.
    """

    def save(self, key: Any, data: Any) -> None:
        """Keep ``data``, which replaces what is damaged or of other sources."""
        content = hashlib.sha256(repr((self._source_stamp, key)).encode()).hexdigest()[:16]
        name = self._data_name_pattern.replace("{number:d}", content)
        self._save_data(name, data)
        try:
            kept = self._load_index()
        except Exception:  # noqa: BLE001 - damaged
            kept = {}
        if not kept:
            self._remove_all_but(name)
        self._save_index({**kept, key: name})

    def _remove_all_but(self, name: str) -> None:
        """Remove code of other sources; what somebody else has just written is compiled again."""
        folder, pattern = Path(self._cache_path), self._data_name_pattern
        for file in folder.glob(glob.escape(pattern).replace("{number:d}", "*")):
            if file.name != name:
                file.unlink(missing_ok=True)


def _cannot_keep(reason: str) -> None:
    _warn_once(
        "keep",
        f"Compiled simulators cannot be kept on disk ({reason}): each process compiles them anew. "
        "NUMBA_CACHE_DIR names another folder.",
    )


def _warn_once(trouble: str, text: str) -> None:
    if trouble not in _told:
        _told.add(trouble)
        warnings.warn(text, RuntimeWarning, stacklevel=2)


@functools.cache
def _sources() -> str:
    """Changes when a simulator's source does.

    numba takes what it kept for fresh as long as the function's own file is as it was. But what was
    compiled holds the code of the functions that it calls, which may lie in other files.
    """
    digest = hashlib.sha256()
    for room in ("simulators", "expressions"):
        folder = files("infra_gym") / room
        for source in sorted(folder.iterdir(), key=lambda each: each.name):
            if source.name.endswith(".py"):
                digest.update(source.read_bytes())
    return digest.hexdigest()
