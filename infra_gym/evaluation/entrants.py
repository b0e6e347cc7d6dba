"""Who takes part in a benchmark, from the names on the command line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from infra_gym.agents import make_agent
from infra_gym.agents.model_file import read as read_model
from infra_gym.agents.tuned import Tuned, read_tuned
from infra_gym.definitions.models import Definition
from infra_gym.errors import UsageError
from infra_gym.evaluation.evaluate import Contestant
from infra_gym.evaluation.results import Entrant, Member

TUNED = ":tuned"
"""After a rule's name: its parameters are searched first."""

_MODEL = ".zip"


def default_agents(definition: Definition, target: str) -> list[str]:
    """Who plays where nobody is named; the first is what the others are compared with."""
    if definition.simulator != "webapp":
        return ["knative", "fixed", "random"]
    if target != "sim":
        return ["hpa", "threshold", "fixed", "random"]
    forecast = ["predictive"] if find_spec("statsmodels") else []
    rules = [f"{name}{TUNED}" for name in ("hpa", "threshold", *forecast, "fixed")]
    return [*rules, "hpa", "threshold", "random", "oracle"]


def entrants(names: Sequence[str], tune: Callable[[str], Tuned]) -> dict[str, Entrant]:
    """Those that are named: agents, agents with a file of parameters, ``NAME:tuned``, models, and
    folders of models, which are one agent that was trained several times.

    Args:
        names: In their order.
        tune: Searches the parameters of a rule.

    Raises:
        UsageError: One comes twice, or cannot be made.
    """
    found: dict[str, Entrant] = {}
    for name in names:
        label = Path(name).name if Path(name).is_dir() else name
        if label in found:
            raise UsageError(f"The agent {label} comes twice; it would count twice.")
        found[label] = _entrant(name, tune)
    return found


def contestants(entrant: Entrant) -> list[Contestant]:
    """Its members as they are made."""
    return [Contestant(member.name, member.parameters) for member in entrant.members]


def again(label: str, entrant: Entrant) -> tuple[str, Entrant]:
    """The same once more, to see how far it differs from itself."""
    return f"{label} again", entrant.model_copy(update={"repeats": label})


def file_sha256(path: Path) -> str:
    """Of a file's bytes, in hexadecimal.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error


def _entrant(name: str, tune: Callable[[str], Tuned]) -> Entrant:
    if Path(name).is_dir():
        models = sorted(Path(name).rglob(f"*{_MODEL}"))
        if not models:
            raise UsageError(
                f"There is no trained model in {name}.",
                next_command=f"infra-gym train ID --out {name}",
            )
        return Entrant(members=tuple(_model(path) for path in models))
    if name.endswith(_MODEL):
        return Entrant(members=(_model(Path(name)),))
    if name.endswith(TUNED):
        tuned = tune(name.removesuffix(TUNED))
        member = Member(name=tuned.agent, parameters=tuned.parameters)
        return Entrant(members=(member,), tuned=tuned)
    rule, _, file = name.partition(":")
    if file:
        tuned = read_tuned(rule, Path(file))
        return Entrant(members=(Member(name=rule, parameters=tuned.parameters),), tuned=tuned)
    make_agent(name)  # refuses what cannot be
    return Entrant(members=(Member(name=name),))


def _model(path: Path) -> Member:
    sha256 = file_sha256(path)
    return Member(name=path.as_posix(), sha256=sha256, steps=read_model(path).document.steps)
