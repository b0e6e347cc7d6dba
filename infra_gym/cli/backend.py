"""``infra-gym backend``: the bucket that holds Terraform's state, the ledger and the lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from infra_gym.cli.output import Output, command, styled
from infra_gym.errors import SettingsError

if TYPE_CHECKING:
    from infra_gym.settings import Settings

app = typer.Typer(help="Make and check the state backend.", no_args_is_help=True)


@command(app, "create")
def create(output: Output) -> None:
    """Make the bucket that the settings name, private and with versions where the store can."""
    from infra_gym.clouds.buckets import create_bucket

    settings = _bucket_settings()
    lines = create_bucket(settings.state)
    output.result({"bucket": settings.state.bucket, "lines": lines}, *lines)


@command(app, "check")
def check(output: Output) -> None:
    """Probe whether the store's locks hold: two runs must never both get one.

    Exit code 1: they do not hold.
    """
    from infra_gym.clouds.buckets import check_bucket

    settings = _bucket_settings()
    verdict = check_bucket(settings)
    output.result(
        {
            "bucket": settings.state.bucket,
            "locks_hold": verdict.locks_hold,
            "lines": verdict.lines,
        },
        *verdict.lines,
        styled("green", "Locks hold.")
        if verdict.locks_hold
        else styled(
            "red", "Locks do not hold:", " never let two runs use one environment at once."
        ),
    )
    if not verdict.locks_hold:
        raise typer.Exit(1)


def _bucket_settings() -> Settings:
    from infra_gym.settings import load_settings

    settings = load_settings()
    if settings.state.backend == "local":
        raise SettingsError(
            f"The state lies in a folder of this machine ({settings.data_folder / 'state'}): "
            "there is no bucket",
            next_command='write into infra-gym.toml: [state] backend = "s3", bucket = "NAME"',
        )
    return settings
