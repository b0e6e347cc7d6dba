"""What the tests of training share; their modules are skipped without Stable-Baselines3."""

from __future__ import annotations

import importlib.util

import pytest


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """A busy machine's threads wait for each other."""
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)
