"""Fill a shared cache of providers one at a time.

Two ``init`` at once with one TF_PLUGIN_CACHE_DIR may find each other's half-written providers
("text file busy", https://github.com/hashicorp/terraform/issues/31964).
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK_FILE = ".infra-gym.lock"


@contextmanager
def alone(cache: str | None) -> Iterator[None]:
    """Hold the cache for oneself, against other threads and processes; no cache, no wait."""
    if not cache:
        yield
        return
    try:
        file = (Path(cache) / _LOCK_FILE).open("w")
    except OSError:  # missing or read-only: nobody can fill it
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
