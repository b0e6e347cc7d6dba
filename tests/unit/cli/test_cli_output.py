"""What commands print and how they end."""

import json
import os
import signal

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from infra_gym.cli.output import Output, command, plain, shown, table
from infra_gym.errors import StackLockedError, UsageError

runner = CliRunner()


def app_with(function):
    app = typer.Typer()
    command(app, "go")(function)
    command(app, "other")(function)
    return app


def fails(error):
    def go(output: Output) -> None:
        """Fail."""
        raise error

    return app_with(go)


def test_a_result_is_a_table_or_one_document():
    def go(output: Output, name: str) -> None:
        """Tell."""
        output.note("looking")
        output.result({"name": name, "mean": np.float32(0.5)}, table("NAME", rows=[(name,)]))

    app = app_with(go)
    assert "heater" in runner.invoke(app, ["go", "heater"]).stdout
    answer = runner.invoke(app, ["go", "heater", "--json"])
    assert json.loads(answer.stdout) == {"name": "heater", "mean": 0.5}
    assert "looking" in answer.stderr


def test_quiet_leaves_notes_out():
    def go(output: Output) -> None:
        """Tell."""
        output.note("looking")
        output.result({}, "found")

    answer = runner.invoke(app_with(go), ["go", "--quiet"])
    assert (answer.stdout, answer.stderr) == ("found\n", "")


@pytest.mark.parametrize(
    ("error", "code"), [(UsageError("bad word"), 2), (StackLockedError("held"), 1)]
)
def test_an_error_is_a_message_and_an_exit_code(error, code):
    answer = runner.invoke(fails(error), ["go"])
    assert answer.exit_code == code
    assert answer.stdout == ""
    assert answer.stderr == f"Error: {error.message}\n"


def test_an_error_says_where_and_what_next_and_brackets_stay():
    error = StackLockedError("held [by] x", layer="local/heater", next_command="wait [a bit]")
    answer = runner.invoke(fails(error), ["go"])
    assert answer.stderr.splitlines() == [
        "Error: held [by] x",
        "Where: layer local/heater.",
        "Next: wait [a bit]",
    ]


def test_an_error_is_a_document_with_json():
    answer = runner.invoke(fails(UsageError("bad", next_command="try good")), ["go", "--json"])
    assert json.loads(answer.stdout)["error"] == {
        "type": "UsageError",
        "message": "bad",
        "environment": None,
        "target": None,
        "layer": None,
        "next": "try good",
    }


def test_debug_shows_the_traceback():
    assert "Traceback" not in runner.invoke(fails(UsageError("bad")), ["go"]).stderr
    assert "Traceback" in runner.invoke(fails(UsageError("bad")), ["go", "--debug"]).stderr


def test_the_operating_systems_refusal_is_a_message():
    answer = runner.invoke(fails(PermissionError(13, "Permission denied", "/x")), ["go"])
    assert answer.exit_code == 1
    assert "Permission denied: '/x'" in answer.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_an_exit_code(number):
    def go(output: Output) -> None:
        """Be stopped."""
        os.kill(os.getpid(), number)

    answer = runner.invoke(app_with(go), ["go"])
    assert answer.exit_code == 128 + number
    assert number.name in answer.stderr


def test_plain_values_are_json():
    value = {"nan": float("nan"), "array": np.array([1, 2]), "set": frozenset({3}), "path": object}
    assert plain(value)["nan"] is None
    assert plain(value)["array"] == [1, 2]
    assert plain(value)["set"] == [3]
    json.dumps(plain(value), allow_nan=False)


@pytest.mark.parametrize(
    ("value", "text"), [("a b", "a b"), (0.123456, "0.1235"), ({"a": [1]}, '{"a": [1]}'), (3, "3")]
)
def test_values_are_shown_short(value, text):
    assert shown(value) == text
