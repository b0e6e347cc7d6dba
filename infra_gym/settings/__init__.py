"""What a user can set: the file ``infra-gym.toml``, and ``INFRA_GYM_*`` in the environment.

An argument beats the environment, the environment beats the file. Nested keys are written with two
underscores: ``INFRA_GYM_STATE__BUCKET=my-bucket`` is ``[state] bucket = "my-bucket"``.
``TF_VAR_project`` and ``TF_VAR_environment`` are honoured as well, after ours.
"""

from infra_gym.settings.loading import load_settings
from infra_gym.settings.model import (
    FILE_NAME,
    Name,
    Settings,
    StateSettings,
    Target,
    settings_file,
)

__all__ = [
    "FILE_NAME",
    "Name",
    "Settings",
    "StateSettings",
    "Target",
    "load_settings",
    "settings_file",
]
