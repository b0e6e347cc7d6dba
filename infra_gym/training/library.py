"""Stable-Baselines3, which comes with the extra ``train``."""

from __future__ import annotations

import importlib
import warnings

from infra_gym.errors import MissingProgramError

_NEEDED = ("stable_baselines3", "sb3_contrib", "torch", "tensorboard")


def need_library() -> None:
    """Import what training needs, which takes seconds.

    Raises:
        MissingProgramError: Some of it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs, and of interest to nobody here
            for name in _NEEDED:
                importlib.import_module(name)
    except ImportError as error:
        raise MissingProgramError(
            f"Training needs Stable-Baselines3 and PyTorch, which are not installed ({error}).",
            next_command='pip install "infra-gym[train]"',
        ) from error


def versions() -> dict[str, str]:
    """Of all that decides what a training comes to."""
    import platform

    import gymnasium
    import numpy as np
    import stable_baselines3
    import torch

    from infra_gym import __version__

    return {
        "infra-gym": __version__,
        "python": platform.python_version(),
        "gymnasium": gymnasium.__version__,
        "numpy": np.__version__,
        "stable-baselines3": stable_baselines3.__version__,
        "torch": torch.__version__,
    }
