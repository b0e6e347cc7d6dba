"""``infra-gym sweep``: destroy what runs that are gone left behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra_gym.cli.output import Output, command, styled, table
from infra_gym.errors import InfraGymError, UnknownNameError

if TYPE_CHECKING:
    from infra_gym.clouds.digitalocean import DigitalOcean
    from infra_gym.stack.sweep import Leftover


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "sweep")(sweep)


def sweep(
    output: Output,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="PROJECT/ENVIRONMENT or a name from the list; default: all orphans.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what there is; destroy nothing.")
    ] = False,
    expired: Annotated[
        bool, typer.Option("--expired", help="Only what is past its expiry, not what only died.")
    ] = False,
) -> None:
    """Destroy what nobody works on any more: stacks that expired, and stacks whose run died.

    It looks at the ledgers of the state backend and, where there is a token, at the DigitalOcean
    account. What is in no ledger that it can see and has not expired is listed, and destroyed only
    when it is named. Exit code 1: something could not be destroyed.
    """
    from infra_gym.clouds.digitalocean_runs import find_runs
    from infra_gym.settings import load_settings
    from infra_gym.stack.ledger import now
    from infra_gym.stack.storage import open_storage
    from infra_gym.stack.sweep import choose, find_leftovers

    account = _account(output)
    runs = find_runs(account) if account else []
    leftovers = find_leftovers(open_storage(load_settings()), runs, moment=now())
    try:
        chosen = choose(leftovers, names or (), expired_only=expired)
    except KeyError as error:
        known = [one.name for one in leftovers]
        raise UnknownNameError("stack", str(error.args[0]), known) from None
    failed = {} if dry_run else _destroy_all(output, account, chosen)
    output.result(
        {
            "leftovers": [_document(one) for one in leftovers],
            "swept": [] if dry_run else [one.name for one in chosen if one.name not in failed],
            "failed": failed,
        },
        *_lines(leftovers, chosen, failed, dry_run=dry_run),
    )
    if failed:
        raise typer.Exit(1)


def _account(output: Output) -> DigitalOcean | None:
    from infra_gym.clouds.digitalocean import TOKENS, DigitalOcean

    if any(os.environ.get(name) for name in TOKENS):
        return DigitalOcean.from_environment()
    output.note(f"No {TOKENS[0]}: the ledgers are looked at, DigitalOcean is not.")
    return None


def _destroy_all(
    output: Output, account: DigitalOcean | None, chosen: list[Leftover]
) -> dict[str, str]:
    """What went wrong, by name; one that fails does not keep the others."""
    failed = {}
    for one in chosen:
        output.note(f"Sweeping {one.name}")
        try:
            _destroy(output, account, one)
        except InfraGymError as error:
            failed[one.name] = str(error)
    return failed


def _destroy(output: Output, account: DigitalOcean | None, one: Leftover) -> None:
    """Through the ledger where there is one, which knows the order; then what remains."""
    from infra_gym.clouds.digitalocean_runs import destroy_run, find_runs

    if one.record is not None:
        _destroy_stack(output, one)
    if account is None or not one.cloud:
        return
    names = {run.name for run in one.cloud}
    for run in find_runs(account, before=one.cloud):
        if run.name in names:
            destroy_run(
                account, run, on_gone=lambda thing: output.note(f"  {thing.kind}/{thing.name}")
            )


def _destroy_stack(output: Output, one: Leftover) -> None:
    from infra_gym.cli.progress import shown as progress
    from infra_gym.cli.selection import select

    selection = select((), project=one.project, environment=one.environment, target=None)
    with (
        progress(output, tuple(reversed(selection.layers))) as on_event,
        selection.stack(on_event) as stack,
    ):
        stack.destroy()


def _lines(
    leftovers: list[Leftover], chosen: list[Leftover], failed: dict[str, str], *, dry_run: bool
) -> list[Any]:
    if not leftovers:
        return ["Nothing is up, and nothing was left."]
    rows = [
        (
            one.name,
            one.verdict,
            f"{one.expires:%Y-%m-%d %H:%M} UTC",
            one.record.target if one.record else "do",
            _what(one),
            _outcome(one, chosen, failed, dry_run=dry_run),
        )
        for one in leftovers
    ]
    lines: list[Any] = [table("NAME", "VERDICT", "EXPIRES", "TARGET", "WHAT", "SWEEP", rows=rows)]
    lines += [styled("red", f"{name}: ", problem) for name, problem in failed.items()]
    if any(one.verdict == "unknown" and one not in chosen for one in leftovers):
        lines.append("What is unknown may be a colleague's. If it is not: infra-gym sweep NAME")
    return lines


def _outcome(
    one: Leftover, chosen: list[Leftover], failed: dict[str, str], *, dry_run: bool
) -> str:
    if one not in chosen:
        return "left alone"
    if dry_run:
        return "would go"
    return "FAILED" if one.name in failed else "gone"


def _what(one: Leftover) -> str:
    layers = ", ".join(one.record.layers) if one.record else ""
    things = [thing.kind for run in one.cloud for thing in run.things]
    counted = ", ".join(f"{things.count(kind)} {kind}" for kind in dict.fromkeys(things))
    return "; ".join(part for part in (layers, counted) if part)


def _document(one: Leftover) -> dict[str, object]:
    return {
        "name": one.name,
        "verdict": one.verdict,
        "expires": one.expires,
        "project": one.project,
        "environment": one.environment,
        "things": [thing for run in one.cloud for thing in run.things],
    }
