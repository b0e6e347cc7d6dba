"""Who says yes to a bill, and what happens where nobody does."""

from __future__ import annotations

import pytest
import typer

from infra_gym.cli.consent import ask, span
from infra_gym.cli.output import Output
from infra_gym.errors import UsageError


def never(question):
    raise AssertionError(question)


def test_a_yes_beforehand_is_not_asked_for_again(capsys):
    assert ask(Output(), "It costs $1.", yes=True, confirm=never)
    assert "It costs $1." in capsys.readouterr().err


def test_the_cost_is_said_before_the_question(capsys):
    asked = []
    assert ask(Output(), "It costs $1.", yes=False, confirm=lambda text: not asked.append(text))
    assert len(asked) == 1
    assert "It costs $1." in capsys.readouterr().err


def test_a_no_makes_nothing():
    with pytest.raises(typer.Exit) as caught:
        ask(Output(), "It costs $1.", yes=False, confirm=lambda _: False)
    assert caught.value.exit_code == 1


def test_where_nobody_can_be_asked_the_line_to_type_is_told(monkeypatch):
    monkeypatch.setattr("sys.argv", ["infra-gym", "run", "My App-v0"])
    with pytest.raises(UsageError, match="It costs") as caught:  # no terminal: pytest has none
        ask(Output(), "It costs $1.", named=["'My App-v0'"], yes=False)
    assert caught.value.next_command == (
        "infra-gym run 'My App-v0' --yes\nTo look first, for nothing: "
        "infra-gym cost 'My App-v0', or infra-gym rehearse 'My App-v0'"
    )


def test_a_range_of_one_is_a_number():
    assert span(1.0, 1.0) == "1.0000"
    assert span(1.0, 2.5, "{:g}") == "1 to 2.5"
