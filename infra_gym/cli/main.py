"""``infra-gym``: the commands, put together.

Each command imports what it needs when it runs, so that ``infra-gym --help`` is quick.
"""

from __future__ import annotations

from typing import Annotated

import typer

from infra_gym import __version__
from infra_gym.cli import (
    backend,
    batch,
    benchmark,
    calibrate,
    cost,
    doctor,
    envs,
    evaluate,
    kubeconfig,
    layers,
    logs,
    probe,
    rehearse,
    report,
    run,
    serve,
    sweep,
    train,
    validate,
    verify_account,
)

EPILOG = (
    "Start with: infra-gym doctor, then infra-gym run SimpleK8sWebApp-v0 --agent hpa --steps 20"
)

app = typer.Typer(
    name="infra-gym",
    help="Train and evaluate agents that run real infrastructure.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"infra-gym {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Train and evaluate agents that run real infrastructure.

    An environment is a stack of Terraform layers; an agent changes it step by step and is paid by
    what Prometheus measures.
    """


run.register(app)
probe.register(app)
calibrate.register(app)
train.register(app)
evaluate.register(app)
benchmark.register(app)
validate.register(app)
report.register(app)
serve.register(app)
app.add_typer(envs.app, name="envs")
app.add_typer(layers.app, name="layers")
app.add_typer(backend.app, name="backend")
app.add_typer(batch.app, name="batch")
logs.register(app)
kubeconfig.register(app)
doctor.register(app)
sweep.register(app)
rehearse.register(app)
cost.register(app)
verify_account.register(app)


def main() -> None:
    """The program's entry point."""
    app()
