"""What a user can set: the file ``infra-gym.toml``, and ``INFRA_GYM_*`` in the environment.

An argument beats the environment, the environment beats the file. Nested keys are written with two
underscores: ``INFRA_GYM_STATE__BUCKET=my-bucket`` is ``[state] bucket = "my-bucket"``.
``TF_VAR_project`` and ``TF_VAR_environment`` are honoured as well, after ours.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from infra_gym.errors import SettingsError, did_you_mean

FILE_NAME = "infra-gym.toml"

Target = Literal["sim", "local", "k8s", "do", "replay"]

# Project and environment become parts of paths, namespaces and host names (RFC 1123 labels).
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]


class StateSettings(BaseModel):
    """Where Terraform's state, the ledger and the lock lie."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Literal["local", "s3", "spaces"] = "local"
    """``local``: a folder on this machine. ``s3``: a bucket. ``spaces``: a DigitalOcean Space."""
    bucket: str | None = None
    """The bucket's or Space's name; needed for ``s3`` and ``spaces``."""
    region: str = "us-east-1"
    """An AWS region for ``s3``; a DigitalOcean region such as ``nyc3`` for ``spaces``."""
    endpoint: str | None = None
    """Another S3 endpoint. For ``spaces`` it defaults to ``https://REGION.digitaloceanspaces.com``."""

    @model_validator(mode="after")
    def _needs_bucket(self) -> StateSettings:
        if self.backend != "local" and not self.bucket:
            raise ValueError(f"backend {self.backend!r} needs a bucket")
        return self


class Settings(BaseSettings):
    """All settings, checked."""

    model_config = SettingsConfigDict(
        env_prefix="INFRA_GYM_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    project: Name = "infra-gym"
    """First part of every name that is made."""
    environment: Name | None = None
    """Second part; left out, a run makes a unique one of id, target and a random suffix."""
    target: Target = "local"
    """Where environments run when ``gym.make`` is not told."""
    binary: str | None = None
    """The Terraform or OpenTofu program, a name or a path; default: terraform, else tofu."""
    prometheus: str | None = None
    """The Prometheus program for the ``local`` target; default: prometheus on the PATH."""
    state: StateSettings = StateSettings()
    budget_usd: float | None = Field(default=None, gt=0)
    """Money that one environment may spend, in US dollars; an episode is truncated when it is spent."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Wall-clock seconds that one environment may live; an episode is truncated when they are over."""
    expiry_hours: float = Field(default=24, gt=0)
    """Hours after which a stack counts as forgotten and may be swept."""
    data_folder: Path = Path(platformdirs.user_data_dir("infra-gym"))
    """Run directories, local state and run logs."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = settings_file()
        sources = [init_settings, env_settings, _TerraformVariables(settings_cls)]
        if file is not None:
            sources.append(TomlConfigSettingsSource(settings_cls, toml_file=file))
        return tuple(sources)


class _TerraformVariables(PydanticBaseSettingsSource):
    """``TF_VAR_project`` and ``TF_VAR_environment``, as Terraform itself reads them."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return os.environ.get(f"TF_VAR_{field_name}"), field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {name: os.environ.get(f"TF_VAR_{name}") for name in ("project", "environment")}
        return {name: value for name, value in values.items() if value}


def settings_file(start: Path | None = None) -> Path | None:
    """The nearest ``infra-gym.toml`` in ``start`` (default: the working directory) or above it."""
    folder = (start or Path.cwd()).resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / FILE_NAME).is_file():
            return candidate / FILE_NAME
    return None


def load_settings(**arguments: Any) -> Settings:
    """Settings from arguments, environment and file; arguments that are ``None`` are left out.

    Raises:
        SettingsError: A value that cannot be, or a key that does not exist.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{settings_file()}: {error}") from error


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        text = problem["msg"]
        if problem["type"] == "extra_forbidden":
            parent, _, last = key.rpartition(".")
            known = list((StateSettings if parent == "state" else Settings).model_fields)
            text = f"there is no such setting.{did_you_mean(last, known)}"
        elif problem["type"] == "string_pattern_mismatch":
            text = (
                f"{problem['input']!r} cannot be used in names: "
                "write 1 to 40 lower-case letters, digits or dashes, no dash at either end"
            )
        lines.append(f"setting {key}: {text}")
    return "\n".join(lines)
