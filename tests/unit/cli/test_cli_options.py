"""What several commands take is stated once, so that it means the same everywhere."""

from __future__ import annotations

import inspect
from collections import defaultdict
from typing import get_type_hints

import typer

from infra_gym.cli.main import app


def commands(group, path=""):
    for one in group.registered_commands:
        yield f"{path}{one.name or one.callback.__name__}", one.callback
    for inner in group.registered_groups:
        yield from commands(inner.typer_instance, f"{path}{inner.name} ")


def stated():
    """Every option and argument: its name, its help, who has it, and the object that states it."""
    for name, callback in commands(app):
        hints = get_type_hints(inspect.unwrap(callback), include_extras=True)
        for parameter, hint in hints.items():
            for one in getattr(hint, "__metadata__", ()):
                if isinstance(one, typer.models.ParameterInfo):
                    yield parameter, one.help, name, one


def test_there_are_commands_to_look_at():
    found = {name for _, _, name, _ in stated()}
    assert {"run", "evaluate", "benchmark", "calibrate", "validate", "train", "envs show"} <= found


def test_what_is_said_in_the_same_words_is_said_in_one_place():
    places = defaultdict(lambda: defaultdict(list))
    for parameter, told, name, one in stated():
        places[parameter, told][id(one)].append(name)
    twice = {key: [*objects.values()] for key, objects in places.items() if len(objects) > 1}
    assert twice == {}
