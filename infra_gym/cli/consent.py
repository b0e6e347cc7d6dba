"""Before a command makes what an account is billed for: say what it costs, and ask.

The yes may be given beforehand, by ``--yes`` for one command or by the setting ``spend_money`` for
all of them; then the cost is only told. Where nobody can be asked, nothing is made.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from infra_gym.cli.output import Output
from infra_gym.errors import UsageError

if TYPE_CHECKING:
    from infra_gym.cost import Estimate
    from infra_gym.stack import Stack

_EXIT_NO = 1
_BEFORE_AND_AFTER = "18 minutes (assumed, never measured)"


def may_spend(
    output: Output,
    identifier: str,
    *,
    target: str | None,
    yes: bool,
    project: str | None = None,
    environment: str | None = None,
    interval_s: float | None = None,
    steps: int | None = None,
    budget_usd: float | None = None,
    times: int = 1,
) -> bool | None:
    """Whether an environment's stack may be made: ``True``, or ``None`` where nothing is billed.

    Args:
        output: Where to say it.
        identifier: An environment's id or file.
        target: Where it is to run; default: the settings'.
        yes: Whether the user has agreed already.
        project: First part of its name; default: the settings'.
        environment: Second part: a stack that stands may have been given other inputs.
        interval_s: Another length of a step, in seconds.
        steps: Those of an episode, where they are fewer.
        budget_usd: What it may spend; default: the settings'.
        times: So many such stacks at once.

    Raises:
        UsageError: Nobody agreed, and nobody can be asked; or the budget does not last.
        typer.Exit: The user says no.
    """
    from infra_gym.definitions.catalog import find_definition
    from infra_gym.settings import load_settings
    from infra_gym.stack import open_stack

    settings = load_settings(
        target=target, project=project, environment=environment, budget_usd=budget_usd
    )
    if settings.target != "do" or "do" not in find_definition(identifier).layers:
        return None
    stack = open_stack(identifier, target=settings.target, settings=settings)
    return agreed(output, stack, yes=yes, interval_s=interval_s, steps=steps, times=times)


def agreed(
    output: Output,
    stack: Stack,
    *,
    yes: bool,
    layers: Sequence[str] | None = None,
    inputs: Mapping[str, Mapping[str, Any]] | None = None,
    interval_s: float | None = None,
    steps: int | None = None,
    times: int = 1,
) -> bool | None:
    """As :func:`may_spend`, for a stack, or some of its layers with some inputs."""
    from infra_gym.cli.prices import known_prices
    from infra_gym.stack.costs import billed_layers, estimate

    if not billed_layers(layers or stack.layers):
        return None
    found = estimate(
        stack, known_prices(), layers=layers, inputs=inputs, interval_s=interval_s, steps=steps
    )
    _refuse_too_small(found, stack.settings.budget_usd)
    return ask(
        output,
        summary(found, times),
        named=() if stack.definition is None else [stack.definition.named],
        yes=yes or stack.settings.spend_money,
    )


def ask(
    output: Output,
    cost: str,
    *,
    named: Sequence[str] = (),
    yes: bool,
    confirm: Callable[[str], bool] | None = None,
) -> bool:
    """``True``, once the user has agreed to a cost.

    Args:
        output: Where to say it.
        cost: What there is to agree to.
        named: What to type for the environments that it is of.
        yes: Whether the user has agreed already.
        confirm: How to ask; default: on the terminal, if there is one.

    Raises:
        UsageError: Nobody agreed, and nobody can be asked.
        typer.Exit: The user says no.
    """
    if yes:
        output.note(cost)
        return True
    looks = [
        f"To look first, for nothing: infra-gym cost {one}, or infra-gym rehearse {one}"
        for one in named
    ]
    put(
        output,
        cost,
        "Make it, and be billed until it is destroyed?",
        unasked="Nobody has said yes to that",
        next_command="\n".join([f"{again()} --yes", *looks]),
        confirm=confirm,
    )
    return True


def put(
    output: Output,
    what: str,
    question: str,
    *,
    unasked: str,
    next_command: str,
    no: str = "Nothing was made.",
    confirm: Callable[[str], bool] | None = None,
) -> None:
    """Go on only after a yes.

    Args:
        output: Where to say it.
        what: What it is about, before the question.
        question: Answered by yes or no.
        unasked: Why it cannot go on where nobody can be asked.
        next_command: What to type there.
        no: What is said after a no.
        confirm: How to ask; default: on the terminal, if there is one.

    Raises:
        UsageError: Nobody can be asked.
        typer.Exit: The user says no.
    """
    if confirm is None and sys.stdin.isatty() and sys.stderr.isatty():
        confirm = _confirm
    if confirm is None:
        raise UsageError(f"{what}\n{unasked}, and nothing was made.", next_command=next_command)
    output.aside.print(what, markup=False, highlight=False, soft_wrap=True)
    if not confirm(question):
        output.note(no)
        raise typer.Exit(_EXIT_NO)


def summary_of(identifier: str) -> str:
    """:func:`summary` of an environment on ``do``."""
    from infra_gym.cli.prices import known_prices
    from infra_gym.settings import load_settings
    from infra_gym.stack import open_stack
    from infra_gym.stack.costs import estimate

    settings = load_settings(target="do", environment="estimate")
    return summary(estimate(open_stack(identifier, settings=settings), known_prices()))


def summary(found: Estimate, times: int = 1) -> str:
    """One line: what, and how much."""
    each = ", ".join(f"{span(part.low, part.high, '{:g}')} {part.what}" for part in found.parts)
    many = f"{times} times " if times > 1 else ""
    low, high = found.usd_per_hour
    text = (
        f"DigitalOcean bills {many}{each or 'nothing that is known'}: "
        f"${span(low * times, high * times)} an hour"
    )
    if found.episode_usd is not None and found.episode_s is not None:
        low, high = found.episode_usd
        text += (
            f", ${span(low * times, high * times)} an episode of {found.episode_s / 60:.3g} "
            f"minutes, without and with {_BEFORE_AND_AFTER} of start and teardown"
        )
    text += f" ({found.source})."
    if found.untold:
        text += f" What {', '.join(found.untold)} costs is not known."
    return text


def span(low: float, high: float, form: str = "{:.4f}") -> str:
    """``0.0625``, or ``0.0625 to 0.1697``."""
    texts = [form.format(low), form.format(high)]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)


def _refuse_too_small(found: Estimate, budget_usd: float | None) -> None:
    """Refuse what would be torn down again before its first step."""
    from infra_gym.cost.estimate import START_S, TEARDOWN_S

    needed = max(found.usd_per_hour[0] * (START_S + TEARDOWN_S) / 3600, found.least_usd)
    if budget_usd is not None and budget_usd <= needed:
        raise UsageError(
            f"A budget of ${budget_usd:g} does not last: the start and the teardown alone cost "
            f"about ${needed:.4f}, if they take {_BEFORE_AND_AFTER}.",
            next_command="a larger --budget-usd, or INFRA_GYM_BUDGET_USD",
        )


def again() -> str:
    """The command line that was typed, to be typed once more with something added."""
    return shlex.join(["infra-gym", *sys.argv[1:]])


def _confirm(question: str) -> bool:
    return typer.confirm(question, default=False, err=True)
