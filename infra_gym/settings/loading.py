"""Reads the settings, and says in which place a wrong one stands."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_settings.exceptions import SettingsError as UnreadableVariableError

from infra_gym.errors import SettingsError, did_you_mean
from infra_gym.settings.model import (
    FROM_TERRAFORM,
    PREFIX,
    TERRAFORM_PREFIX,
    Settings,
    settings_file,
)
from infra_gym.settings.strict import problems_in

# The test suite's own variables, such as INFRA_GYM_TEST_KUBECONFIG.
_NOT_SETTINGS = f"{PREFIX}TEST_"


def load_settings(**arguments: Any) -> Settings:
    """Settings from arguments, environment and file; arguments that are ``None`` are left out.

    Raises:
        SettingsError: A value that cannot be, or a key that does not exist; names where it stands.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    _refuse_unknown_variables()
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = [f"{_place(problem.path, given)}: {problem.text}" for problem in problems_in(error)]
        raise SettingsError("\n".join(lines)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{settings_file()}: {error}") from error
    except UnreadableVariableError as error:
        raise SettingsError(
            f"{error}. Write a nested setting one key a variable: {PREFIX}STATE__BUCKET=my-bucket."
        ) from error


def _refuse_unknown_variables() -> None:
    known = [name.upper() for name in Settings.model_fields]
    for variable in sorted(os.environ):
        name = variable.upper()
        if not name.startswith(PREFIX) or name.startswith(_NOT_SETTINGS):
            continue
        setting = name.removeprefix(PREFIX).partition("__")[0]
        if setting not in known:
            raise SettingsError(
                f"{variable}: there is no setting {setting}.{did_you_mean(setting, known)}",
                next_command=f"unset {variable}",
            )


def _place(path: tuple[str | int, ...], arguments: Mapping[str, Any]) -> str:
    """Where the setting at ``path`` was written: argument, variable or file; else its name."""
    key = ".".join(map(str, path))
    if not path or path[0] in arguments:
        return f"setting {key}"
    variables = {variable.upper(): variable for variable in os.environ}
    wanted = [PREFIX + "__".join(map(str, path)), f"{PREFIX}{path[0]}"]
    if path[0] in FROM_TERRAFORM:
        wanted.append(f"{TERRAFORM_PREFIX}{path[0]}")
    for name in wanted:
        if name.upper() in variables:
            return variables[name.upper()]
    file = settings_file()
    return f"setting {key}" if file is None else f"{file}: {key}"
