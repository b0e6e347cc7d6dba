"""What the tests of training share: they are skipped where Stable-Baselines3 is not installed."""

from __future__ import annotations

import importlib.util

import pytest

_MISSING = 'Stable-Baselines3 is not installed: pip install -e ".[train]"'
_THERE = all(importlib.util.find_spec(name) for name in ("stable_baselines3", "sb3_contrib"))

collect_ignore_glob = [] if _THERE else ["test_[!w]*.py"]


@pytest.fixture(autouse=True)
def _needs_library() -> None:
    if not _THERE:
        pytest.skip(_MISSING)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    if _THERE:
        import torch

        torch.set_num_threads(1)
