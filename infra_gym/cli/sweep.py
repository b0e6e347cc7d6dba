"""``infra-gym sweep``: destroy what runs that are gone left behind."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra_gym.cli.output import Output, command, styled, table
from infra_gym.errors import (
    CloudError,
    InfraGymError,
    StackLockedError,
    UnknownNameError,
    UsageError,
)

if TYPE_CHECKING:
    from infra_gym.clouds.digitalocean import DigitalOcean
    from infra_gym.stack.sweep import Leftover


_KIND = {"kubernetes": "cluster", "vpcs": "VPC", "ssh_keys": "SSH key"}
_HINTS = {
    "unknown": "What is unknown may be a colleague's. If it is not: infra-gym sweep NAME",
    "unreadable": "Of what is unreadable, infra-gym sweep NAME clears the account.",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "sweep")(sweep)


def sweep(
    output: Output,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="PROJECT/ENVIRONMENT, or a name from the list; default: all that are expired or "
            "dead.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what there is; destroy nothing.")
    ] = False,
    expired: Annotated[
        bool, typer.Option("--expired", help="Only what is past its expiry, not what only died.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Take those that are named from runs that are alive.")
    ] = False,
) -> None:
    """Destroy what nobody works on any more: stacks that expired, and stacks whose run died.

    It looks at the ledgers of the state backend and, where there is a token, at the DigitalOcean
    account. By a ledger it knows the order; what the account still has then is deleted there:
    clusters with the load balancers and volumes that Kubernetes made, tags last. An expiry is the
    ledger's, which every apply puts off; where no ledger can be seen, it is the one in the name,
    which stays that of the first apply. What is in no ledger that it can see and has not expired
    may be a colleague's: it is listed, and destroyed only when it is named. Exit code 1: something
    could not be destroyed, or not be looked at.
    """
    from infra_gym.clouds.digitalocean_runs import find_runs
    from infra_gym.settings import load_settings
    from infra_gym.stack.ledger import now
    from infra_gym.stack.storage import open_storage
    from infra_gym.stack.sweep import choose, find_leftovers, unlisted

    if live and not names:
        raise UsageError(
            "--live needs names: it takes stacks from runs that are alive",
            next_command="infra-gym sweep --live PROJECT/ENVIRONMENT",
        )
    if expired and names:
        raise UsageError(
            "--expired is for a sweep of all: what is named is destroyed, expired or not",
            next_command=f"infra-gym sweep --expired, or infra-gym sweep {' '.join(names)}",
        )
    account = _account(output)
    problems: dict[str, CloudError] = {}
    runs = find_runs(account, on_problem=problems.__setitem__) if account else []
    leftovers = find_leftovers(open_storage(load_settings()), runs, moment=now())
    try:
        chosen = choose(leftovers, names or (), expired_only=expired)
    except KeyError as error:
        known = [one.name for one in leftovers]
        raise UnknownNameError("stack", str(error.args[0]), known) from None
    if not live:
        _refuse_live(chosen)
    failed = {} if dry_run else _destroy_all(output, account, chosen)
    output.result(
        {
            "leftovers": [_document(one) for one in leftovers],
            "swept": [] if dry_run else [one.name for one in chosen if one.name not in failed],
            "failed": failed,
            "not_listed": {kind: error.message for kind, error in problems.items()},
        },
        *_lines(leftovers, chosen, failed, dry_run=dry_run),
        *([styled("red", str(unlisted(problems)))] if problems else []),
    )
    if failed or problems:
        raise typer.Exit(1)


def _account(output: Output) -> DigitalOcean | None:
    from infra_gym.cli.prices import has_token
    from infra_gym.clouds.digitalocean import TOKENS, DigitalOcean

    if has_token():
        return DigitalOcean.from_environment()
    output.note(f"No {TOKENS[0]}: the ledgers are looked at, DigitalOcean is not.")
    return None


def _refuse_live(chosen: list[Leftover]) -> None:
    for one in chosen:
        if one.verdict == "live":
            raise StackLockedError(
                f"{one.name} is alive: {one.owner} works on it.",
                next_command=f"wait until that run ends; to take it away from that run and destroy "
                f"it: infra-gym sweep --live {one.name}",
            )


def _destroy_all(
    output: Output, account: DigitalOcean | None, chosen: list[Leftover]
) -> dict[str, str]:
    """What went wrong, by name; one that fails does not keep the others."""
    from infra_gym.stack.sweep import destroy_leftover

    failed = {}
    for one in chosen:
        output.note(f"Sweeping {one.name} ({one.verdict})")
        try:
            destroy_leftover(
                one,
                account=account,
                destroy_stack=functools.partial(_destroy_stack, output, one),
                on_gone=lambda thing: output.note(f"  deleted {thing.kind}/{thing.name}"),
            )
        except InfraGymError as error:
            failed[one.name] = str(error)
    return failed


def _destroy_stack(output: Output, one: Leftover) -> None:
    from infra_gym.cli.progress import shown as progress
    from infra_gym.cli.selection import select

    selection = select((), project=one.project, environment=one.environment, target=None)
    with progress(output, tuple(reversed(selection.layers))) as on_event:
        stack = selection.stack(on_event)
        if one.verdict == "live":
            stack.unlock()
        with stack:
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
            f"{one.expires:%Y-%m-%d %H:%M} UTC" if one.expires else "not known",
            _target(one),
            _what(one),
            _outcome(one, chosen, failed, dry_run=dry_run),
        )
        for one in leftovers
    ]
    lines: list[Any] = [table("NAME", "VERDICT", "EXPIRES", "TARGET", "WHAT", "SWEEP", rows=rows)]
    lines += [styled("red", f"{name}: ", problem) for name, problem in failed.items()]
    spared = {one.verdict for one in leftovers if one not in chosen}
    lines += [hint for verdict, hint in _HINTS.items() if verdict in spared]
    return lines


def _target(one: Leftover) -> str:
    if one.record is not None:
        return one.record.target
    return "do" if one.cloud else "not known"


def _outcome(
    one: Leftover, chosen: list[Leftover], failed: dict[str, str], *, dry_run: bool
) -> str:
    if one not in chosen:
        return "left alone"
    if dry_run:
        return "would go"
    return "FAILED" if one.name in failed else "gone"


def _what(one: Leftover) -> str:
    """Its layers, what the account has of it, and who works on it."""
    things = [thing.kind for run in one.cloud for thing in run.things]
    parts = [_counted(len(one.record.layers), "layer")] if one.record else []
    parts += [
        _counted(things.count(kind), _KIND.get(kind, kind.removesuffix("s").replace("_", " ")))
        for kind in dict.fromkeys(things)
    ]
    text = ", ".join(parts)
    return f"{text}; used by {one.owner}" if one.verdict == "live" else text


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _document(one: Leftover) -> dict[str, object]:
    return {
        "name": one.name,
        "verdict": one.verdict,
        "expires": one.expires,
        "project": one.project,
        "environment": one.environment,
        "things": [thing for run in one.cloud for thing in run.things],
    }
