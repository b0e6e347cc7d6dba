"""A rehearsal's commands: the first that fails is the last."""

from __future__ import annotations

import os

import pytest

from infra_gym.cli.rehearse import _all_of


@pytest.mark.parametrize(
    ("commands", "code"),
    [([["--version"]], 0), ([["no-such-command"], ["--version"]], 2)],
    ids=["well", "failed"],
)
def test_the_first_command_that_fails_is_the_last(commands, code, capfd):
    assert _all_of(commands, os.environ) == code
    assert ("infra-gym" in capfd.readouterr().err.splitlines()[-1]) == (code == 0)
