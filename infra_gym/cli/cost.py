"""``infra-gym cost``: what an environment will cost, before anything is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra_gym.cli.options import Identifier, Interval
from infra_gym.cli.output import Output, command, table
from infra_gym.errors import UsageError

if TYPE_CHECKING:
    from infra_gym.cost import Estimate

_NOTES = (
    "An episode: its steps with the least that the agent can make, up to the most, with start and",
    "teardown (about 18 minutes: an assumption, never measured on a real account).",
    "Billed by the second; a thing costs at least $0.01, and a calendar month at most 672 hours.",
    "Traffic beyond what the nodes bring along, and what others make in the account, is not in it.",
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "cost")(cost)


def cost(
    output: Output,
    identifier: Identifier,
    target: Annotated[
        str, typer.Option(metavar="do", help="Where it would run; nothing else is billed.")
    ] = "do",
    interval: Interval = None,
) -> None:
    """Tell what an environment on DigitalOcean will cost, thing by thing; makes nothing.

    Prices are the account's where there is a token, else a dated list that comes with the package.
    """
    from infra_gym.cli.prices import known_prices
    from infra_gym.definitions.catalog import find_definition
    from infra_gym.settings import load_settings
    from infra_gym.stack import open_stack
    from infra_gym.stack.costs import estimate

    if "do" not in find_definition(identifier).layers:
        raise UsageError(
            f"{identifier} does not run on do, and nothing else is billed.",
            next_command="infra-gym envs list, which tells the targets of each",
        )
    if target != "do":
        raise UsageError(
            f"Target {target} is billed by nobody: only do is.",
            next_command=f"infra-gym cost {identifier} --target do",
        )
    settings = load_settings(target=target, environment="estimate")
    stack = open_stack(identifier, target="do", settings=settings)
    found = estimate(stack, known_prices(), interval_s=interval)
    output.result(document(identifier, found), *_lines(identifier, found))


def document(identifier: str, found: Estimate) -> dict[str, Any]:
    """An estimate as JSON has it; pairs are the least and the most."""
    return {
        "id": identifier,
        "prices": found.source,
        "things": found.parts,
        "usd_per_hour": found.usd_per_hour,
        "usd_per_month": found.usd_per_month,
        "episode_s": found.episode_s,
        "episode_usd": found.episode_usd,
        "spaces_usd_per_month": found.spaces_usd_per_month,
        "untold": found.untold,
    }


def _lines(identifier: str, found: Estimate) -> Iterator[Any]:
    from infra_gym.cli.consent import span
    from infra_gym.cost.price_table import HOURS_A_MONTH

    def row(name: str, count: str, hour: tuple[float, float]) -> tuple[str, str, str, str]:
        month = (hour[0] * HOURS_A_MONTH, hour[1] * HOURS_A_MONTH)
        return name, count, span(*hour), span(*month, "{:.2f}")

    rows = [
        row(
            f"{part.layer}: {part.what}",
            span(part.low, part.high, "{:g}"),
            (part.low * part.usd_per_hour, part.high * part.usd_per_hour),
        )
        for part in found.parts
    ]
    rows.append(row("in all", "", found.usd_per_hour))
    yield table("WHAT", ">COUNT", ">$ AN HOUR", ">$ A MONTH", rows=rows)
    if found.episode_usd is not None and found.episode_s is not None:
        minutes = found.episode_s / 60
        yield f"An episode of {minutes:.0f} minutes: ${span(*found.episode_usd, '{:.2f}')}."
    if found.spaces_usd_per_month:
        yield (
            f"The Space for the state: ${found.spaces_usd_per_month:g} a month, once for the whole "
            "account, however many there are and whether used or not."
        )
    for layer in found.untold:
        yield f"{layer} does not tell what it makes (cost.yaml): what it costs is not in it."
    yield f"Prices: {found.source}."
    yield from _NOTES
    yield f"Next: infra-gym rehearse {identifier} (free), or infra-gym run {identifier} --target do"
