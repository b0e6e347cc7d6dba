"""Where Terraform's state lies: names, the ``backend`` block, and the environment it needs.

Three backends: a folder on this machine, an S3 bucket, a DigitalOcean Space. The latter two lock by
conditional writes (``use_lockfile``), which not every store keeps to: see
:func:`infra_gym.clouds.buckets.check_bucket`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import jinja2

from infra_gym.settings import StateSettings

_NAMESPACE = "infrastructure"

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("infra_gym.terraform"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701  HCL, not HTML; every value goes through the hcl filter
)


def hcl(value: str | bool) -> str:
    """A value as an HCL literal."""
    return json.dumps(value, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


_TEMPLATES.filters["hcl"] = hcl


def environment_prefix(project: str, environment: str) -> str:
    """What the keys of all objects of one environment begin with."""
    return f"{_NAMESPACE}/{project}/{environment}/"


def state_key(project: str, environment: str, layer: str) -> str:
    """The key of a layer's state; ``layer`` is ``PROVIDER/NAME``."""
    return f"{environment_prefix(project, environment)}state/{layer}.tfstate"


def state_endpoint(settings: StateSettings) -> str | None:
    """The store's URL; ``None`` is AWS itself."""
    if settings.endpoint is None and settings.backend == "spaces":
        return f"https://{settings.region}.digitaloceanspaces.com"
    return settings.endpoint


def state_region(settings: StateSettings) -> str:
    """The region requests are signed for: Spaces wants ``us-east-1`` everywhere."""
    return "us-east-1" if settings.backend == "spaces" else settings.region


def render_backend(settings: StateSettings, key: str, data_folder: Path) -> str:
    """The text of ``backend.tf``, without any credential.

    Args:
        settings: Which backend.
        key: From :func:`state_key`.
        data_folder: The local backend's state lies in its folder ``state``.
    """
    endpoint = state_endpoint(settings)
    return _TEMPLATES.get_template("backend.tf.j2").render(
        backend=settings.backend,
        path=str((data_folder / "state" / key).absolute()),
        bucket=settings.bucket,
        key=key,
        region=state_region(settings),
        endpoint=endpoint,
        is_aws=endpoint is None,
        # A store that runs under some other name often knows buckets only by path.
        path_style=settings.endpoint is not None,
    )


def backend_environment(
    settings: StateSettings, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What Terraform's processes need for the backend beyond ``environ`` (default: ours).

    A Space's credentials may be given as ``SPACES_ACCESS_KEY_ID`` and ``SPACES_SECRET_ACCESS_KEY``,
    the DigitalOcean provider's own names; the backend knows them only as AWS's.
    """
    if settings.backend == "local":
        return {}
    environ = os.environ if environ is None else environ
    needed = {
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }
    if settings.backend == "spaces":
        for part in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            if environ.get(f"SPACES_{part}"):
                needed[f"AWS_{part}"] = environ[f"SPACES_{part}"]
    return needed
