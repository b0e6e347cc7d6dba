"""The settings, and the places that they come from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import platformdirs
from pydantic import AfterValidator, Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from infra_gym.settings.strict import Pattern, Strict, refuse_unknown_keys

FILE_NAME = "infra-gym.toml"

Target = Literal["sim", "local", "k8s", "do", "replay"]

Name = Annotated[
    str,
    Pattern(
        r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?",
        "1 to 40 lower-case letters, digits or dashes, no dash at either end",
    ),
]
"""Project and environment become parts of paths, namespaces and host names (RFC 1123 labels)."""

Folder = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
File = Folder

PREFIX = "INFRA_GYM_"
TERRAFORM_PREFIX = "TF_VAR_"
FROM_TERRAFORM = ("project", "environment")
"""The settings that Terraform's own variables may give as well."""


class StateSettings(Strict):
    """Where Terraform's state, the ledger and the lock lie."""

    backend: Literal["local", "s3", "spaces"] = "local"
    """``local``: a folder on this machine. ``s3``: a bucket. ``spaces``: a DigitalOcean Space."""
    bucket: str | None = None
    """The bucket's or Space's name; needed for ``s3`` and ``spaces``."""
    region: str = "us-east-1"
    """An AWS region for ``s3``; a DigitalOcean region such as ``nyc3`` for ``spaces``."""
    endpoint: str | None = None
    """Another S3 endpoint. For ``spaces`` it defaults to ``https://REGION.digitaloceanspaces.com``."""

    @model_validator(mode="after")
    def _needs_bucket(self) -> Self:
        if self.backend != "local" and not self.bucket:
            raise ValueError(
                f"backend {self.backend!r} needs a bucket: write its name under bucket"
            )
        return self


class Settings(BaseSettings):
    """All settings, checked."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
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
    kubeconfig: File | None = None
    """The kubeconfig for the ``k8s`` target; default: those in KUBECONFIG, else ~/.kube/config."""
    kube_context: str | None = None
    """The context in it; default: the current one."""
    prometheus_url: str | None = None
    """Where the ``k8s`` target's Prometheus answers; default: through the API server."""
    state: StateSettings = StateSettings()
    budget_usd: float | None = Field(default=None, gt=0)
    """US dollars that one environment may spend; an episode is truncated when they are spent. On do
    the teardown's cost is kept back, for which 10 minutes are assumed."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Wall-clock seconds that one environment may live; then an episode is truncated."""
    ready_seconds: float | None = Field(default=None, gt=0)
    """Seconds that a reset waits for the stack to become ready; default: 90, on a cluster 300, on
    droplets 900."""
    spend_money: bool = False
    """Whether layers of ``do`` may be applied, which a DigitalOcean account is billed for."""
    expiry_hours: float = Field(default=24, gt=0)
    """Hours after its last apply after which a stack counts as forgotten and may be swept; where no
    ledger can be seen, after its first, as its names say."""
    data_folder: Folder = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("infra-gym")), validate_default=True
    )
    """Run directories, local state and run logs. Made absolute."""

    @model_validator(mode="before")
    @classmethod
    def _knows_all_keys(cls, data: Any) -> Any:
        refuse_unknown_keys(cls, data)
        return data

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The places that settings come from; the first that has a value wins."""
        file = settings_file()
        sources = [init_settings, env_settings, _TerraformVariables(settings_cls)]
        if file is not None:
            sources.append(_File(settings_cls, toml_file=file))
        return tuple(sources)


class _TerraformVariables(PydanticBaseSettingsSource):
    """``TF_VAR_project`` and ``TF_VAR_environment``, as Terraform itself reads them."""

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002
        field_name: str,
    ) -> tuple[Any, str, bool]:
        """Value, key, and whether the value is JSON."""
        return os.environ.get(f"{TERRAFORM_PREFIX}{field_name}"), field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {name: os.environ.get(f"{TERRAFORM_PREFIX}{name}") for name in FROM_TERRAFORM}
        return {name: value for name, value in values.items() if value}


class _File(TomlConfigSettingsSource):
    """``infra-gym.toml``; relative paths in it start at its own folder."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        values = super()._read_file(file_path)
        for name in ("data_folder", "kubeconfig", "binary", "prometheus"):
            value = values.get(name)
            # A program may be a name on the PATH; the others are always paths.
            if isinstance(value, str) and (name in ("data_folder", "kubeconfig") or "/" in value):
                values[name] = str(Path(file_path).parent / Path(value).expanduser())
        return values


def settings_file(start: Path | None = None) -> Path | None:
    """The nearest ``infra-gym.toml`` in ``start`` (default: the working directory) or above it."""
    try:
        folder = (start or Path.cwd()).resolve()
    except FileNotFoundError:  # the working directory was removed
        return None
    for candidate in (folder, *folder.parents):
        if (candidate / FILE_NAME).is_file():
            return candidate / FILE_NAME
    return None
